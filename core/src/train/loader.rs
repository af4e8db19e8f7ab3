//! From samples to views: which samples, in which order, changed how.

use crate::tasks::Task;
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Source;
use sonoseg_imaging::rng::Rng;

/// A sample, and what keys its random changes; none = the sample as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Number in the source.
    pub sample: usize,
    /// Together with the sample's number the key of all that is drawn for it.
    pub changes: Option<u64>,
}

/// What makes a batch.
pub type BatchPlan = Vec<Drawn>;

/// The training batches of an epoch in random order; the last incomplete batch is dropped.
///
/// Without a total, every sample once, with changes that no other epoch has. With one, the same `total` in every epoch: the
/// samples as they are, then changed ones until there are enough (Amiri 2019 augments its images to a given total,
/// once). Of more samples than the total every epoch takes others.
pub fn training_plans(samples: &[usize], batch: usize, total: Option<usize>, seed: u64, epoch: u64) -> Vec<BatchPlan> {
    let drawn: Vec<Drawn> = match total {
        None => samples.iter().map(|&sample| Drawn { sample, changes: Some(epoch) }).collect(),
        Some(total) if total < samples.len() => {
            let chosen = Rng::stream(seed, "total", [epoch, 0]).permutation(samples.len()).into_iter().take(total);
            chosen.map(|index| Drawn { sample: samples[index], changes: None }).collect()
        }
        Some(total) => {
            let pass =
                |number: u64| samples.iter().map(move |&sample| Drawn { sample, changes: number.checked_sub(1) });
            (0..).flat_map(pass).take(if samples.is_empty() { 0 } else { total }).collect()
        }
    };
    let order = Rng::stream(seed, "order", [epoch, 0]).permutation(drawn.len());
    let chunks = order.chunks_exact(batch.min(drawn.len()).max(1));
    chunks.map(|chunk| chunk.iter().map(|&index| drawn[index]).collect()).collect()
}

/// All samples in order, unchanged.
pub fn measuring_plans(samples: &[usize], batch: usize) -> Vec<BatchPlan> {
    let plan = |chunk: &[usize]| chunk.iter().map(|&sample| Drawn { sample, changes: None }).collect();
    samples.chunks(batch.max(1)).map(plan).collect()
}

/// Read the samples of a plan and make their views. The same plan always gives the same views.
pub async fn read_views<T: Task>(
    task: &T,
    source: &impl Source,
    plan: &[Drawn],
    seed: u64,
) -> Result<Vec<T::View>, DataError> {
    let mut all = Vec::with_capacity(plan.len());
    for &Drawn { sample, changes } in plan {
        let mut rng = changes.map(|key| Rng::stream(seed, "augment", [key, sample as u64]));
        all.extend(task.views(&source.load(sample).await?, rng.as_mut())?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_epoch_covers_the_samples_in_another_order_each_time() {
        let samples: Vec<usize> = (100..123).collect();
        let plans = |epoch| training_plans(&samples, 5, None, 1, epoch);
        assert_eq!(plans(0).len(), 4);
        let seen: BTreeSet<usize> = plans(0).concat().iter().map(|drawn| drawn.sample).collect();
        assert_eq!(seen.len(), 20);
        assert_ne!(plans(0), plans(1));
        assert_eq!(plans(0), plans(0));
        assert!(plans(3).concat().iter().all(|drawn| drawn.changes == Some(3)), "no epoch changes them as another");
        assert_eq!(measuring_plans(&samples, 10).iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 3]);
    }

    #[test]
    fn a_total_is_the_samples_as_they_are_and_the_same_changed_ones_in_every_epoch() {
        let samples = [7, 8, 9];
        let lengths = |batch| training_plans(&samples, batch, Some(8), 1, 0).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!((lengths(3), lengths(20)), (vec![3, 3], vec![8]));
        let all = |number| training_plans(&samples, 2, Some(8), 1, number).concat();
        let set = |number| all(number).iter().map(|drawn| (drawn.sample, drawn.changes)).collect::<BTreeSet<_>>();
        let whole = samples.map(|sample| [None, Some(0), Some(1)].map(|changes| (sample, changes))).concat();
        let whole: BTreeSet<_> = whole.into_iter().filter(|drawn| *drawn != (9, Some(1))).collect();
        assert_eq!((set(0), set(1)), (whole.clone(), whole));
        assert_ne!(all(0), all(1));
        assert!(training_plans(&[], 2, Some(8), 1, 0).is_empty());
        let few = |epoch| training_plans(&(0..20).collect::<Vec<_>>(), 2, Some(4), 1, epoch).concat();
        let seen: BTreeSet<usize> = (0..40).flat_map(few).map(|drawn| drawn.sample).collect();
        assert_eq!((few(0).len(), seen.len()), (4, 20), "all have their turn");
    }
}
