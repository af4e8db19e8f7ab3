//! Too little memory: halve the samples that are on the device at once, and accumulate twice as many portions.
//!
//! On the CPU nothing tells when memory runs out before the system ends the program, so what an update needs is measured
//! on one sample first, or on two where they are compared with each other (Linux only; nothing is known elsewhere).

use anyhow::{Result, bail};
use burn::tensor::Device;
use sonoseg_core::tasks::Task;
use sonoseg_core::train::loader::{Drawn, read_views};
use sonoseg_core::train::{Progress, trial};
use sysinfo::System;

use super::setup::Setup;
use crate::failure::OutOfMemory;
use crate::terminal::warn;

/// Bytes of a number.
const NUMBER: u64 = 4;

/// Make the micro-batch of `setup` fit into the memory: `limit`, or what is free. The run comes back as it was.
pub(super) fn fit<T: Task>(
    limit: Option<u64>,
    task: &T,
    progress: Progress<T::Model>,
    setup: &mut Setup,
    device: &Device,
) -> Result<Progress<T::Model>> {
    if setup.train.is_empty() {
        return Ok(progress);
    }
    if peak().is_none() {
        if limit.is_some() {
            warn("this system does not tell how much memory a program uses, so that --memory is not kept");
        }
        return Ok(progress);
    }
    let config = &setup.recipe.train;
    // What is compared with others or normalised with them needs two.
    let tried = if task.batch_may_be_cut() { 1 } else { 2 };
    let samples = setup.train.iter().cycle().take(tried);
    let plan: Vec<Drawn> = samples.map(|&sample| Drawn { sample, changes: Some(0) }).collect();
    let views = pollster::block_on(read_views(task, &setup.data, &plan, setup.recipe.seed))?;
    let mut peaks = Vec::new();
    let trial = trial(task, progress, &views, setup.recipe.seed, device, || peaks.push(peak()));
    let progress = pollster::block_on(trial)?;
    let [Some(before), Some(after)] = peaks[..] else { return Ok(progress) };
    let needed = after - before;

    // Weights, gradients, and the sums and moments that the optimiser keeps.
    let parameters = progress.parameters() as u64 * NUMBER;
    let sample = (needed.saturating_sub(parameters) / tried as u64).max(NUMBER);
    let fixed = 4 * parameters;
    let free = limit.unwrap_or_else(available);
    let smallest = if task.batch_may_be_cut() { 1 } else { config.batch };
    let Some((batch, accumulate)) = portions([config.batch, config.accumulate.max(1)], smallest, fixed, sample, free)
    else {
        bail!(OutOfMemory { samples: smallest, needed: fixed + sample * smallest as u64, free });
    };
    if batch < config.batch {
        warn(format!(
            "an update with {} samples at once needs about {} MB, and {} MB are free: {batch} at once and {accumulate} \
             times instead. The weights come out alike, not bit by bit the same",
            config.batch,
            (fixed + sample * config.batch as u64) >> 20,
            free >> 20
        ));
        setup.recipe.train.batch = batch;
        setup.recipe.train.accumulate = accumulate;
    }
    Ok(progress)
}

/// Samples at once and portions of an update, the first halved down to `smallest` and the second doubled until `free`
/// bytes are enough for `fixed` bytes and `sample` bytes a sample. None when not even the smallest batch fits.
fn portions(
    [mut batch, mut accumulate]: [usize; 2],
    smallest: usize,
    fixed: u64,
    sample: u64,
    free: u64,
) -> Option<(usize, usize)> {
    while fixed + sample * batch as u64 > free {
        if batch <= smallest {
            return None;
        }
        batch = batch.div_ceil(2);
        accumulate *= 2;
    }
    Some((batch, accumulate))
}

/// The most memory that this program has used so far, in bytes, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// Free memory in bytes, of the container where there is one.
fn available() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let free = system.available_memory();
    system.cgroup_limits().map_or(free, |limits| free.min(limits.free_memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_halve_until_they_fit() {
        assert_eq!(portions([8, 8], 1, 100, 10, 180), Some((8, 8)));
        assert_eq!(portions([8, 8], 1, 100, 10, 179), Some((4, 16)));
        assert_eq!(portions([8, 1], 1, 100, 10, 110), Some((1, 8)));
        assert_eq!(portions([8, 1], 1, 100, 10, 109), None);
        assert_eq!(portions([8, 1], 8, 100, 10, 180), Some((8, 1)), "a batch that must not be cut");
        assert_eq!(portions([8, 1], 8, 100, 10, 179), None, "is not cut");
    }
}
