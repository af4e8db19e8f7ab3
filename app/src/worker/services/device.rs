//! Which device runs the model: WebGPU when a real adapter passes the self-test, otherwise the CPU, and always why.

use burn::tensor::Device;
use sonoseg_core::selftest;

use super::Services;
use crate::messages::{DeviceChoice, DeviceInfo, StartDevice, TestingDevice};
use crate::worker::{Step, channel, gpu, pool};

impl Services {
    /// Choose the device, and say what to tell the user about it.
    pub(super) async fn start_device(&self, request: StartDevice, steps: &Step) -> DeviceInfo {
        let (device, info) = choose(request, steps).await;
        self.device.replace(Some(device));
        self.pool.clear();
        info
    }
}

async fn choose(request: StartDevice, steps: &Step) -> (Device, DeviceInfo) {
    let StartDevice { device, because, fail_selftest } = request;
    let reason = match device {
        DeviceChoice::Cpu => because.unwrap_or_else(|| "asked for in the address".to_owned()),
        DeviceChoice::Auto | DeviceChoice::WebGpu => {
            match graphics(device == DeviceChoice::WebGpu, fail_selftest, steps).await {
                Ok(chosen) => return chosen,
                Err(reason) => reason,
            }
        }
    };
    let reason = format!("WebGPU is not used: {reason}.");
    (Device::flex(), DeviceInfo { gpu: false, name: "CPU (SIMD)".to_owned(), reason, side_by_side: pool::size() })
}

async fn graphics(software_allowed: bool, fail_selftest: bool, steps: &Step) -> Result<(Device, DeviceInfo), String> {
    let name = gpu::adapter(software_allowed).await?;
    channel::item::<StartDevice>(steps.id, &TestingDevice(name.clone()), &[]);
    let device = Device::wgpu_options().init_async().await;
    let device = device.map_err(|error| format!("{name} could not be set up ({error})"))?;
    let result = selftest::compare(&device, &Device::flex()).await;
    let result = result.and_then(|result| result.judged(selftest::TOLERANCE));
    let result = if fail_selftest { Err("the failure was forced in the address".to_owned()) } else { result };
    let result = result.map_err(|reason| format!("{name} failed the self-test ({reason})"))?;
    let reason = format!(
        "Self-test against the CPU passed: forward within {:.0e}, backward within {:.0e}.",
        result.forward_error, result.backward_error
    );
    Ok((device, DeviceInfo { gpu: true, name, reason, side_by_side: 1 }))
}
