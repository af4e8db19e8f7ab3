//! Learning: what will happen, what happens, how good the new model is, and the runs that are kept.

use leptos::prelude::*;

use crate::messages::{Choice, ClipId, Judgement, LearningPlan, Measurement, RunId, RunLine, RunState};

/// Where learning stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Phase {
    /// Nothing was asked for.
    #[default]
    Idle,
    /// What will happen is being found out: this is being done.
    Planning(String),
    /// This will happen.
    Planned(Box<LearningPlan>),
    /// A run learns; what it does before its first update.
    Learning(Option<String>),
    /// It was paused.
    Paused,
    /// It is done, and its model is being compared: this is being done.
    Judging(String),
    /// It is for the user to decide.
    Judged(Box<Judgement>),
    /// It cannot be, for this reason.
    Failed(String),
}

impl Phase {
    /// In a word, for the tests.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Planning(_) => "planning",
            Self::Planned(_) => "planned",
            Self::Learning(_) => "learning",
            Self::Paused => "paused",
            Self::Judging(_) => "judging",
            Self::Judged(_) => "judged",
            Self::Failed(_) => "failed",
        }
    }
}

/// The pinned frames: grey, and the probabilities before learning and now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pinned {
    pub(crate) size: usize,
    pub(crate) update: u64,
    pub(crate) frames: Vec<PinnedFrame>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PinnedFrame {
    pub(crate) name: String,
    pub(crate) grey: Vec<u8>,
    pub(crate) before: Vec<u8>,
    pub(crate) now: Vec<u8>,
}

/// Where the models look for a patch of a pinned frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Look {
    /// Which of the pinned frames.
    pub(crate) frame: usize,
    /// The place, from 0 to 1 from the left and from the top.
    pub(crate) at: [f64; 2],
    /// Patches along an edge; 0 until the answer is there, or for a network without attention.
    pub(crate) grid: usize,
    /// Maps before learning and now, one for each block that the decoder reads.
    pub(crate) maps: [Vec<Vec<u8>>; 2],
}

/// The store. Cheap to copy.
#[derive(Clone, Copy)]
pub(crate) struct Learning {
    pub(crate) phase: RwSignal<Phase>,
    pub(crate) choice: RwSignal<Choice>,
    /// The run of the moment.
    pub(crate) run: RwSignal<Option<RunId>>,
    /// Updates that are done, and all.
    pub(crate) updates: RwSignal<[u64; 2]>,
    /// Seconds that it took so far.
    pub(crate) seconds: RwSignal<f64>,
    /// Loss of every update.
    pub(crate) losses: RwSignal<Vec<(u64, f64)>>,
    pub(crate) measured: RwSignal<Vec<Measurement>>,
    pub(crate) pinned: RwSignal<Pinned>,
    pub(crate) look: RwSignal<Option<Look>>,
    /// All runs, the newest first.
    pub(crate) runs: RwSignal<Vec<RunLine>>,
}

impl Learning {
    pub(crate) fn new() -> Self {
        Self {
            phase: RwSignal::new(Phase::Idle),
            choice: RwSignal::new(Choice::default()),
            run: RwSignal::new(None),
            updates: RwSignal::new([0, 0]),
            seconds: RwSignal::new(0.0),
            losses: RwSignal::new(Vec::new()),
            measured: RwSignal::new(Vec::new()),
            pinned: RwSignal::new(Pinned::default()),
            look: RwSignal::new(None),
            runs: RwSignal::new(Vec::new()),
        }
    }

    /// A run begins or goes on: what was known of another one is forgotten.
    pub(crate) fn begin(&self, run: RunId, all: u64) {
        self.run.set(Some(run));
        self.updates.set([0, all]);
        self.seconds.set(0.0);
        self.losses.set(Vec::new());
        self.measured.set(Vec::new());
        self.look.set(None);
        self.phase.set(Phase::Learning(None));
    }

    /// The pinned frames as the newest weights see them; `buffers` are grey and probability in turn.
    pub(crate) fn pin(&self, names: Vec<String>, size: usize, update: u64, buffers: Vec<Vec<u8>>) {
        self.pinned.update(|pinned| {
            let mut buffers = buffers.into_iter();
            let old = std::mem::take(&mut pinned.frames);
            for name in names {
                let (Some(grey), Some(now)) = (buffers.next(), buffers.next()) else { break };
                let known = old.iter().find(|frame| frame.name == name && update > 0);
                let before = known.map_or_else(|| now.clone(), |frame| frame.before.clone());
                pinned.frames.push(PinnedFrame { name, grey, before, now });
            }
            (pinned.size, pinned.update) = (size, update);
        });
    }

    /// The run of the list that somebody is to decide about or go on with.
    pub(crate) fn open_run(&self) -> Option<RunLine> {
        self.runs.with_untracked(|runs| runs.iter().find(|run| run.about.state != RunState::Kept).cloned())
    }

    /// The run whose model is kept and has this hash.
    pub(crate) fn run_of(&self, model: ClipId) -> Option<RunId> {
        self.runs.with(|runs| runs.iter().find(|run| run.about.hash == Some(model)).map(|run| run.id.clone()))
    }

    /// What is known of a run.
    pub(crate) fn line(&self, id: &RunId) -> Option<RunLine> {
        self.runs.with_untracked(|runs| runs.iter().find(|run| run.id == *id).cloned())
    }
}
