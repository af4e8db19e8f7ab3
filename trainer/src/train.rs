//! `sonoseg train`: the loop of core with a run folder around it.

mod init;
mod interrupt;
mod memory;
mod observer;
mod setup;

use std::thread;

use anyhow::{Context, Result};
use burn::tensor::Device;
use sonoseg_core::inference::ModelHeader;
use sonoseg_core::models::NetworkConfig;
use sonoseg_core::recipe::TaskVisitor;
use sonoseg_core::tasks::Task;
use sonoseg_core::train::loader::{BatchPlan, Drawn, read_views};
use sonoseg_core::train::parts::Here;
use sonoseg_core::train::record::RESUME;
use sonoseg_core::train::{Event, Progress, Samples, picture, train};
use sonoseg_imaging::formats::encode::encode_png_grey;
use sonoseg_imaging::synthetic::Beside;

use crate::args::Train;
use crate::failure::Interrupted;
use crate::feed::ThreadFeed;
use crate::files;
use crate::terminal::say;
use observer::{Ending, Observer};
pub(crate) use setup::FINISHED;
use setup::Setup;

pub(crate) fn run(verb: &Train) -> Result<()> {
    let setup = Setup::of(verb)?;
    if verb.or_continue && setup.finished() {
        say(format!("{} is finished already", setup.folder.display()));
        return Ok(());
    }
    let recipe = setup.recipe.clone();
    recipe.visit(Learn { verb, setup })
}

struct Learn<'a> {
    verb: &'a Train,
    setup: Setup,
}

impl TaskVisitor for Learn<'_> {
    type Output = Result<()>;

    fn visit<T: Task + 'static>(self, task: T, _: NetworkConfig) -> Result<()> {
        learn(self.verb, self.setup, &task)
    }
}

/// The same for every task.
fn learn<T: Task>(verb: &Train, mut setup: Setup, task: &T) -> Result<()> {
    let header = ModelHeader::of(&setup.described());
    let device = setup.device.device.clone();
    let learning = device.clone().autodiff();
    // Burn's own randomness (initial weights) is seeded once per run.
    device.seed(setup.recipe.seed);
    let model = task.init(&learning);
    let saved = setup.folder.join(RESUME);
    let progress = if setup.resumed {
        let bytes = files::read(&saved)?;
        Progress::from_bytes(&files::absolute(&saved), &bytes, model, &setup.recipe.train)?
    } else {
        let model = match &verb.init {
            Some(path) => init::start_from::<T>(path, &header.network, model)?,
            None => model,
        };
        Progress::begin(model, &setup.recipe.train)
    };
    let progress = memory::fit(verb.memory, task, progress, &mut setup, &device)?;
    setup.announce();

    let mut observer = Observer::new(verb, &setup, task, &header, &progress.position)?;
    let good = || format!("{} holds the last good weights", files::absolute(&setup.folder));
    // Whatever happens from here on, the run can be taken up again.
    pollster::block_on(observer.save(&progress)).with_context(good)?;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
    let simulated = setup.recipe.simulated();
    let source = Beside::new(&setup.data, simulated.as_ref());
    let beside = source.simulated();
    let done = thread::scope(|scope| {
        let mut feed = ThreadFeed::new(scope, &source, task, setup.recipe.seed, threads);
        let observe =
            async |event: Event<'_, T::Model>| observer.tell(event).await.map_err(anyhow::Error::into_boxed_dyn_error);
        let share = setup.recipe.data.simulated.map_or(0.0, |simulated| simulated.share);
        let samples = Samples { train: &setup.train, beside: &beside, share, val: &setup.val };
        let (config, seed) = (&setup.recipe.train, setup.recipe.seed);
        pollster::block_on(train(task, progress, config, seed, samples, &mut feed, &mut Here, &device, observe))
    })
    .with_context(good)?;
    let ending = observer.finish();
    write_picture(task, &done, &setup, &device)?;
    let run = setup.folder.display();
    if let Ending::Done { whole: true } = ending {
        setup.finish(&done.position)?;
    }
    match ending {
        Ending::Interrupted => {
            pollster::block_on(observer.save(&done))?;
            say(format!("stopped after update {}; go on with: sonoseg train --resume {run}", done.position.updates));
            return Err(Interrupted.into());
        }
        Ending::Done { .. } if setup.recipe.task.pretrains() => {
            say(format!("next: sonoseg train RECIPE --data DATA --out RUN --init {run}"));
        }
        Ending::Done { .. } => say(format!("next: sonoseg report {run} --data {}", setup.data_path.display())),
    }
    Ok(())
}

/// What the network makes of some held-out samples, for tasks that have a picture of it.
fn write_picture<T: Task>(task: &T, done: &Progress<T::Model>, setup: &Setup, device: &Device) -> Result<()> {
    let apart = setup.val.len().div_ceil(PICTURED).max(1);
    let samples = setup.val.iter().step_by(apart).copied();
    let plan: BatchPlan = samples.map(|sample| Drawn { sample, changes: None }).collect();
    let seed = setup.recipe.seed;
    if plan.is_empty() {
        // Nothing is held out.
        return Ok(());
    }
    let views = pollster::block_on(read_views(task, &setup.data, &plan, seed))?;
    if let Some(picture) = pollster::block_on(picture(task, done, &views, seed, device))? {
        let png = encode_png_grey(picture.height, picture.width, &picture.to_bytes())?;
        files::write(&setup.folder.join("reconstructions.png"), &png)?;
    }
    Ok(())
}

/// Held-out samples in the picture, at most.
const PICTURED: usize = 8;
