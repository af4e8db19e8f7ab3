//! A task must be able to learn: a few samples by heart.

use std::pin::Pin;

use burn::tensor::Device;
use sonoseg_core::models::NetworkConfig;
use sonoseg_core::recipe::{Recipe, TaskVisitor};
use sonoseg_core::tasks::Task;
use sonoseg_core::train::loader::{BatchPlan, Drawn, read_views};
use sonoseg_core::train::parts::Here;
use sonoseg_core::train::{Event, Feed, Flow, Progress, Samples, train};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::{Sample, Source, Target};
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::geometry::{Needle, Point};

const RECIPE: &str = r#"
name = "by heart"
[network]
preset = "tiny"
width = 32
depth = 3
heads = 2
taps = [1, 2, 3]
feature_size = 4
[preparation]
size = 32
[needle]
radius_px = 2.0
[train]
epochs = 800
batch = 4
accumulate = 1
[train.schedule]
kind = "cosine"
warmup = 0.05
[train.optimiser]
learning_rate = 0.003
layer_decay = 1.0
weight_decay = 0.0
"#;

/// Four bright lines on dark ground; one frame has none.
pub(crate) struct Lines;

impl Source for Lines {
    fn len(&self) -> usize {
        4
    }

    fn group(&self, _: usize) -> &str {
        "lines"
    }

    async fn load(&self, index: usize) -> Result<Sample, DataError> {
        let at = |x: usize, y: usize| Point { x: x as f64, y: y as f64 };
        let needle = (index > 0).then(|| Needle { entry: at(2, 4 * index), tip: at(16 + 3 * index, 26) });
        let mut pixels = vec![0.1; 32 * 32];
        if let Some(needle) = &needle {
            let mask = sonoseg_imaging::geometry::draw_capsule(needle, 1.0, 32, 32);
            for (pixel, class) in pixels.iter_mut().zip(mask.classes) {
                *pixel += 0.8 * f32::from(class);
            }
        }
        Ok(Sample {
            id: format!("line {index}"),
            group: "lines".into(),
            frames: vec![Image::grey(32, 32, pixels)],
            targets: vec![Target::Needle(needle)],
        })
    }
}

/// Batches of [`Lines`] without threads or random changes.
pub(crate) struct Direct<'a, T>(pub(crate) &'a T, pub(crate) std::vec::IntoIter<BatchPlan>);

impl<T: Task> Feed<T::View> for Direct<'_, T> {
    fn start(&mut self, plans: Vec<BatchPlan>) {
        self.1 = plans.into_iter();
    }

    async fn next(&mut self) -> Option<Result<Vec<T::View>, DataError>> {
        let plan = self.1.next()?.into_iter().map(|drawn| Drawn { changes: None, ..drawn }).collect::<BatchPlan>();
        Some(read_views(self.0, &Lines, &plan, 0).await)
    }
}

/// Train on all four, and give the first loss, the last one and the best IoU.
fn by_heart(device: &Device, epochs: u64) -> Pin<Box<dyn Future<Output = (f64, f64, f64)>>> {
    struct ByHeart(Recipe, Device, u64);
    impl TaskVisitor for ByHeart {
        type Output = Pin<Box<dyn Future<Output = (f64, f64, f64)>>>;
        fn visit<T: Task + 'static>(self, task: T, _: NetworkConfig) -> Self::Output {
            Box::pin(async move { learn(&task, &self.0, &self.1, self.2).await })
        }
    }
    let recipe = Recipe::parse("by heart", RECIPE, &[]).unwrap();
    recipe.clone().visit(ByHeart(recipe, device.clone(), epochs))
}

async fn learn<T: Task>(task: &T, recipe: &Recipe, device: &Device, epochs: u64) -> (f64, f64, f64) {
    device.seed(3);
    let model = task.init(&device.clone().autodiff());
    let (mut first, mut last, mut best) = (f64::NAN, f64::NAN, 0.0_f64);
    let observe = async |event: Event<'_, _>| {
        if let Event::Epoch { epoch, train_loss, val, .. } = event {
            first = if epoch == 0 { train_loss } else { first };
            last = train_loss;
            best = best.max(val.value("iou").unwrap_or(0.0));
            return Ok(if epoch + 1 == epochs || best > 0.9 { Flow::Stop } else { Flow::Continue });
        }
        Ok(Flow::Continue)
    };
    let all = [0, 1, 2, 3];
    let mut feed = Direct(task, Vec::new().into_iter());
    let config = sonoseg_core::train::TrainConfig { patience: 0, ..recipe.train.clone() };
    let begin = Progress::begin(model, &config);
    train(
        task,
        begin,
        &config,
        0,
        Samples { train: &all, val: &all, ..Samples::default() },
        &mut feed,
        &mut Here,
        device,
        observe,
    )
    .await
    .unwrap();
    (first, last, best)
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn four_samples_are_learned_by_heart() {
    let (first, last, best) = pollster::block_on(by_heart(&Device::flex(), 800));
    println!("loss {first:.3} to {last:.3}, best IoU {best:.3}");
    assert!(best > 0.9, "best IoU {best}, loss {first} to {last}");
}

#[cfg(target_family = "wasm")]
#[wasm_bindgen_test::wasm_bindgen_test]
async fn training_lowers_the_loss_on_webgpu() {
    let gpu = crate::parity::browser::gpu().await;
    let (first, last, _) = by_heart(&gpu, 6).await;
    wasm_bindgen_test::console_log!("loss {first:.3} to {last:.3}");
    assert!(last < first, "loss {first} to {last}");
}
