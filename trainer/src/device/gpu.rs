//! GPUs through wgpu: which there are, and opening one so that a failure is a sentence. A GPU is used only when it
//! computes what the CPU computes, forward and backward.

use anyhow::Result;
use burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{Device, DeviceKind};
use sonoseg_core::selftest;
use wgpu::{Backend, Backends, DeviceType};

use super::Chosen;
use crate::args::DeviceName;
use crate::failure::Usage;
use crate::terminal::warn;

/// Largest difference from the CPU that is rounding: matrix units of GPUs keep ten bits of a factor.
const TOLERANCE: f64 = 0.02;

/// An adapter and how Burn selects it.
struct Adapter {
    name: String,
    api: WgpuBackend,
    kind: DeviceKind,
}

impl Adapter {
    /// The device, by its own API or through WebGPU's shaders, when it computes what the CPU computes.
    fn open(&self, own: bool) -> Result<Device, String> {
        one_stream();
        let options = Device::wgpu_options().device_kind(self.kind.clone());
        let options = if own { options.graphics_api(self.api) } else { options };
        let device = options.init().map_err(|e| e.to_string())?;
        pollster::block_on(selftest::compare(&device, &Device::flex()))?.judged(TOLERANCE)?;
        Ok(device)
    }

    /// True when it is the CPU in disguise, slower than `flex`: good for trying things out only.
    fn software(&self) -> bool {
        matches!(self.kind, DeviceKind::Cpu)
    }
}

/// One stream of work for all threads, before any device is made: with the usual 128, buffers are freed on other streams than
/// they were made on, and the memory of long runs grows without end (tracel-ai/burn#4971 and #4792). What else a
/// `cubecl.toml` says holds.
fn one_stream() {
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.streaming.max_streams = 1;
    // It can be set once; every later device is under the same.
    CubeClRuntimeConfig::try_set(config);
}

/// Adapters of the APIs that this build has; OpenGL is left out, since it cannot train.
fn adapters() -> Vec<Adapter> {
    let apis = Backends::VULKAN | Backends::METAL;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = apis;
    let found = pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(apis));
    let (mut discrete, mut integrated, mut virtually) = (0, 0, 0);
    let next = |counter: &mut usize| {
        *counter += 1;
        *counter - 1
    };
    let mut adapters: Vec<Adapter> = found
        .into_iter()
        .map(|adapter| adapter.get_info())
        .filter_map(|info| {
            let kind = match info.device_type {
                DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(next(&mut discrete)),
                DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(next(&mut integrated)),
                DeviceType::VirtualGpu => DeviceKind::VirtualGpu(next(&mut virtually)),
                DeviceType::Cpu => DeviceKind::Cpu,
                DeviceType::Other => return None,
            };
            let api = if info.backend == Backend::Metal { WgpuBackend::Metal } else { WgpuBackend::Vulkan };
            Some(Adapter { api, kind, name: info.name })
        })
        .collect();
    adapters.sort_by_key(|adapter| match adapter.kind {
        DeviceKind::DiscreteGpu(_) => 0,
        DeviceKind::Cpu => 2,
        _ => 1,
    });
    adapters
}

/// The first discrete GPU, else the first other one.
pub(super) fn first_real() -> Option<Chosen> {
    let adapters = adapters();
    let mut real = adapters.iter().filter(|adapter| !adapter.software());
    real.find_map(|adapter| match adapter.open(true) {
        Ok(device) => Some(Chosen { device, name: adapter.name.clone() }),
        Err(reason) => {
            warn(format!("{} is left aside: {reason}", adapter.name));
            None
        }
    })
}

/// The GPU behind an API that was asked for by name; a software adapter, with a warning, where there is nothing else.
pub(super) fn open(name: DeviceName) -> Result<Chosen> {
    let (api, label) = match name {
        DeviceName::Vulkan => (Some(WgpuBackend::Vulkan), "Vulkan"),
        DeviceName::Metal => (Some(WgpuBackend::Metal), "Metal"),
        _ => (None, "WebGPU"),
    };
    let mut problem = format!("this machine has no {label} adapter: use --device flex, or install the GPU's driver");
    for adapter in adapters().into_iter().filter(|adapter| api.is_none_or(|api| api == adapter.api)) {
        match adapter.open(api.is_some()) {
            Ok(device) => {
                if adapter.software() {
                    warn(format!("{} is no GPU but the CPU in disguise: --device flex is faster", adapter.name));
                }
                return Ok(Chosen { device, name: format!("{} ({label})", adapter.name) });
            }
            Err(reason) => problem = format!("{} cannot be used: {reason}. Use --device flex", adapter.name),
        }
    }
    Err(Usage(problem).into())
}

/// A line for each adapter.
pub(super) fn lines() -> Vec<String> {
    let line = |adapter: &Adapter| {
        let api = format!("{:?}", adapter.api).to_lowercase();
        let remark = if adapter.software() { " (software: only when asked for by name)" } else { "" };
        format!("{api:<8} {}{remark}", adapter.name)
    };
    adapters().iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_work_goes_through_one_stream() {
        one_stream();
        assert_eq!(CubeClRuntimeConfig::get().streaming.max_streams, 1);
    }
}
