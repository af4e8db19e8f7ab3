//! A toy task with all that a way to learn may have: a teacher that follows its student, a queue of what the teacher said,
//! batch normalisation in both, a loss of two parts. Killed after any update and taken up again it must end bit-equal.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor, TensorData};
use sonoseg_core::blocks::batch_norm::BatchNorm;
use sonoseg_core::checkpoint::{State, StateNames, decode_tensors, read_state};
use sonoseg_core::optim::OptimiserConfig;
use sonoseg_core::optim::adamw::AdamWConfig;
use sonoseg_core::optim::rules::{Rule, Rules};
use sonoseg_core::optim::sgd::SgdConfig;
use sonoseg_core::tasks::{Loss, Reads, Step, Task};
use sonoseg_core::train::loader::{BatchPlan, measuring_plans, read_views};
use sonoseg_core::train::{Event, Feed, Flow, Progress, TrainConfig, TrainError, train, trial};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::{Sample, Source};
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::metrics::measure::{Better, Measure, Measures, Metric};
use sonoseg_imaging::rng::Rng;

const SIZE: usize = 6;
const SAMPLES: usize = 12;
const BATCH: usize = 3;
const WIDTH: usize = 4;
/// Rows of the queue; no multiple of the batch, so that it is written round its end.
const QUEUE: usize = 8;
const MOMENTUM: f64 = 0.9;

/// Frames of noise.
struct Noise;

impl Source for Noise {
    fn len(&self) -> usize {
        SAMPLES
    }

    fn group(&self, _: usize) -> &str {
        "noise"
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        let mut rng = Rng::stream(1, "noise", [index as u64, 0]);
        let pixels = (0..SIZE * SIZE).map(|_| rng.uniform(0.0, 1.0) as f32).collect();
        let frames = vec![Image::grey(SIZE, SIZE, pixels)];
        Ok(Sample { id: index.to_string(), group: "noise".into(), frames, targets: Vec::new() })
    }
}

#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self { conv: Conv2dConfig::new([1, WIDTH], [3, 3]).init(device), norm: BatchNorm::new(WIDTH, device) }
    }

    /// `[batch, 1, height, width]` to `[batch, WIDTH]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = self.norm.forward(self.conv.forward(images)).tanh();
        features.mean_dim(3).mean_dim(2).flatten(1, 3)
    }
}

#[derive(Module, Debug)]
struct Pair {
    student: Net,
    teacher: Net,
    /// `[QUEUE, WIDTH]`
    queue: Param<Tensor<2>>,
}

/// The task; with `frozen` the student's normalisation stays as it is.
struct Toy {
    frozen: bool,
}

impl Toy {
    fn terms(&self, model: &Pair, [first, second]: &[Tensor<4>; 2]) -> ([Tensor<1>; 2], Tensor<2>) {
        let said = model.teacher.forward(second.clone()).detach();
        let answer = model.student.forward(first.clone());
        let near = (answer.clone() - said.clone()).square().mean();
        let apart = answer.matmul(model.queue.val().transpose()).exp().mean();
        ([near, apart], said)
    }
}

impl Task for Toy {
    type Model = Pair;
    type View = [Vec<f32>; 2];
    type Batch = [Tensor<4>; 2];
    type Kept = Option<Tensor<2>>;

    fn init(&self, device: &Device) -> Pair {
        let queue = Tensor::random([QUEUE, WIDTH], burn::tensor::Distribution::Normal(0.0, 1.0), device);
        // Without gradients, but its statistics go on.
        let teacher = Net::new(device).set_require_grad(false);
        Pair { student: Net::new(device), teacher, queue: Param::from_tensor(queue).set_require_grad(false) }
    }

    fn reads(&self) -> Reads {
        Reads { frames: 1, labels: false }
    }

    fn views(&self, sample: &Sample, mut rng: Option<&mut Rng>) -> Result<Vec<Self::View>, DataError> {
        let mut view = || {
            let changed = |&pixel: &f32| pixel + rng.as_deref_mut().map_or(0.0, |rng| 0.1 * rng.normal() as f32);
            sample.frames[0].pixels.iter().map(changed).collect()
        };
        Ok(vec![[view(), view()]])
    }

    fn collate(&self, views: &[Self::View], device: &Device) -> Self::Batch {
        [0, 1].map(|which| {
            let numbers: Vec<f32> = views.iter().flat_map(|view| view[which].iter().copied()).collect();
            Tensor::from_data(TensorData::new(numbers, [views.len(), 1, SIZE, SIZE]), device)
        })
    }

    fn loss(&self, model: &Pair, batch: &Self::Batch, step: &mut Step) -> Loss<Self::Kept> {
        let ([near, apart], said) = self.terms(model, batch);
        let share = step.rng.uniform(0.5, 1.0);
        let total = near.clone() + apart.clone() * share;
        Loss { total, parts: vec![("near", near), ("apart", apart)], kept: Some(said) }
    }

