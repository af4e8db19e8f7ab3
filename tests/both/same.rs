//! Numbers do not move: the weights after some updates, as a hash.

use burn::tensor::Device;
use sonoseg_core::checkpoint::{State, read_state};
use sonoseg_core::recipe::Recipe;
use sonoseg_core::tasks::Task;
use sonoseg_core::train::loader::{BatchPlan, read_views};
use sonoseg_core::train::{Event, Feed, Flow, Progress, train};
use sonoseg_imaging::DataError;
use sonoseg_imaging::rng::splitmix64;

use crate::learns::Lines;

struct Direct<'a, T>(&'a T, std::vec::IntoIter<BatchPlan>);

impl<T: Task> Feed<T::View> for Direct<'_, T> {
    fn start(&mut self, plans: Vec<BatchPlan>) {
        self.1 = plans.into_iter();
    }

    async fn next(&mut self) -> Option<Result<Vec<T::View>, DataError>> {
        let plan = self.1.next()?;
        Some(read_views(self.0, &Lines, &plan, 0))
    }
}

fn hash(state: &State) -> u64 {
    let mut hash = 0;
    for (name, (shape, numbers)) in state {
        for byte in name.bytes() {
            hash = splitmix64(hash ^ u64::from(byte));
        }
        for &axis in shape {
            hash = splitmix64(hash ^ axis as u64);
        }
        for number in numbers {
            hash = splitmix64(hash ^ u64::from(number.to_bits()));
        }
    }
    hash
}

async fn learned<T: Task>(recipe: &Recipe, task: &T) -> u64 {
    let device = Device::flex();
    device.seed(3);
    let model = task.init(&device.clone().autodiff());
    let start = hash(&read_state(&model).await.unwrap());
    let begin = Progress::begin(model, &recipe.train);
    let mut feed = Direct(task, Vec::new().into_iter());
    let mut losses = Vec::new();
    let observe = async |event: Event<'_, T::Model>| {
        if let Event::Step { loss, .. } = event {
            losses.push(loss.to_bits());
        }
        Ok(Flow::Continue)
    };
    let all = [0, 1, 2, 3];
    let done = train(task, begin, &recipe.train, 7, [&all, &all[..3]], &mut feed, &device, observe).await.unwrap();
    let end = hash(&read_state(&done.model).await.unwrap());
    let losses = losses.iter().fold(0, |hash, &bits| splitmix64(hash ^ bits));
    println!(
        "{} {:?} start {start:016x} losses {losses:016x} end {end:016x} {:?}",
        recipe.name, recipe.task, done.position
    );
    end
}

#[test]
fn weights_hash() {
    const UNETR: &str = "name=\"unetr\"\n[network]\npreset=\"tiny\"\nwidth=32\ndepth=3\nheads=2\ntaps=[1,2,3]\nfeature_size=4\n\
        [preparation]\nsize=32\n[train]\nepochs=5\nbatch=2\naccumulate=2\npatience=0\n[train.optimiser]\nclip_norm=0.5\n";
    const UNET: &str = "name=\"unet\"\n[network]\narchitecture=\"unet\"\nwidth=4\n[preparation]\nsize=32\n[train]\nlayers=\"deep-4\"\n\
        epochs=5\nbatch=2\naccumulate=1\npatience=0\n[train.optimiser]\ndecay=\"l2\"\nlearning_rate=0.001\n";
    pollster::block_on(async {
        let recipe = |text: &str, settings: &[&str]| {
            Recipe::parse("r", text, &settings.iter().map(|&s| s.to_owned()).collect::<Vec<_>>()).unwrap()
        };
        let unetr = recipe(UNETR, &[]);
        learned(&unetr, &unetr.segment()).await;
        let mae = recipe(
            UNETR,
            &[
                "task=mae",
                "mae.target=normalised_patches",
                "mae.decoder_width=16",
                "mae.decoder_depth=1",
                "mae.decoder_heads=2",
            ],
        );
        learned(&mae, &mae.masked_auto_encoding()).await;
        let unet = recipe(UNET, &[]);
        learned(&unet, &unet.segment()).await;
    });
}
