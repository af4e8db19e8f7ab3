//! Which device runs the model: WebGPU when a real adapter passes the self-test, otherwise the CPU, and always why.

use burn::tensor::Device;
use sonoseg_core::inference::Predictor;
use sonoseg_core::selftest;
use sonoseg_imaging::geometry::Image;

use super::{Services, files};
use crate::clock::now;
use crate::messages::{DeviceChoice, DeviceInfo, Fault, Measured, StartDevice, TestingDevice, UseDevice};
use crate::timings::Durations;
use crate::worker::{Step, channel, gpu, pool};

/// Passes through the network before it is measured, and those that are.
const COLD: usize = 2;
const MEASURED: usize = 5;

impl Services {
    /// Choose the device, and say what to tell the user about it.
    pub(super) async fn start_device(&self, request: StartDevice, steps: &Step) -> DeviceInfo {
        let (device, info) = choose(request, steps).await;
        self.graphics.replace(info.gpu.then(|| (device.clone(), info.clone())));
        self.device.replace(Some(device));
        self.pool.clear();
        info
    }

    /// How long the model takes on either device.
    pub(super) async fn measure_devices(&self, steps: &Step) -> Result<Measured, Fault> {
        let (gpu, _) = self.graphics.borrow().clone().ok_or(Fault::NoDevice)?;
        let gpu_ms = typical_ms(&self.model_on(&gpu, steps).await?, steps).await?;
        let cpu_ms = typical_ms(&self.model_on(&Device::flex(), steps).await?, steps).await?;
        Ok(Measured { gpu_ms, cpu_ms })
    }

    /// Run the model on another device.
    pub(super) async fn use_device(&self, request: UseDevice, steps: &Step) -> Result<DeviceInfo, Fault> {
        let UseDevice { gpu, because } = request;
        let (device, info) = if gpu {
            let (device, info) = self.graphics.borrow().clone().ok_or(Fault::NoDevice)?;
            let reason = format!("{because} {}", info.reason);
            (device, DeviceInfo { reason, ..info })
        } else {
            (Device::flex(), cpu(because))
        };
        let predictor = self.model_on(&device, steps).await?;
        self.device.replace(Some(device));
        self.use_predictor(predictor);
        Ok(info)
    }

    /// The model in use, on a device.
    async fn model_on(&self, device: &Device, steps: &Step) -> Result<Predictor, Fault> {
        let (name, file) = self.model.borrow().clone().ok_or(Fault::NoModel)?;
        let (_, bytes) = files::read(&name, &file, steps, |_| {}).await?;
        Predictor::load(&name, &bytes, device).map_err(|error| Fault::Refused(error.to_string()))
    }
}

/// What a pass through the network takes, when all is warm.
async fn typical_ms(predictor: &Predictor, steps: &Step) -> Result<f64, Fault> {
    let grey = Image::from_grey8(64, 64, &[127; 64 * 64]);
    let prepared = predictor.prepare(&vec![&grey; predictor.window()]);
    let mut durations = Durations::default();
    for pass in 0..COLD + MEASURED {
        let start = now();
        predictor.forward(&prepared).await.map_err(|error| Fault::Refused(format!("{error}.")))?;
        if pass >= COLD {
            durations.add(now() - start);
        }
        steps.between().await?;
    }
    Ok(durations.percentile(0.5).unwrap_or(f64::INFINITY))
}

fn cpu(reason: String) -> DeviceInfo {
    DeviceInfo { gpu: false, name: "CPU (SIMD)".to_owned(), reason, side_by_side: pool::size() }
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
    (Device::flex(), cpu(reason))
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
