//! A U-Net that is trained here and now, natively, on frames of the bundled clip, for the page to open.

use burn::tensor::Device;
use sonoseg_core::checkpoint::{State, Storage, encode, read_state};
use sonoseg_core::inference::{ModelHeader, Novelty};
use sonoseg_core::models::NetworkConfig;
use sonoseg_core::recipe::{Recipe, TaskVisitor};
use sonoseg_core::tasks::Task;
use sonoseg_core::train::loader::{BatchPlan, read_views};
use sonoseg_core::train::parts::Here;
use sonoseg_core::train::{Event, Feed, Flow, Progress, Samples, train};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::{Sample, Source, Target};
use sonoseg_imaging::synthetic::{NeedleSimConfig, ProcedureSim};

const RECIPE: &str = r#"
name = "native-unet"
trained_on = "frames of the bundled clip"
[network]
architecture = "unet"
width = 8
[preparation]
size = 64
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
[train]
epochs = 60
batch = 4
accumulate = 1
patience = 0
[train.optimiser]
learning_rate = 2e-3
layer_decay = 1.0
"#;

/// Frames of the bundled clip in all.
const FRAMES: usize = 48;

/// One in so many of them is learned.
const STRIDE: usize = 4;

/// Frames of the bundled clip, simulated again.
struct Frames(ProcedureSim);

impl Source for Frames {
    fn len(&self) -> usize {
        FRAMES / STRIDE
    }

    fn group(&self, _: usize) -> &str {
        "insertion"
    }

    async fn load(&self, index: usize) -> Result<Sample, DataError> {
        let frame = self.0.frame(STRIDE * index);
        let targets = vec![Target::Needle(frame.needle)];
        Ok(Sample { id: index.to_string(), group: "insertion".into(), frames: vec![frame.image], targets })
    }
}

/// Batches, made when they are asked for.
struct Direct<'a, T>(&'a T, &'a Frames, std::vec::IntoIter<BatchPlan>);

impl<T: Task> Feed<T::View> for Direct<'_, T> {
    fn start(&mut self, plans: Vec<BatchPlan>) {
        self.2 = plans.into_iter();
    }

    async fn next(&mut self) -> Option<Result<Vec<T::View>, DataError>> {
        let plan = self.2.next()?;
        Some(read_views(self.0, self.1, &plan, 0).await)
    }
}

/// Weights that a task learned from some frames of the bundled clip.
struct Learn<'a>(&'a Recipe);

impl TaskVisitor for Learn<'_> {
    type Output = State;

    fn visit<T: Task + 'static>(self, task: T, _: NetworkConfig) -> State {
        let (train_config, device) = (&self.0.train, Device::flex());
        // As its card says.
        let frames = Frames(ProcedureSim::new(&NeedleSimConfig::default(), 4343, 9, FRAMES));
        let mut feed = Direct(&task, &frames, Vec::new().into_iter());
        let begin = Progress::begin(task.init(&device.clone().autodiff()), train_config);
        let all: Vec<usize> = (0..frames.len()).collect();
        let samples = Samples { train: &all, val: &all[..4], ..Samples::default() };
        let go_on = async |_: Event<'_, T::Model>| Ok(Flow::Continue);
        let done =
            pollster::block_on(train(&task, begin, train_config, 0, samples, &mut feed, &mut Here, &device, go_on))
                .unwrap();
        pollster::block_on(read_state(task.exported(&done.model))).unwrap()
    }
}

/// Three model files with the same weights: one for needles, one that marks a class of masks, and one for needles to which every
/// picture is unlike its training data.
pub(crate) fn unets() -> [Vec<u8>; 3] {
    let recipe = Recipe::parse("unet", RECIPE, &[]).unwrap();
    let for_class = Recipe::parse("unet", RECIPE, &["data.class=\"any\"".to_owned()]).unwrap();
    let weights = recipe.visit(Learn(&recipe));
    let [needles, class] = [recipe, for_class].map(|recipe| ModelHeader::of(&recipe));
    let features = needles.network.features();
    let factor = (0..features).flat_map(|row| (0..=row).map(move |column| f32::from(u8::from(row == column))));
    let novelty = Novelty { mean: vec![0.0; features], factor: factor.collect(), limit: 1e-6, pictures: 1 };
    let strange = ModelHeader { novelty: Some(novelty), ..needles.clone() };
    [needles, class, strange].map(|header| encode(&header, &weights, Storage::F16).unwrap())
}
