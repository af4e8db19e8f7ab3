//! Which device runs the model: WebGPU when a real adapter passes the self-test, otherwise the CPU, and always why.

use burn::tensor::Device;
use sonoseg_app::messages::{DeviceChoice, DeviceReport, Report};
use sonoseg_app::worker::gpu;
use sonoseg_app::worker::talk::tell;
use sonoseg_core::selftest;

/// The device and what to tell the user about it.
pub(crate) async fn choose(
    choice: DeviceChoice,
    because: Option<String>,
    fail_selftest: bool,
) -> (Device, DeviceReport) {
    let reason = match choice {
        DeviceChoice::Cpu => because.unwrap_or_else(|| "asked for in the address".to_owned()),
        DeviceChoice::Auto | DeviceChoice::WebGpu => {
            match graphics(choice == DeviceChoice::WebGpu, fail_selftest).await {
                Ok(chosen) => return chosen,
                Err(reason) => reason,
            }
        }
    };
    let report =
        DeviceReport { gpu: false, name: "CPU (SIMD)".to_owned(), reason: format!("WebGPU is not used: {reason}.") };
    (Device::flex(), report)
}

async fn graphics(software_allowed: bool, fail_selftest: bool) -> Result<(Device, DeviceReport), String> {
    let name = gpu::adapter(software_allowed).await?;
    tell(&Report::Stage(format!("Testing {name} against the CPU")));
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
    Ok((device, DeviceReport { gpu: true, name, reason }))
}
