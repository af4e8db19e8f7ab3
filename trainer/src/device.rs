//! From a name to a device. `auto` never takes a software adapter.

#[cfg(feature = "gpu")]
mod gpu;
#[cfg(not(feature = "gpu"))]
#[path = "device/no_gpu.rs"]
mod gpu;

use anyhow::Result;
use burn::tensor::Device;

use crate::args::DeviceName;
use crate::terminal::say;

/// A device and how to call it.
pub(crate) struct Chosen {
    pub(crate) device: Device,
    pub(crate) name: String,
}

/// The device for a name.
pub(crate) fn choose(name: DeviceName) -> Result<Chosen> {
    let cpu = || Chosen { device: Device::flex(), name: "CPU (flex)".into() };
    match name {
        DeviceName::Flex => Ok(cpu()),
        DeviceName::Auto => Ok(gpu::first_real().unwrap_or_else(cpu)),
        DeviceName::Vulkan | DeviceName::Metal | DeviceName::Wgpu => gpu::open(name),
    }
}

/// `sonoseg devices`.
pub(crate) fn list() -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    say(format!("flex     CPU, {threads} threads"));
    for line in gpu::lines() {
        say(line);
    }
    say("`--device auto` takes the first real GPU, never a software adapter, else flex.");
    Ok(())
}
