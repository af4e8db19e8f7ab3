//! The task of a recipe: its kind, and the settings that this kind has. The one `match` that makes tasks.

use serde::{Deserialize, Serialize};

use super::network::NetworkRecipe;
use super::table::Table;
use super::{Recipe, SimulatedRecipe, TaskVisitor};
use crate::losses::overlap::{DiceFocalConfig, MeanOver};
use crate::models::frames::Frames;
use crate::models::mae::MaeConfig;
use crate::models::resnet::ResnetConfig;
use crate::models::{NetworkConfig, NetworkSizes};
use crate::tasks::contrast::{ContrastRecipe, ContrastivePretraining};
use crate::tasks::mae::{MaeRecipe, MaskedAutoEncoding};
use crate::tasks::segment::Segment;
use crate::tasks::{Reads, Task};
use sonoseg_imaging::synthetic::{NeedleSimConfig, Simulated};

/// What a run learns, with the tables that only this task has. In the text of a recipe, `task` tells which one it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum TaskRecipe {
    /// To mark the pixels of a class, the needle for example.
    Segment {
        /// The loss.
        loss: DiceFocalConfig,
    },
    /// To draw hidden patches: pre-training without labels.
    Mae {
        /// Masked auto-encoding.
        mae: MaeRecipe,
    },
    /// To tell pictures apart: pre-training without labels.
    Contrast {
        /// Contrastive pre-training.
        contrast: ContrastRecipe,
    },
}

/// The value of `task`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskName {
    /// To mark the pixels of a class.
    #[default]
    Segment,
    /// To draw hidden patches.
    Mae,
    /// To tell pictures apart.
    Contrast,
}

impl TaskName {
    /// Whether the weights predict nothing yet and are for other runs to start from.
    pub fn pretrains(self) -> bool {
        self != Self::Segment
    }
}

impl TaskRecipe {
    /// Take the task and its tables out. Recipes of the first format have the tables of both tasks: that of the other
    /// one is left.
    pub(super) fn take<'de, T: Table<'de>>(table: &mut T) -> Result<Self, T::Error> {
        Ok(match table.take("task")?.unwrap_or_default() {
            TaskName::Segment => Self::Segment { loss: table.take("loss")?.unwrap_or_default() },
            TaskName::Mae => Self::Mae { mae: table.take("mae")?.unwrap_or_default() },
            TaskName::Contrast => Self::Contrast { contrast: table.take("contrast")?.unwrap_or_default() },
        })
    }

    /// Which task it is.
    pub fn name(&self) -> TaskName {
        match self {
            Self::Segment { .. } => TaskName::Segment,
            Self::Mae { .. } => TaskName::Mae,
            Self::Contrast { .. } => TaskName::Contrast,
        }
    }

    /// Whether the weights predict nothing yet and are for other runs to start from.
    pub fn pretrains(&self) -> bool {
        self.name().pretrains()
    }
}

impl Recipe {
    /// Call `visitor` with the task that the recipe asks for and the sizes of its network: the one `match` over tasks.
    /// Panics on a recipe that [`Recipe::parse`] would refuse.
    pub fn visit<V: TaskVisitor>(&self, visitor: V) -> V::Output {
        match &self.task {
            TaskRecipe::Segment { loss } => {
                let network = self.network_config();
                let task = Segment {
                    network: network.clone(),
                    frames: self.network.settings().frames(),
                    preparation: self.preparation.clone(),
                    mask_radius_px: self.needle.radius_px,
                    augment: self.augment.clone(),
                    loss: loss.clone(),
                    layers: self.train.layers,
                    classes: self.data.classes.clone(),
                };
                visitor.visit(task, network)
            }
            TaskRecipe::Mae { mae } => {
                let network = self.auto_encoder(mae).unwrap_or_else(|problem| panic!("{problem}"));
                let task = MaskedAutoEncoding {
                    network: network.clone(),
                    preparation: self.preparation.clone(),
                    augment: self.augment.clone(),
                    target: mae.target,
                };
                visitor.visit(task, NetworkConfig::Mae(network))
            }
            TaskRecipe::Contrast { contrast } => {
                let backbone = self.backbone().unwrap_or_else(|problem| panic!("{problem}"));
                let task = ContrastivePretraining {
                    network: contrast.sizes(backbone),
                    preparation: self.preparation.clone(),
                    augment: self.augment.clone(),
                    contrast: contrast.clone(),
                };
                visitor.visit(task, NetworkConfig::Resnet(backbone))
            }
        }
    }

