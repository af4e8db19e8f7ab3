//! Exit codes that scripts can rely on.

use sonoseg_core::checkpoint::CheckpointError;
use sonoseg_core::recipe::RecipeError;
use sonoseg_core::train::TrainError;
use sonoseg_imaging::DataError;

/// Exit code after Ctrl-C, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Exit code when everything was done, and could not be told: standard output is a file on a full disk, for example.
pub(crate) const UNSAID: u8 = 3;

/// Some inputs could not be used; the rest was done.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {total} inputs could not be used; the others are done")]
pub(crate) struct SomeFailed {
    pub(crate) failed: usize,
    pub(crate) total: usize,
}

/// A data set has errors, which are told already.
#[derive(Debug, thiserror::Error)]
#[error("{errors} errors in {name}: mend them before training")]
pub(crate) struct Unsound {
    pub(crate) errors: usize,
    pub(crate) name: String,
}

/// A wrong argument that the parser cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Ctrl-C: what was done is kept, and what to do next is told already.
#[derive(Debug, thiserror::Error)]
#[error("stopped by Ctrl-C")]
pub(crate) struct Interrupted;

/// A command of a study failed, and the study with it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct RunFailed {
    pub(crate) message: String,
    /// Exit code of the command; none when it was killed.
    pub(crate) code: Option<i32>,
}

/// Not even the smallest batch fits.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.sentence())]
pub(crate) struct OutOfMemory {
    /// Samples of that batch: 1, or all where the task's batch must not be cut.
    pub(crate) samples: usize,
    /// Bytes that it needs.
    pub(crate) needed: u64,
    /// Bytes that are free.
    pub(crate) free: u64,
}

impl OutOfMemory {
    fn sentence(&self) -> String {
        let (needed, free) = (self.needed >> 20, self.free >> 20);
        let (what, remedy) = match self.samples {
            1 => ("one sample at a time".to_owned(), "choose a smaller network"),
            samples => (
                format!("{samples} samples at once, which this task compares with each other,"),
                "lower train.batch, which changes what is learned, choose a smaller network",
            ),
        };
        format!("training {what} needs about {needed} MB, and {free} MB are free: {remedy}, or close other programs")
    }
}

/// 2 usage or recipe, 3 data, 4 memory, 5 diverged, 130 interrupted, 1 anything else; of a study that of the run that failed.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Usage>() || cause.is::<RecipeError>() {
            return 2;
        }
        if cause.is::<DataError>() || cause.is::<CheckpointError>() || cause.is::<SomeFailed>() || cause.is::<Unsound>()
        {
            return 3;
        }
        if cause.is::<OutOfMemory>() {
            return 4;
        }
        if cause.is::<Interrupted>() {
            return INTERRUPTED;
        }
        if let Some(RunFailed { code, .. }) = cause.downcast_ref() {
            return code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        }
        match cause.downcast_ref::<TrainError>() {
            Some(TrainError::Diverged { .. }) => return 5,
            Some(TrainError::Data(_)) => return 3,
            Some(TrainError::Accumulated(_)) => return 2,
            Some(TrainError::Device(reason)) if reason.to_lowercase().contains("memory") => return 4,
            _ => {}
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return if io.kind() == std::io::ErrorKind::OutOfMemory { 4 } else { 3 };
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn every_kind_of_failure_has_its_code() {
        let data: Result<(), _> = Err(DataError::unreadable("a.png", "is cut short"));
        assert_eq!(exit_code(&data.context("reading").unwrap_err()), 3);
        assert_eq!(exit_code(&Usage("no".into()).into()), 2);
        assert_eq!(exit_code(&TrainError::Diverged { epoch: 0, step: 0, loss: f64::NAN }.into()), 5);
        assert_eq!(exit_code(&TrainError::Device("out of memory".into()).into()), 4);
        let whole_batch = OutOfMemory { samples: 8, needed: 300 << 20, free: 200 << 20 };
        let sentence = whole_batch.to_string();
        assert!(
            sentence.contains("8 samples at once") && sentence.contains("300 MB, and 200 MB are free"),
            "{sentence}"
        );
        assert_eq!(exit_code(&whole_batch.into()), 4, "a batch that must not be cut");
        assert_eq!(exit_code(&anyhow::anyhow!("something")), 1);
        assert_eq!(exit_code(&Interrupted.into()), 130);
        for (code, expected) in [(Some(5), 5), (None, 1)] {
            assert_eq!(exit_code(&RunFailed { message: "run a failed".into(), code }.into()), expected);
        }
    }
}