    fn after_update(&self, mut model: Pair, kept: Vec<Self::Kept>, step: &mut Step) -> Pair {
        model.teacher = follow(model.teacher, &model.student);
        for said in kept.into_iter().flatten() {
            let first = step.updates as usize * BATCH;
            model.queue = model.queue.map(|queue| {
                let rows = (0..BATCH).map(|row| (row, (first + row) % QUEUE));
                rows.fold(queue, |queue, (row, place)| {
                    queue.slice_assign([place..place + 1, 0..WIDTH], said.clone().narrow(0, row, 1))
                })
            });
        }
        model
    }

    async fn measure(&self, model: &Pair, batch: &Self::Batch, _: &mut Step) -> Result<Measures, String> {
        let ([near, apart], _) = self.terms(model, batch);
        let views = batch[0].dims()[0] as f64;
        let mut measures = Vec::new();
        for (name, term) in [("loss", near), ("apart", apart)] {
            let value = f64::from(term.into_scalar_async::<f32>().await.map_err(|e| format!("{e:?}"))?);
            let metric = Metric::new(name, name, Better::Lower);
            measures.push(Measure { metric, numerator: value * views, denominator: views });
        }
        Ok(Measures(measures))
    }

    fn exported<'m>(&self, model: &'m Pair) -> &'m impl Module {
        &model.student
    }

    fn rules(&self) -> Rules {
        let frozen = self.frozen;
        Box::new(move |name, axes| Rule {
            trained: !(frozen && name.starts_with("student.norm.")),
            ..Rule::plain(axes)
        })
    }

    fn batch_may_be_cut(&self) -> bool {
        false
    }
}

/// The teacher a step nearer to what the student has learned; each keeps statistics of its own.
fn follow(teacher: Net, student: &Net) -> Net {
    #[derive(Default)]
    struct Learned(StateNames, BTreeMap<String, Tensor<1>>);
    impl ModuleVisitor for Learned {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = self.0.name();
            if !name.contains("running") {
                self.1.insert(name, param.val().detach().flatten(0, D - 1));
            }
        }
    }
    struct Follow(StateNames, BTreeMap<String, Tensor<1>>);
    impl ModuleMapper for Follow {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(learned) = self.1.remove(&self.0.name()) else { return param };
            param.map(|own| {
                let shape = own.dims();
                own * MOMENTUM + learned.reshape(shape) * (1.0 - MOMENTUM)
            })
        }
    }
    let mut learned = Learned::default();
    student.visit(&mut learned);
    teacher.map(&mut Follow(StateNames::default(), learned.1))
}

/// Views made when they are asked for.
struct Direct<'a>(&'a Toy, std::vec::IntoIter<BatchPlan>);

impl Feed<[Vec<f32>; 2]> for Direct<'_> {
    fn start(&mut self, plans: Vec<BatchPlan>) {
        self.1 = plans.into_iter();
    }

    async fn next(&mut self) -> Option<Result<Vec<[Vec<f32>; 2]>, DataError>> {
        Some(read_views(self.0, &Noise, &self.1.next()?, 5))
    }
}

fn config(optimiser: OptimiserConfig) -> TrainConfig {
    TrainConfig { epochs: 2, batch: BATCH, accumulate: 1, patience: 0, optimiser, ..TrainConfig::default() }
}

fn optimisers() -> [OptimiserConfig; 2] {
    let adamw = AdamWConfig { learning_rate: 0.01, clip_norm: Some(1.0), ..AdamWConfig::default() };
    let sgd = SgdConfig { learning_rate: 0.05, nesterov: true, ..SgdConfig::default() };
    [OptimiserConfig::AdamW(adamw), OptimiserConfig::Sgd(sgd)]
}

/// A run that begins with always the same weights. Burn's own generator serves other tests beside this one.
fn begin(task: &Toy, device: &Device, config: &TrainConfig) -> Progress<Pair> {
    let model = task.init(&device.clone().autodiff());
    Progress::begin(model.map(&mut Fixed(Rng::stream(2, "weights", [0, 0]))), config)
}

/// Sets every parameter to numbers of its own generator.
struct Fixed(Rng);

impl ModuleMapper for Fixed {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let tracked = param.is_require_grad();
        let data = (0..param.dims().iter().product()).map(|_| self.0.uniform(0.1, 0.5) as f32).collect::<Vec<_>>();
        let fresh = Tensor::<D>::from_data(TensorData::new(data, param.dims()), &param.device());
        param.map(|_| if tracked { fresh.require_grad() } else { fresh })
    }
}

/// Train from `progress` on. Stopped after `until` updates, if that many come.
async fn go_on(
    task: &Toy,
    progress: Progress<Pair>,
    config: &TrainConfig,
    device: &Device,
    until: u64,
) -> Result<Progress<Pair>, TrainError> {
    let observe = async |event: Event<'_, Pair>| match event {
        Event::Step { parts, loss, progress, .. } => {
            let [("near", near), ("apart", apart)] = parts[..] else { panic!("{parts:?}") };
            assert!(near + 0.5 * apart <= loss + 1e-5 && loss <= near + apart + 1e-5, "{near} {apart} {loss}");
            Ok(if progress.position.updates == until { Flow::Stop } else { Flow::Continue })
        }
        Event::Epoch { val, progress, .. } => {
            let best = &progress.position.best;
            assert!(best["loss"] <= val.value("loss").unwrap() && best.contains_key("apart"), "{best:?}");
            Ok(Flow::Continue)
        }
    };
    let samples: Vec<usize> = (0..SAMPLES).collect();
    let mut feed = Direct(task, Vec::new().into_iter());
    train(task, progress, config, 5, [&samples, &samples[..5]], &mut feed, device, observe).await
}

