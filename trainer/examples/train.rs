//! Our side of `cargo xtask bench train` on the CPU; `bench/train.py` starts it and talks to it by lines.
//!
//! - `train config PRESET` prints the configurations of the networks as JSON.
//! - `train run KIND CONFIG TENSORS` (KIND: `unetr` or `mae`) loads weights (`param.*`), `images`, and `target` or `noise`
//!   from a safetensors file, prints the loss, and answers each number of standard input with the milliseconds of so
//!   many training steps: forward, loss, backward, AdamW.

#![expect(clippy::print_stdout, reason = "lines on standard output are how this program answers")]

use std::io::{BufRead, stdin};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use sonoseg_core::blocks::masking::Masking;
use sonoseg_core::checkpoint::{State, decode_tensors, write_state};
use sonoseg_core::losses::overlap::{DiceFocalConfig, dice_focal};
use sonoseg_core::losses::pixels::masked_mse;
use sonoseg_core::models::mae::MaeConfig;
use sonoseg_core::models::unetr::{Preset, UnetrConfig};
use sonoseg_core::optim::rules::{ParameterRule, Rule};
use sonoseg_core::optim::{Optimiser, OptimiserConfig};

#[path = "../src/allocator.rs"]
mod allocator;

fn main() -> Result<()> {
    allocator::keep_freed_memory();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["config", preset] => {
            let preset: Preset = serde_json::from_value(preset.into())?;
            let (unetr, mae) = (UnetrConfig::preset(preset, 1), MaeConfig::preset(preset));
            println!("{}", serde_json::to_string(&serde_json::json!({ "unetr": unetr, "mae": mae }))?);
            Ok(())
        }
        ["run", kind, config, tensors] => {
            let mut tensors = decode_tensors(tensors, &std::fs::read(tensors).with_context(|| tensors.to_owned())?)?;
            let device = Device::flex().autodiff();
            let images: Tensor<4> = take(&mut tensors, "images", &device)?;
            match kind {
                "unetr" => {
                    let target: Tensor<4> = take(&mut tensors, "target", &device)?;
                    let config: UnetrConfig = serde_json::from_str(config)?;
                    let model = write_state("weights", weights(tensors), config.init(&device))?;
                    let loss = DiceFocalConfig::default();
                    serve(model, |model| dice_focal(model.forward(images.clone()), target.clone(), &loss))
                }
                "mae" => {
                    let config: MaeConfig = serde_json::from_str(config)?;
                    let (_, noise) = tensors.remove("noise").context("there is no noise")?;
                    let masking = Masking::from_noise(&noise, config.patches(), config.mask_ratio);
                    let model = write_state("weights", weights(tensors), config.init(&device))?;
                    let patch = config.encoder.patch_size;
                    serve(model, |model| {
                        masked_mse(images.clone(), model.forward(images.clone(), &masking), &masking, patch, true)
                    })
                }
                other => bail!("{other} is not a kind"),
            }
        }
        _ => bail!("`cargo xtask bench train` starts this program, with other words than {words:?}."),
    }
}

fn take<const D: usize>(tensors: &mut State, name: &str, device: &Device) -> Result<Tensor<D>> {
    let (shape, numbers) = tensors.remove(name).with_context(|| format!("there is no {name}"))?;
    Ok(Tensor::from_data(TensorData::new(numbers, shape), device))
}

fn weights(tensors: State) -> State {
    tensors.into_iter().filter_map(|(name, tensor)| Some((name.strip_prefix("param.")?.to_owned(), tensor))).collect()
}

fn serve<M: Module>(mut model: M, loss: impl Fn(&M) -> Tensor<1>) -> Result<()> {
    let config = OptimiserConfig::default();
    let rule = |_: &str, axes| ParameterRule { rate_scale: 1.0, ..config.rule(Rule::plain(axes)) };
    let mut optimiser = Optimiser::new(config.clone());
    println!("{}", loss(&model).into_scalar::<f32>());
    for line in stdin().lock().lines() {
        let mut times = Vec::new();
        for _ in 0..line?.trim().parse::<usize>()? {
            let start = Instant::now();
            let value = loss(&model);
            let gradients = GradientsParams::from_grads(value.backward(), &model);
            model = optimiser.step(model, gradients, 1e-4, rule);
            value.into_scalar::<f32>();
            times.push((start.elapsed().as_secs_f64() * 1e3).to_string());
        }
        println!("{}", times.join(" "));
    }
    Ok(())
}
