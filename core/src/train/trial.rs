//! An update on trial, to see what it costs.

use burn::tensor::Device;

use super::Progress;
use crate::tasks::{Step, Task};
use sonoseg_imaging::rng::Rng;

/// Compute the gradients of some views and throw them away; the run stays bit by bit as it is.
pub fn trial<T: Task>(task: &T, progress: &Progress<T::Model>, views: &[T::View], seed: u64, device: &Device) {
    let updates = progress.position.updates;
    let mut step = Step { rng: Rng::stream(seed, "memory", [0, 0]), updates, total: updates };
    let batch = task.collate(views, &device.clone().autodiff());
    // Of a copy, for a training pass changes running statistics; those of our layers belong to one copy alone. Saving the
    // state first instead would draw the initial weights in another order: Burn draws each when it is first used.
    drop(task.loss(&progress.model.clone(), &batch, &mut step).total.backward());
}
