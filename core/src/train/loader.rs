//! From samples to views: which samples, in which order, changed how.

use super::TrainConfig;
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

/// What is learned from and what is measured on, by numbers in the source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Samples<'a> {
    /// To learn from: an epoch goes through all of them.
    pub train: &'a [usize],
    /// Others to learn from beside them, simulated ones for example: batches are filled up with them.
    pub beside: &'a [usize],
    /// Share of those others, 0 to below 1, where there are any.
    pub share: f64,
    /// To measure on.
    pub val: &'a [usize],
}

impl Samples<'_> {
    /// Others among the first `samples` of an epoch.
    fn others(&self, samples: usize) -> usize {
        // A share like 0.3 is a little less than it says.
        if self.beside.is_empty() { 0 } else { (samples as f64 * self.share + 1e-9) as usize }
    }
}

/// The training batches of an epoch in random order; the last incomplete batch is dropped.
///
/// Without a total, every sample once in each pass, with changes that no other pass has. With one, the same `total` in every
/// epoch: the samples as they are, then changed ones until there are enough (Amiri 2019 augments its images to a given total,
/// once). Of more samples than the total every epoch takes others.
pub fn training_plans(all: &Samples<'_>, config: &TrainConfig, seed: u64, epoch: u64) -> Vec<BatchPlan> {
    let (samples, batch) = (all.train, config.batch.max(1));
    let passes = config.passes_per_epoch.max(1) as u64;
    let drawn: Vec<Drawn> = match config.samples_per_epoch {
        None => {
            let pass = |number| samples.iter().map(move |&sample| Drawn { sample, changes: Some(number) });
            (epoch * passes..(epoch + 1) * passes).flat_map(pass).collect()
        }
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
    let (mut sizes, mut at) = (Vec::new(), 0);
    while at < order.len() {
        let beside = all.others((sizes.len() + 1) * batch) - all.others(sizes.len() * batch);
        let own = (batch - beside).min(order.len());
        if at + own > order.len() {
            break;
        }
        sizes.push((own, beside));
        at += own;
    }
    let count: usize = sizes.iter().map(|(_, beside)| beside).sum();
    let mut others = others_from(all.beside, seed, epoch * count as u64);
    let mut own = order.iter().map(|&index| drawn[index]);
    sizes.iter().map(|&(data, beside)| own.by_ref().take(data).chain(others.by_ref().take(beside)).collect()).collect()
}

/// Others from the one on that has its turn after so many, over all epochs: each once in every pass, changed anew.
fn others_from(others: &[usize], seed: u64, first: u64) -> impl Iterator<Item = Drawn> {
    let count = others.len().max(1) as u64;
    let passes = (first / count..).take_while(|_| !others.is_empty());
    let pass = move |number| {
        let order = Rng::stream(seed, "beside", [number, 0]).permutation(others.len());
        order.into_iter().map(move |index| Drawn { sample: others[index], changes: Some(number) })
    };
    passes.flat_map(pass).skip((first % count) as usize)
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

    fn config(batch: usize, samples_per_epoch: Option<usize>) -> TrainConfig {
        TrainConfig { batch, samples_per_epoch, ..TrainConfig::default() }
    }

    /// Plans of samples with nothing beside them.
    fn plans(train: &[usize], batch: usize, total: Option<usize>, epoch: u64) -> Vec<BatchPlan> {
        training_plans(&Samples { train, ..Samples::default() }, &config(batch, total), 1, epoch)
    }

    #[test]
    fn an_epoch_covers_the_samples_in_another_order_each_time() {
        let samples: Vec<usize> = (100..123).collect();
        let config = config(5, None);
        let plans = |epoch| training_plans(&Samples { train: &samples, ..Samples::default() }, &config, 1, epoch);
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
        let lengths = |batch| plans(&samples, batch, Some(8), 0).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!((lengths(3), lengths(20)), (vec![3, 3], vec![8]));
        let all = |number| plans(&samples, 2, Some(8), number).concat();
        let set = |number| all(number).iter().map(|drawn| (drawn.sample, drawn.changes)).collect::<BTreeSet<_>>();
        let whole = samples.map(|sample| [None, Some(0), Some(1)].map(|changes| (sample, changes))).concat();
        let whole: BTreeSet<_> = whole.into_iter().filter(|drawn| *drawn != (9, Some(1))).collect();
        assert_eq!((set(0), set(1)), (whole.clone(), whole));
        assert_ne!(all(0), all(1));
        assert!(plans(&[], 2, Some(8), 0).is_empty());
        let few = |epoch| plans(&(0..20).collect::<Vec<_>>(), 2, Some(4), epoch).concat();
        let seen: BTreeSet<usize> = (0..40).flat_map(few).map(|drawn| drawn.sample).collect();
        assert_eq!((few(0).len(), seen.len()), (4, 20), "all have their turn");
    }

    #[test]
    fn an_epoch_of_several_passes_changes_every_sample_in_each_of_them_otherwise() {
        let config = TrainConfig { passes_per_epoch: 3, ..config(2, None) };
        let samples = Samples { train: &[4, 5], ..Samples::default() };
        let drawn = |epoch| training_plans(&samples, &config, 1, epoch).concat();
        let changes =
            |epoch: u64| -> BTreeSet<_> { drawn(epoch).iter().map(|one| (one.sample, one.changes)).collect() };
        let expected = |first: u64| -> BTreeSet<_> {
            (first..first + 3).flat_map(|pass| [(4, Some(pass)), (5, Some(pass))]).collect()
        };
        assert_eq!((changes(0), changes(2)), (expected(0), expected(6)));
    }

    #[test]
    fn others_have_their_share_of_every_update() {
        let beside: Vec<usize> = (100..110).collect();
        for (share, of_eight) in [(0.0, 0), (0.25, 2), (0.5, 4), (0.75, 6)] {
            let samples = Samples { train: &[1, 2, 3], beside: &beside, share, val: &[] };
            let config = TrainConfig { passes_per_epoch: 16, ..config(2, None) };
            let plans = training_plans(&samples, &config, 1, 0);
            for update in plans.chunks_exact(4) {
                let others = update.concat().iter().filter(|drawn| drawn.sample >= 100).count();
                assert_eq!((others, update.concat().len()), (of_eight, 8), "{share}");
            }
            let own = plans.concat().iter().filter(|drawn| drawn.sample < 100).count();
            assert!((46..=48).contains(&own), "all of the data are used: {own}");
            let seen: BTreeSet<usize> =
                plans.concat().iter().map(|drawn| drawn.sample).filter(|&one| one > 99).collect();
            assert!(share == 0.0 || seen.len() == 10, "all others have their turn: {seen:?}");
        }
        // Over epochs, too, each has its turn before any has it twice.
        let samples = Samples { train: &[1, 2, 3], beside: &beside, share: 0.5, val: &[] };
        let epochs = (0..5).map(|epoch| training_plans(&samples, &config(2, None), 1, epoch).concat());
        let turns: Vec<Drawn> = epochs.flatten().filter(|drawn| drawn.sample > 99).collect();
        let once: BTreeSet<usize> = turns[..10].iter().map(|drawn| drawn.sample).collect();
        assert!(once.len() == 10 && turns.len() > 12, "{turns:?}");
        assert!(turns.iter().enumerate().all(|(at, drawn)| drawn.changes == Some(at as u64 / 10)), "{turns:?}");
        let few = Samples { train: &[1], beside: &beside, share: 0.5, val: &[] };
        let plans = training_plans(&few, &TrainConfig { batch: 8, ..TrainConfig::default() }, 1, 0);
        assert_eq!(plans.iter().map(Vec::len).collect::<Vec<_>>(), [5], "a batch of what there is");
    }
}
