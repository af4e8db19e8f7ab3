//! GPUs through wgpu: which there are, and opening one so that a failure is a sentence.

use anyhow::Result;
use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{Device, DeviceKind};
use wgpu::{Backend, Backends, DeviceType};

use super::Chosen;
use crate::args::DeviceName;
use crate::failure::Usage;

/// An adapter and how Burn selects it.
struct Adapter {
    name: String,
    api: WgpuBackend,
    kind: Option<DeviceKind>,
}

impl Adapter {
    fn open(&self) -> Result<Device, String> {
        let kind = self.kind.clone().ok_or("it is a software adapter, slower than the CPU itself")?;
        Device::wgpu_options().device_kind(kind).graphics_api(self.api).init().map_err(|e| e.to_string())
    }
}

/// Adapters of the APIs that this build has; OpenGL is left out, since it cannot train.
fn adapters() -> Vec<Adapter> {
    let apis = Backends::VULKAN | Backends::METAL;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = apis;
    let found = pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(apis));
    let (mut discrete, mut integrated) = (0, 0);
    let next = |counter: &mut usize| {
        *counter += 1;
        *counter - 1
    };
    found
        .into_iter()
        .map(|adapter| adapter.get_info())
        .map(|info| Adapter {
            api: if info.backend == Backend::Metal { WgpuBackend::Metal } else { WgpuBackend::Vulkan },
            kind: match info.device_type {
                DeviceType::DiscreteGpu => Some(DeviceKind::DiscreteGpu(next(&mut discrete))),
                DeviceType::IntegratedGpu => Some(DeviceKind::IntegratedGpu(next(&mut integrated))),
                DeviceType::VirtualGpu | DeviceType::Cpu | DeviceType::Other => None,
            },
            name: info.name,
        })
        .collect()
}

/// The first discrete GPU, else the first integrated one.
pub(super) fn first_real() -> Option<Chosen> {
    let mut real: Vec<Adapter> = adapters().into_iter().filter(|adapter| adapter.kind.is_some()).collect();
    real.sort_by_key(|adapter| !matches!(adapter.kind, Some(DeviceKind::DiscreteGpu(_))));
    real.iter().find_map(|adapter| Some(Chosen { device: adapter.open().ok()?, name: adapter.name.clone() }))
}

/// The GPU behind an API that was asked for by name.
pub(super) fn open(name: DeviceName) -> Result<Chosen> {
    let (api, label) = match name {
        DeviceName::Vulkan => (Some(WgpuBackend::Vulkan), "Vulkan"),
        DeviceName::Metal => (Some(WgpuBackend::Metal), "Metal"),
        _ => (None, "WebGPU"),
    };
    let mut problem = format!("this machine has no {label} adapter: use --device flex, or install the GPU's driver");
    for adapter in adapters().into_iter().filter(|adapter| api.is_none_or(|api| api == adapter.api)) {
        let opened = match api {
            Some(_) => adapter.open(),
            None => adapter
                .kind
                .clone()
                .ok_or("it is a software adapter".into())
                .and_then(|kind| Device::wgpu_options().device_kind(kind).init().map_err(|e| e.to_string())),
        };
        match opened {
            Ok(device) => return Ok(Chosen { device, name: format!("{} ({label})", adapter.name) }),
            Err(reason) => problem = format!("{} cannot be used: {reason}. Use --device flex", adapter.name),
        }
    }
    Err(Usage(problem).into())
}

/// A line for each adapter.
pub(super) fn lines() -> Vec<String> {
    let line = |adapter: &Adapter| {
        let api = format!("{:?}", adapter.api).to_lowercase();
        let remark = if adapter.kind.is_some() { "" } else { " (software: not used)" };
        format!("{api:<8} {}{remark}", adapter.name)
    };
    adapters().iter().map(line).collect()
}
