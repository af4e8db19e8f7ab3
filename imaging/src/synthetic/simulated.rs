//! Simulated frames as samples, by themselves or beside those of another source.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{NeedleSimConfig, ProcedureSim};
use crate::DataError;
use crate::dataset::sample::{Sample, Source, Target};
use crate::geometry::{Image, Needle};
use crate::rng::Rng;

/// Frames of an insertion, of which a sample shows a few.
const INSERTION: usize = 24;

/// The first so many samples are kept once they are made; those of a longer list are hardly used twice.
const KEPT: usize = 256;

/// The group of all simulated samples.
const GROUP: &str = "simulated";

/// Samples of insertions of which none is seen twice: sample `n` is of procedure `n`. The first [`Simulated::len`] are for
/// learning, and some hundreds of them are kept once they are made; those behind are for measuring.
#[derive(Debug)]
pub struct Simulated {
    config: NeedleSimConfig,
    seed: u64,
    count: usize,
    window: usize,
    made: Mutex<BTreeMap<usize, Arc<Made>>>,
}

/// A simulated window: the bytes of its frames as a file would have them, and its needles.
#[derive(Debug)]
struct Made {
    frames: Vec<(usize, usize, Vec<u8>)>,
    needles: Vec<Option<Needle>>,
}

impl Simulated {
    /// `count` samples of `window` frames in a row.
    pub fn new(config: NeedleSimConfig, seed: u64, count: usize, window: usize) -> Self {
        Self { config, seed, count, window, made: Mutex::default() }
    }

    /// Samples to learn from.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True where there is nothing to learn from.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sample `index`; from [`Simulated::len`] on it is one that nobody learns from. Pixels have the 256 levels of a file.
    pub fn sample(&self, index: usize) -> Sample {
        let kept = || self.made.lock().ok()?.get(&index).cloned();
        let made = kept().unwrap_or_else(|| {
            let made = Arc::new(self.make(index));
            if let (true, Ok(mut all)) = (index < self.count.min(KEPT), self.made.lock()) {
                all.insert(index, made.clone());
            }
            made
        });
        Sample {
            id: format!("{GROUP}/{index:06}"),
            group: GROUP.to_owned(),
            frames: made
                .frames
                .iter()
                .map(|(height, width, bytes)| Image::from_grey8(*height, *width, bytes))
                .collect(),
            targets: made.needles.iter().map(|needle| Target::Needle(*needle)).collect(),
        }
    }

    fn make(&self, index: usize) -> Made {
        let length = INSERTION.max(self.window);
        let procedure = ProcedureSim::new(&self.config, self.seed, index as u64, length);
        let first = Rng::stream(self.seed, "simulated", [index as u64, 0]).below(length - self.window + 1);
        let (mut frames, mut needles) = (Vec::new(), Vec::new());
        for frame in (first..first + self.window).map(|at| procedure.frame(at)) {
            frames.push((frame.image.height, frame.image.width, frame.image.to_bytes()));
            needles.push(frame.needle);
        }
        Made { frames, needles }
    }
}

/// The samples of a source, and behind them simulated ones, where there are any.
#[derive(Debug)]
pub struct Beside<'a, S> {
    source: &'a S,
    simulated: Option<&'a Simulated>,
}

impl<'a, S: Source> Beside<'a, S> {
    /// Both together.
    pub fn new(source: &'a S, simulated: Option<&'a Simulated>) -> Self {
        Self { source, simulated }
    }

    /// Numbers of the simulated samples.
    pub fn simulated(&self) -> Vec<usize> {
        let first = self.source.len();
        (first..first + self.simulated.map_or(0, Simulated::len)).collect()
    }
}

impl<S: Source> Source for Beside<'_, S> {
    fn len(&self) -> usize {
        self.source.len() + self.simulated.map_or(0, Simulated::len)
    }

    fn group(&self, index: usize) -> &str {
        if index < self.source.len() { self.source.group(index) } else { GROUP }
    }

    async fn load(&self, index: usize) -> Result<Sample, DataError> {
        match self.simulated.zip(index.checked_sub(self.source.len())) {
            Some((simulated, index)) => Ok(simulated.sample(index)),
            None => self.source.load(index).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::task::{Context, Poll, Waker};

    struct Two;

    impl Source for Two {
        fn len(&self) -> usize {
            2
        }

        fn group(&self, _: usize) -> &str {
            "two"
        }

        async fn load(&self, index: usize) -> Result<Sample, DataError> {
            Ok(Sample { id: format!("two/{index}"), group: "two".into(), frames: vec![], targets: vec![] })
        }
    }

    fn at_once<T>(future: impl Future<Output = T>) -> T {
        match Box::pin(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("nothing has to be waited for"),
        }
    }

    #[test]
    fn simulated_samples_stand_behind_the_others_and_are_always_the_same() {
        let config = NeedleSimConfig { image_side_px: [61.0, 97.0], ..NeedleSimConfig::default() };
        let make = || Simulated::new(config.clone(), 7, 3, 2);
        let simulated = make();
        let both = Beside::new(&Two, Some(&simulated));
        assert_eq!((both.len(), both.simulated(), both.group(1), both.group(2)), (5, vec![2, 3, 4], "two", GROUP));
        let samples: Vec<Sample> = (0..5).map(|index| at_once(both.load(index)).unwrap()).collect();
        assert_eq!((samples[1].id.as_str(), samples[2].id.as_str()), ("two/1", "simulated/000000"));
        for (index, sample) in samples[2..].iter().enumerate() {
            assert_eq!((sample.frames.len(), sample.targets.len()), (2, 2));
            assert_eq!(*sample, make().sample(index), "from its number alone");
            assert_eq!(*sample, simulated.sample(index), "as it was kept");
            let frame = &sample.frames[0];
            let file = Image::from_grey8(frame.height, frame.width, &frame.to_bytes());
            assert_eq!(file.pixels, frame.pixels, "the levels of a file");
        }
        let fresh: BTreeSet<String> = (0..6).map(|index| format!("{:?}", simulated.sample(index).frames)).collect();
        assert_eq!(fresh.len(), 6, "all differ, those for measuring, too");
        let alone = Beside::new(&Two, None);
        assert!(alone.len() == 2 && alone.simulated().is_empty());
    }
}
