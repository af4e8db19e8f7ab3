//! Which device runs the model, where there are two: the faster one, as it was measured, or the one that the user pinned.

use crate::messages::{DeviceChoice, Measured};

/// Predictions before both devices are measured: by then shaders are compiled and the first picture is on the screen.
pub const WARM: usize = 5;

/// Whether the GPU is to be used; none where that is not known before both are measured.
pub fn uses_gpu(choice: DeviceChoice, measured: Option<Measured>) -> Option<bool> {
    match choice {
        DeviceChoice::Cpu => Some(false),
        DeviceChoice::WebGpu => Some(true),
        DeviceChoice::Auto => measured.map(|measured| measured.gpu_ms <= measured.cpu_ms),
    }
}

/// Why, as a sentence.
pub fn because(choice: DeviceChoice, measured: Option<Measured>) -> String {
    match (choice, measured) {
        (DeviceChoice::Auto, Some(measured)) => format!("The faster one for this model: {}.", numbers(measured)),
        (_, Some(measured)) => format!("Chosen by you: {}.", numbers(measured)),
        (_, None) => "Chosen by you.".to_owned(),
    }
}

/// Both numbers.
pub fn numbers(Measured { gpu_ms, cpu_ms }: Measured) -> String {
    format!("WebGPU {gpu_ms:.1} ms, CPU {cpu_ms:.1} ms a frame")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_device_is_used_unless_one_is_pinned() {
        let [slow_gpu, fast_gpu] = [90.0, 8.0].map(|gpu_ms| Some(Measured { gpu_ms, cpu_ms: 40.0 }));
        assert_eq!(uses_gpu(DeviceChoice::Auto, slow_gpu), Some(false));
        assert_eq!(uses_gpu(DeviceChoice::Auto, fast_gpu), Some(true));
        assert_eq!(uses_gpu(DeviceChoice::Auto, None), None);
        assert_eq!(uses_gpu(DeviceChoice::Cpu, fast_gpu), Some(false));
        assert_eq!(uses_gpu(DeviceChoice::WebGpu, slow_gpu), Some(true));
    }

    #[test]
    fn both_numbers_are_told() {
        let measured = Some(Measured { gpu_ms: 8.04, cpu_ms: 40.0 });
        assert_eq!(
            because(DeviceChoice::Auto, measured),
            "The faster one for this model: WebGPU 8.0 ms, CPU 40.0 ms a frame."
        );
        assert!(because(DeviceChoice::Cpu, measured).starts_with("Chosen by you: WebGPU 8.0 ms"));
        assert_eq!(because(DeviceChoice::Cpu, None), "Chosen by you.");
    }
}
