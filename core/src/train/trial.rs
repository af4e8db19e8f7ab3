//! What an update costs, found by trying.

use burn::tensor::Device;

use super::{Progress, TrainError};
use crate::checkpoint::{CheckpointError, read_state, write_state};
use crate::tasks::{Step, Task};
use sonoseg_imaging::rng::Rng;

/// Compute the gradients of some views and throw them away. Gives the run bit by bit as it was, and by how much `peak`, the
/// most memory used so far, grew; none where nothing tells.
pub async fn trial<T: Task>(
    task: &T,
    progress: Progress<T::Model>,
    views: &[T::View],
    seed: u64,
    device: &Device,
    peak: impl Fn() -> Option<u64>,
) -> Result<(Progress<T::Model>, Option<u64>), TrainError> {
    let failed = |error: CheckpointError| TrainError::Device(error.to_string());
    // A training pass changes running statistics. The state is saved and put back, for a copy might share some of it.
    let state = read_state(&progress.model).await.map_err(failed)?;
    let before = peak();
    let updates = progress.position.updates;
    let mut step = Step { rng: Rng::stream(seed, "memory", [0, 0]), updates, total: updates };
    let batch = task.collate(views, &device.clone().autodiff());
    drop(task.loss(&progress.model, &batch, &mut step).total.backward());
    let grown = before.zip(peak()).map(|(before, after)| after.saturating_sub(before));
    let model = write_state("the trial of memory", state, progress.model).map_err(failed)?;
    Ok((Progress { model, ..progress }, grown))
}
