//! Is the device to be trusted? One tiny network forward and backward on it and on the CPU.
//!
//! A browser or a driver that cannot run a kernel may skip it without a word, and then the numbers are wrong
//! (issue 654 of tracel-ai/cubek is one case).

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{read_state, write_state};
use crate::losses::overlap::{DiceFocalConfig, dice_focal};
use crate::models::unetr::{Unetr, UnetrConfig};
use crate::models::vit::VitConfig;
use sonoseg_imaging::rng::Rng;

/// Largest difference that is rounding and not a fault.
pub const TOLERANCE: f64 = 1e-3;

/// How far the device was from the reference, relative to the largest value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// Of the logits.
    pub forward_error: f64,
    /// Of the gradient of the first layer, which every other layer shapes.
    pub backward_error: f64,
}

impl SelfTest {
    /// An error says that the device must not be used, and why.
    pub fn judged(self, tolerance: f64) -> Result<Self, String> {
        let Self { forward_error, backward_error } = self;
        // Written so that NaN fails.
        if forward_error < tolerance && backward_error < tolerance {
            return Ok(self);
        }
        Err(format!(
            "its numbers are wrong: forward differs by {forward_error:.1e}, backward by {backward_error:.1e}, and \
             {tolerance:.0e} is allowed"
        ))
    }
}

/// Run the same network on both devices.
pub async fn compare(device: &Device, reference: &Device) -> Result<SelfTest, String> {
    let config = UnetrConfig {
        encoder: VitConfig { image_size: 32, ..VitConfig::new(16, 3, 2) },
        taps: [1, 2, 3],
        feature_size: 4,
        groups: 2,
        group_norm_epsilon: 1e-5,
        out_channels: 1,
    };
    let on_reference = config.init(&reference.clone().autodiff());
    let state = read_state(&on_reference).await.map_err(|e| e.to_string())?;
    let on_device =
        write_state("self-test", state, config.init(&device.clone().autodiff())).map_err(|e| e.to_string())?;
    let (expected, expected_gradient) = run(&on_reference, reference).await?;
    let (found, found_gradient) = run(&on_device, device).await?;
    Ok(SelfTest { forward_error: error(&found, &expected), backward_error: error(&found_gradient, &expected_gradient) })
}

async fn run(model: &Unetr, device: &Device) -> Result<(Vec<f32>, Vec<f32>), String> {
    let device = device.clone().autodiff();
    let mut rng = Rng::stream(1, "self-test", [0, 0]);
    let numbers: Vec<f32> = (0..3 * 32 * 32).map(|_| rng.normal() as f32).collect();
    let target: Vec<f32> = (0..32 * 32).map(|i| f32::from(u8::from(i / 32 == i % 32))).collect();
    let input = Tensor::<4>::from_data(TensorData::new(numbers, [1, 3, 32, 32]), &device);
    let target = Tensor::<4>::from_data(TensorData::new(target, [1, 1, 32, 32]), &device);
    let logits = model.forward(input);
    let gradients = dice_focal(logits.clone(), target, &DiceFocalConfig::default()).backward();
    let weight = model.encoder.patch_embed.proj.weight.val();
    let gradient = weight.grad(&gradients).ok_or("the first layer got no gradient")?;
    Ok((read(logits.inner()).await?, read(gradient).await?))
}

async fn read(tensor: Tensor<4>) -> Result<Vec<f32>, String> {
    let data = tensor.into_data_async().await.map_err(|e| format!("{e:?}"))?;
    data.try_into_vec().map_err(|e| format!("{e:?}"))
}

fn error(found: &[f32], expected: &[f32]) -> f64 {
    let scale = expected.iter().fold(1e-30_f64, |max, &x| max.max(f64::from(x.abs())));
    let worst = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs()));
    // `max` drops NaN, so NaN is turned into infinity first.
    worst.map(|e| if e.is_nan() { f64::INFINITY } else { e }).fold(0.0, f64::max) / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself_and_wrong_numbers_fail() {
        let cpu = Device::flex();
        let result = pollster::block_on(compare(&cpu, &cpu)).unwrap();
        assert_eq!(result, SelfTest { forward_error: 0.0, backward_error: 0.0 });
        assert!(result.judged(TOLERANCE).is_ok());
        for backward_error in [0.01, f64::NAN] {
            let wrong = SelfTest { forward_error: 0.0, backward_error }.judged(TOLERANCE).unwrap_err();
            assert!(wrong.contains("backward by"), "{wrong}");
        }
        assert!(error(&[1.0, f32::NAN], &[1.0, 1.0]).is_infinite());
        assert!(error(&[1.0, 1.1], &[1.0, 1.0]) > TOLERANCE);
    }
}
