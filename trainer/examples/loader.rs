//! The loader alone for `cargo xtask bench train`: `loader DATA SECONDS` reads, augments and prepares frames on the
//! trainer's threads and prints frames per second as JSON.

#![expect(clippy::print_stdout, reason = "a line on standard output is how this program answers")]
#![expect(dead_code, unused_imports, reason = "parts of the trainer, of which this program uses a few")]

#[path = "../src/failure.rs"]
mod failure;
#[path = "../src/feed.rs"]
mod feed;
#[path = "../src/files.rs"]
mod files;
#[path = "../src/folder/mod.rs"]
mod folder;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use feed::ThreadFeed;
use folder::Folder;
use sonoseg_core::models::NetworkConfig;
use sonoseg_core::recipe::{Recipe, TaskVisitor};
use sonoseg_core::tasks::Task;
use sonoseg_core::train::loader::training_plans;
use sonoseg_core::train::{Feed, Samples, TrainConfig};
use sonoseg_imaging::dataset::sample::Source;

const RECIPE: &str = "name = \"loader\"\n[network]\npreset = \"tiny\"\n";
const BATCH: usize = 8;

fn main() -> Result<()> {
    Recipe::parse("loader", RECIPE, &[])?.visit(Load)
}

struct Load;

impl TaskVisitor for Load {
    type Output = Result<()>;

    fn visit<T: Task + 'static>(self, task: T, _: NetworkConfig) -> Result<()> {
        load(&task)
    }
}

fn load<T: Task>(task: &T) -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [data, seconds] = &words[..] else { bail!("`cargo xtask bench train` starts this program") };
    let length = Duration::from_secs_f64(seconds.parse()?);
    let data = Folder::open(Path::new(data), 1)?;
    let samples: Vec<usize> = (0..data.len()).collect();
    let samples = Samples { train: &samples, ..Samples::default() };
    let config = TrainConfig { batch: BATCH, ..TrainConfig::default() };
    let first = data.sample(0)?.frames.swap_remove(0);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
    let mut frames = 0;
    let start = Instant::now();
    let taken = thread::scope(|scope| -> Result<Duration> {
        let mut feed = ThreadFeed::new(scope, &data, task, 0, threads);
        for epoch in 0.. {
            let plans = training_plans(&samples, &config, 0, epoch);
            let count = plans.len();
            feed.start(plans);
            for _ in 0..count {
                frames += pollster::block_on(feed.next()).context("the loader ended early")??.len();
                if start.elapsed() >= length {
                    return Ok(start.elapsed());
                }
            }
        }
        Ok(start.elapsed())
    })?;
    println!(
        "{}",
        serde_json::json!({
            "frames_per_second": frames as f64 / taken.as_secs_f64(),
            "threads": threads, "height": first.height, "width": first.width,
        })
    );
    Ok(())
}