    /// What its task needs of a sample. Panics where [`Recipe::visit`] does.
    pub fn reads(&self) -> Reads {
        struct Needs;
        impl TaskVisitor for Needs {
            type Output = Reads;
            fn visit<T: Task + 'static>(self, task: T, _: NetworkConfig) -> Reads {
                task.reads()
            }
        }
        self.visit(Needs)
    }

    /// The simulated samples that it asks for.
    pub fn simulated(&self) -> Option<Simulated> {
        self.data.simulated.and_then(|_| self.simulator())
    }

    /// The simulator that shows what its model looks for, if there is one: the samples behind those that it asks for are for
    /// measuring.
    pub fn simulator(&self) -> Option<Simulated> {
        let SimulatedRecipe { samples, seed, .. } = self.data.simulated.unwrap_or_default();
        let window = self.reads().frames;
        self.finding().is_needles().then(|| Simulated::new(NeedleSimConfig::default(), seed, samples, window))
    }

    fn auto_encoder(&self, mae: &MaeRecipe) -> Result<MaeConfig, String> {
        match &self.network {
            NetworkRecipe::Unetr(unetr) => Ok(mae.sizes(unetr, self.preparation.size)),
            NetworkRecipe::Unet(_) | NetworkRecipe::Fcn(_) | NetworkRecipe::Resnet(_) => {
                Err("task = \"mae\" pre-trains the encoder of a UNETR, and the network is none".into())
            }
        }
    }

    /// The sizes of its network where that marks pixels: with a map for every mask, or for the background and every class.
    pub(super) fn network_config(&self) -> NetworkConfig {
        let settings = self.network.settings();
        settings.config(self.preparation.size, self.maps())
    }

    /// Maps that a network which marks pixels gives.
    pub fn maps(&self) -> usize {
        match self.data.classes.len() {
            0 => self.network.settings().frames().masks(),
            classes => classes + 1,
        }
    }

    fn segment_problem(&self, loss: &DiceFocalConfig) -> Option<String> {
        if loss.batch_dice && loss.mean_over == MeanOver::All {
            return Some("loss.batch_dice goes with loss.mean_over = \"judged\" only".into());
        }
        if self.data.classes.is_empty() {
            return None;
        }
        if self.network.settings().frames().masks() > 1 {
            return Some(
                "data.classes are told apart in one frame: network.frames = \"single\" or \"video_middle\"".into(),
            );
        }
        loss.batch_dice.then(|| "loss.batch_dice is for one class: leave it out, or data.classes".into())
    }

    fn backbone(&self) -> Result<ResnetConfig, String> {
        match &self.network {
            NetworkRecipe::Resnet(resnet) => Ok(resnet.sizes(self.preparation.size)),
            NetworkRecipe::Unetr(_) | NetworkRecipe::Unet(_) | NetworkRecipe::Fcn(_) => Err(
                "task = \"contrast\" pre-trains a residual network: write architecture = \"resnet\" under [network]"
                    .into(),
            ),
        }
    }

    /// What is wrong for the task, if anything.
    pub(super) fn task_problem(&self) -> Option<String> {
        let task = match &self.task {
            TaskRecipe::Segment { .. } => None,
            TaskRecipe::Mae { .. } => Some("mae"),
            TaskRecipe::Contrast { .. } => Some("contrast"),
        };
        if let Some(task) = task.filter(|_| !self.data.classes.is_empty()) {
            return Some(format!(
                "data.classes are for what reads labels, and task = \"{task}\" reads none: leave them out"
            ));
        }
        match &self.task {
            TaskRecipe::Segment { .. } if matches!(self.network, NetworkRecipe::Resnet(_)) => Some(
                "task = \"segment\" marks pixels, and architecture = \"resnet\" marks none: architecture = \"fcn\" has one inside \
                 and marks them"
                    .into(),
            ),
            TaskRecipe::Segment { loss } => self.segment_problem(loss),
            TaskRecipe::Mae { mae } => {
                let problem = match self.auto_encoder(mae) {
                    Ok(network) => network.problem().map(|problem| format!("mae: {problem}")),
                    Err(problem) => Some(problem),
                };
                problem.or_else(|| {
                    (self.network.settings().frames() != Frames::Single)
                        .then(|| "task = \"mae\" reads one frame: leave network.frames out".into())
                })
            }
            TaskRecipe::Contrast { contrast } => match self.backbone() {
                Ok(backbone) => {
                    let problem = contrast.problem(self.train.batch).or_else(|| contrast.sizes(backbone).problem());
                    problem.map(|problem| format!("contrast: {problem}"))
                }
                Err(problem) => Some(problem),
            },
        }
    }
}
