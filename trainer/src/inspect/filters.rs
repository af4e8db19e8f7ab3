//! `sonoseg inspect --layer`: activation maximisation and feature maps of the filters of a layer.

use std::path::Path;

use anyhow::Result;
use sonoseg_core::checkpoint::CheckpointError;
use sonoseg_core::inspect::filters::{AscentConfig, FilterError, feature_maps, maximise};
use sonoseg_core::inspect::grid::grid;
use sonoseg_core::models::Network;
use sonoseg_imaging::DataError;
use sonoseg_imaging::formats;
use sonoseg_imaging::formats::encode::encode_png_grey;
use sonoseg_imaging::geometry::Image;
use sonoseg_imaging::prepare::Preparation;

use crate::args::Inspect;
use crate::device;
use crate::failure::Usage;
use crate::files;
use crate::terminal::{bar, say, warn};

/// Pictures in a row.
const COLUMNS: usize = 8;
/// White pixels between them.
const GAP: usize = 2;
/// Images that are optimised together.
const TOGETHER: usize = 8;

pub(super) fn run(verb: &Inspect, layer: &str) -> Result<()> {
    let device = device::choose(verb.device)?.device;
    let predictor = files::load_model(&verb.model, &device)?;
    let name = files::absolute(&verb.model);
    let network = predictor.network();
    if matches!(network, Network::Unetr(_)) {
        let reason = "holds a UNETR, and only the layers of a U-Net and of an FCN have filters to look at".into();
        return Err(CheckpointError::Foreign { name, reason }.into());
    }
    let own = &predictor.header().recipe.preparation;
    let preparation = Preparation { size: verb.size.unwrap_or(own.size), ..own.clone() };
    let (frames, channels) = (predictor.window(), predictor.header().network.sizes().channels());
    let config = AscentConfig { frames, channels, preparation, steps: verb.steps, ..AscentConfig::default() };
    let failed = |error: FilterError| match error {
        FilterError::Layer(reason) => anyhow::Error::from(Usage(reason)),
        error @ FilterError::Device(_) => error.into(),
    };
    let all: Vec<usize> = (0..verb.filters).collect();
    let progress = bar(all.len() as u64, "filters");
    let mut images = Vec::with_capacity(all.len());
    for filters in all.chunks(TOGETHER) {
        images.extend(pollster::block_on(maximise(network, layer, filters, &config, &device)).map_err(failed)?);
        progress.inc(filters.len() as u64);
    }
    progress.finish_and_clear();
    let path = verb.out.join(format!("activation-{layer}.png"));
    let dead: Vec<String> = all.iter().filter(|&&filter| images[filter].is_none()).map(usize::to_string).collect();
    let size = config.preparation.size;
    let blank = || Image::grey(size, size, vec![0.5; size * size]);
    write_grid(&path, &images.into_iter().map(|image| image.unwrap_or_else(blank)).collect::<Vec<_>>())?;
    say(format!("{}: the images that maximise the activations of filters 0 to {}", path.display(), verb.filters - 1));
    if !dead.is_empty() {
        say(format!("grey: filters without activation on all that was tried: {}", dead.join(", ")));
    }

    if let Some(file) = &verb.image {
        let name = files::absolute(file);
        let clip = formats::open(&name, files::read(file)?)?;
        clip.notes().iter().for_each(|note| warn(format!("{name}: {note}")));
        if clip.len() > 1 {
            warn(format!("{name}: holds {} frames, of which the first is looked at", clip.len()));
        }
        let image = clip.frame(0)?;
        if predictor.window() > 1 {
            let message =
                format!("{name}: this network reads {} frames at once, and --image is one", predictor.window());
            return Err(DataError::Inconsistent(message).into());
        }
        let input = predictor.input(&predictor.prepare(&[&image]));
        let maps = pollster::block_on(feature_maps(network, layer, input)).map_err(failed)?;
        let path = verb.out.join(format!("features-{layer}.png"));
        write_grid(&path, &maps)?;
        say(format!("{}: the activations of its {} filters on {name}", path.display(), maps.len()));
    }
    Ok(())
}

fn write_grid(path: &Path, pictures: &[Image]) -> Result<()> {
    let picture = grid(pictures, COLUMNS, GAP);
    files::write(path, &encode_png_grey(picture.height, picture.width, &picture.to_bytes())?)
}
