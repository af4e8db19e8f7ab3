//! From samples to batches: which samples, in which order, changed how. Knows no task.

use burn::tensor::{Device, Tensor, TensorData};

use super::DataError;
use super::sample::{Sample, Source};
use crate::rng::Rng;

/// One network input with its target, as numbers on the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Row-major `input_shape`.
    pub input: Vec<f32>,
    /// `[channels, height, width]`.
    pub input_shape: [usize; 3],
    /// Row-major `target_shape`.
    pub target: Vec<f32>,
    /// `[masks, height, width]`.
    pub target_shape: [usize; 3],
}

impl View {
    /// A view whose task needs no target; a single 0 stands in its place.
    pub fn without_target(input: Vec<f32>, input_shape: [usize; 3]) -> Self {
        Self { input, input_shape, target: vec![0.0], target_shape: [1; 3] }
    }
}

/// Which samples make a batch, and whether they are changed at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    /// Keys the random changes, together with the sample's number.
    pub epoch: u64,
    /// Sample numbers in the source.
    pub samples: Vec<usize>,
    /// Random changes (training) or none (measuring).
    pub augmented: bool,
}

/// The training batches of an epoch in random order; the last incomplete batch is dropped.
pub fn training_plans(samples: &[usize], batch: usize, seed: u64, epoch: u64) -> Vec<BatchPlan> {
    let order = Rng::stream(seed, "order", [epoch, 0]).permutation(samples.len());
    order
        .chunks_exact(batch.min(samples.len()).max(1))
        .map(|chunk| BatchPlan { epoch, samples: chunk.iter().map(|&i| samples[i]).collect(), augmented: true })
        .collect()
}

/// The training batches of an epoch of about `total` samples: as many passes over the data as that takes, each in an order
/// and with random changes of its own. Without a total, one pass.
pub fn epoch_plans(samples: &[usize], batch: usize, total: Option<usize>, seed: u64, epoch: u64) -> Vec<BatchPlan> {
    let pass = |number: u64| training_plans(samples, batch, seed, number);
    let Some(total) = total else { return pass(epoch) };
    let batches = (total / batch).max(1);
    let passes = batches.div_ceil(pass(0).len().max(1)) as u64;
    (0..passes).flat_map(|number| pass(epoch * passes + number)).take(batches).collect()
}

/// All samples in order, unchanged.
pub fn measuring_plans(samples: &[usize], batch: usize) -> Vec<BatchPlan> {
    let plan = |chunk: &[usize]| BatchPlan { epoch: 0, samples: chunk.to_vec(), augmented: false };
    samples.chunks(batch.max(1)).map(plan).collect()
}

/// How a task makes views of a sample; changed at random when a generator is given.
pub type MakeViews<'a> = dyn Fn(&Sample, Option<&mut Rng>) -> Result<Vec<View>, DataError> + 'a;

/// A batch on the CPU, ready to be uploaded.
#[derive(Clone, Debug, PartialEq)]
pub struct HostBatch {
    /// The views, all of one shape.
    pub views: Vec<View>,
}

/// What the device gets: `[batch, channels, height, width]` and `[batch, masks, height, width]`.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Network input.
    pub input: Tensor<4>,
    /// What the network should give.
    pub target: Tensor<4>,
}

impl HostBatch {
    /// Read the samples of a plan and make their views. The same plan always gives the same batch.
    pub fn make(source: &dyn Source, plan: &BatchPlan, seed: u64, views: &MakeViews<'_>) -> Result<Self, DataError> {
        let mut all = Vec::with_capacity(plan.samples.len());
        for &index in &plan.samples {
            let sample = source.load(index)?;
            let mut rng = Rng::stream(seed, "augment", [plan.epoch, index as u64]);
            all.extend(views(&sample, plan.augmented.then_some(&mut rng))?);
        }
        Ok(Self { views: all })
    }

    /// Upload.
    pub fn to_device(&self, device: &Device) -> Batch {
        let gather = |shape: fn(&View) -> [usize; 3], numbers: fn(&View) -> &Vec<f32>| {
            let [a, b, c] = self.views.first().map_or([0; 3], shape);
            let all: Vec<f32> = self.views.iter().flat_map(|view| numbers(view).iter().copied()).collect();
            Tensor::from_data(TensorData::new(all, [self.views.len(), a, b, c]), device)
        };
        Batch { input: gather(|v| v.input_shape, |v| &v.input), target: gather(|v| v.target_shape, |v| &v.target) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_plans_cover_an_epoch_in_another_order_each_time() {
        let samples: Vec<usize> = (100..123).collect();
        let plans = training_plans(&samples, 5, 1, 0);
        assert_eq!(plans.len(), 4);
        let mut seen: Vec<usize> = plans.iter().flat_map(|p| p.samples.clone()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 20);
        assert_ne!(plans, training_plans(&samples, 5, 1, 1));
        assert_eq!(plans, training_plans(&samples, 5, 1, 0));
        // 4 batches of a pass, and 6 in an epoch of 33 samples: the second pass changes its samples anew.
        let long = epoch_plans(&samples, 5, Some(33), 1, 2);
        assert_eq!((long.len(), long[3].epoch, long[4].epoch), (6, 4, 5));
        assert_eq!(epoch_plans(&samples, 5, Some(33), 1, 3)[0].epoch, 6, "no pass occurs twice");
        assert_eq!(epoch_plans(&samples, 5, None, 1, 2), training_plans(&samples, 5, 1, 2));
        assert_eq!(measuring_plans(&samples, 10).iter().map(|p| p.samples.len()).collect::<Vec<_>>(), [10, 10, 3]);
    }
}
