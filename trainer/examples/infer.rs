//! Our side of `cargo xtask bench infer` on the CPU; `bench/infer.py` starts it and talks to it by lines.
//!
//! - `infer config PRESET` prints the network's configuration as JSON.
//! - `infer run CONFIG WEIGHTS` answers each line of standard input with one line:
//!   `load PART INPUTS OUT` computes a part on the tensors of a safetensors file and writes the result, numbers
//!   only; `time PART REPEATS` prints the milliseconds of each repeat.

#![expect(clippy::print_stdout, reason = "lines on standard output are how this program answers")]

#[path = "../../bench/parts.rs"]
mod parts;

use std::collections::BTreeMap;
use std::io::{BufRead, stdin};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use burn::tensor::{Device, Tensor, TensorData};
use sonoseg_core::checkpoint::{decode_tensors, write_state};
use sonoseg_core::models::unetr::{Preset, Unetr, UnetrConfig};

#[path = "../src/allocator.rs"]
mod allocator;

fn main() -> Result<()> {
    allocator::keep_freed_memory();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["config", preset] => {
            let preset: Preset = serde_json::from_value(preset.into())?;
            println!("{}", serde_json::to_string(&UnetrConfig::preset(preset, 1))?);
            Ok(())
        }
        ["run", config, weights] => Contestant::new(config, weights)?.serve(),
        _ => bail!("`cargo xtask bench infer` starts this program, with other words than {words:?}."),
    }
}

/// A network with the inputs of its parts.
struct Contestant {
    network: Unetr,
    taps: [usize; 3],
    device: Device,
    inputs: BTreeMap<String, Vec<Tensor<4>>>,
}

impl Contestant {
    fn new(config: &str, weights: &str) -> Result<Self> {
        let config: UnetrConfig = serde_json::from_str(config)?;
        let device = Device::flex();
        let state = decode_tensors(weights, &std::fs::read(weights).with_context(|| weights.to_owned())?)?;
        let network = write_state(weights, state, config.init(&device))?;
        Ok(Self { network, taps: config.taps, device, inputs: BTreeMap::new() })
    }

    fn serve(mut self) -> Result<()> {
        println!("ready");
        for line in stdin().lock().lines() {
            let line = line?;
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["load", part, inputs, output] => self.load(part, inputs, output)?,
                ["time", part, repeats] => {
                    let times: Result<Vec<_>> =
                        (0..repeats.parse()?).map(|_| Ok(self.run(part)?.0.to_string())).collect();
                    println!("{}", times?.join(" "));
                }
                _ => bail!("'{line}' is not understood"),
            }
        }
        Ok(())
    }

    fn load(&mut self, part: &str, inputs: &str, output: &str) -> Result<()> {
        let tensors = decode_tensors(inputs, &std::fs::read(inputs).with_context(|| inputs.to_owned())?)?;
        let tensor =
            |(shape, numbers): (Vec<usize>, Vec<f32>)| Tensor::from_data(TensorData::new(numbers, shape), &self.device);
        self.inputs.insert(part.to_owned(), tensors.into_values().map(tensor).collect());
        let (milliseconds, numbers) = self.run(part)?;
        std::fs::write(output, numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())?;
        println!("{milliseconds}");
        Ok(())
    }

    /// Milliseconds from inputs to numbers that can be read, and the numbers.
    fn run(&self, part: &str) -> Result<(f64, Vec<f32>)> {
        let inputs = self.inputs.get(part).ok_or_else(|| anyhow!("part '{part}' has no inputs yet"))?;
        let start = Instant::now();
        let output = parts::run(&self.network, &self.taps, part, inputs).map_err(|reason| anyhow!(reason))?;
        let numbers = output.into_data().try_into_vec().map_err(|error| anyhow!("{error:?}"))?;
        Ok((start.elapsed().as_secs_f64() * 1e3, numbers))
    }
}