/// The weights that a run of both optimisers ends with, killed after every update of both epochs.
async fn resumes(device: &Device) {
    let task = Toy { frozen: false };
    for config in optimisers().map(config) {
        let run = |progress, until| go_on(&task, progress, &config, device, until);
        let straight = run(begin(&task, device, &config), u64::MAX).await.unwrap();
        let bytes = straight.to_bytes().await.unwrap();
        let total = (2 * SAMPLES / BATCH) as u64;
        assert_eq!(straight.position.updates, total);
        for killed in 1..=total {
            let saved = run(begin(&task, device, &config), killed).await.unwrap().to_bytes().await.unwrap();
            // Nothing of the new program but its sizes may matter.
            let fresh = task.init(&device.clone().autodiff());
            let resumed = Progress::from_bytes("resume", &saved, fresh, &config).unwrap();
            assert_eq!(resumed.to_bytes().await.unwrap(), saved, "{killed}: it is read as it was written");
            let ended = run(resumed, u64::MAX).await.unwrap().to_bytes().await.unwrap();
            if ended != bytes {
                let (ended, whole) = (decode_tensors("", &ended).unwrap(), decode_tensors("", &bytes).unwrap());
                let other: Vec<_> = whole.iter().filter(|(name, tensor)| ended[*name] != **tensor).collect();
                panic!("killed after update {killed} other numbers come out: {other:?}");
            }
        }
        // All of it has moved, or the test says nothing.
        let first = read_state(&begin(&task, device, &config).model).await.unwrap();
        let last = read_state(&straight.model).await.unwrap();
        for (name, tensor) in &first {
            assert_ne!(*tensor, last[name], "{name} never changed");
        }
        assert_ne!(last["teacher.norm.running_mean"], last["student.norm.running_mean"]);
        let exported = read_state(task.exported(&straight.model)).await.unwrap();
        assert!(exported.len() == 6 && exported["norm.weight"] == last["student.norm.weight"], "{exported:?}");
    }
}

/// The state of a model after a run, and before it.
async fn learned(task: &Toy, device: &Device) -> [State; 2] {
    let [config, _] = optimisers().map(config);
    let start = begin(task, device, &config);
    let before = read_state(&start.model).await.unwrap();
    let done = go_on(task, start, &config, device, u64::MAX).await.unwrap();
    [before, read_state(&done.model).await.unwrap()]
}

async fn what_is_frozen_stays(device: &Device) {
    let [before, after] = learned(&Toy { frozen: true }, device).await;
    for (name, tensor) in &before {
        assert_eq!(*tensor == after[name], name.starts_with("student.norm."), "{name}");
    }
}

async fn a_trial_changes_nothing(device: &Device) {
    let task = Toy { frozen: false };
    let [config, _] = optimisers().map(config);
    let progress = go_on(&task, begin(&task, device, &config), &config, device, 3).await.unwrap();
    let before = progress.to_bytes().await.unwrap();
    let views = read_views(&task, &Noise, &measuring_plans(&[0, 1, 2], 3)[0], 0).unwrap();
    trial(&task, &progress, &views, 0, device);
    assert_eq!(progress.to_bytes().await.unwrap(), before);
    let ended = go_on(&task, progress, &config, device, u64::MAX).await.unwrap();
    let straight = go_on(&task, begin(&task, device, &config), &config, device, u64::MAX).await.unwrap();
    assert_eq!(ended.to_bytes().await.unwrap(), straight.to_bytes().await.unwrap());
}

async fn a_batch_is_never_cut(device: &Device) {
    let task = Toy { frozen: false };
    let [config, _] = optimisers().map(config);
    let config = TrainConfig { accumulate: 2, ..config };
    let refused = go_on(&task, begin(&task, device, &config), &config, device, u64::MAX).await.unwrap_err();
    assert!(matches!(refused, TrainError::Accumulated(2)), "{refused}");
}

/// On the CPU, natively and in a browser: there the numbers of two runs are the same bits.
async fn everything() {
    let device = Device::flex();
    resumes(&device).await;
    what_is_frozen_stays(&device).await;
    a_trial_changes_nothing(&device).await;
    a_batch_is_never_cut(&device).await;
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn a_teacher_a_queue_and_statistics_resume_bit_equal_after_every_update() {
    pollster::block_on(everything());
}

#[cfg(target_family = "wasm")]
#[wasm_bindgen_test::wasm_bindgen_test]
async fn a_teacher_a_queue_and_statistics_resume_bit_equal_after_every_update() {
    everything().await;
}
