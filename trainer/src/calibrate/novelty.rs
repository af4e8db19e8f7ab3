//! How the features of pictures that a model learned from are spread, and how far apart they may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use linfa_linalg::cholesky::Cholesky;
use ndarray::{Array1, Array2, Axis};
use sonoseg_core::inference::{Novelty, Predictor};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Source;
use sonoseg_imaging::geometry::Image;

use crate::files;
use crate::folder::Folder;
use crate::table::number;
use crate::terminal::{bar, say};

/// Frames that are looked at, at most.
const MOST: usize = 2000;
/// Fewer frames do not tell how features are spread.
const LEAST: usize = 50;
/// Share of the covariance that is replaced by its diagonal, so that it can be inverted with fewer frames than features.
const SHRINK: f64 = 0.1;
/// Parts of which each is judged by what the others gave.
const FOLDS: usize = 5;
/// Share of the frames of other procedures that are to be like those that the model learned from.
const ALIKE: f64 = 0.99;

/// Look at the frames of data sets, evenly chosen.
pub(super) fn measure(predictor: &Predictor, data: &[PathBuf]) -> Result<Novelty> {
    let folders = data.iter().map(|root| Folder::for_recipe(root, &predictor.header().recipe));
    let folders: Vec<Folder> = folders.collect::<Result<_>>()?;
    let count: usize = folders.iter().map(|folder| folder.len()).sum();
    let taken = count.min(MOST);
    let progress = bar(taken as u64, "learned from");
    let mut features = Vec::with_capacity(taken);
    let samples: Vec<(&Folder, usize)> =
        folders.iter().flat_map(|folder| (0..folder.len()).map(move |index| (folder, index))).collect();
    for at in 0..taken {
        let (folder, index) = samples[at * count / taken];
        let sample = folder.sample(index)?;
        let frames: Vec<&Image> = sample.frames.iter().collect();
        let output = pollster::block_on(predictor.forward(&predictor.prepare(&frames)))?;
        features.push((format!("{}/{}", folder.root().display(), sample.group), output.features));
        progress.inc(1);
    }
    progress.finish_and_clear();
    let unfit = |reason: String| {
        let names: Vec<String> = data.iter().map(|root: &PathBuf| files::absolute(Path::new(root))).collect();
        DataError::Inconsistent(format!("{}: {reason}", names.join(", ")))
    };
    let novelty = fit(&features).map_err(unfit)?;
    say(format!(
        "unlike the training data: beyond a distance of {} in {} features, which {} of {taken} frames lie within when their \
         own procedures are left out",
        number(novelty.limit, 2),
        novelty.mean.len(),
        number(ALIKE, 2),
    ));
    Ok(novelty)
}

/// From the features of frames, each with the procedure that it is of. The error is what is missing.
fn fit(features: &[(String, Vec<f32>)]) -> Result<Novelty, String> {
    if features.len() < LEAST {
        return Err(format!("holds {} frames, and {LEAST} at least tell how pictures are spread", features.len()));
    }
    let mut parts: BTreeMap<&str, usize> = features.iter().map(|(group, _)| (&**group, 0)).collect();
    if parts.len() < FOLDS {
        return Err(format!("holds {} procedures, and {FOLDS} at least tell how much they differ", parts.len()));
    }
    parts.values_mut().enumerate().for_each(|(at, part)| *part = at % FOLDS);
    let mut distances = Vec::with_capacity(features.len());
    for fold in 0..FOLDS {
        let (held, rest): (Vec<_>, Vec<_>) = features.iter().partition(|(group, _)| parts[&**group] == fold);
        let spread = spread(&rest.iter().map(|(_, features)| &features[..]).collect::<Vec<_>>())?;
        distances.extend(held.iter().map(|(_, features)| spread.distance(features)));
    }
    distances.sort_by(f64::total_cmp);
    let limit = distances[((distances.len() - 1) as f64 * ALIKE).round() as usize];
    Ok(Novelty { limit, ..spread(&features.iter().map(|(_, features)| &features[..]).collect::<Vec<_>>())? })
}

/// Mean and covariance of features; the limit is that of one which is not known yet.
fn spread(features: &[&[f32]]) -> Result<Novelty, String> {
    let (count, width) = (features.len(), features[0].len());
    let numbers = features.iter().flat_map(|features| features.iter().map(|&number| f64::from(number)));
    let rows: Array2<f64> = numbers.collect::<Array1<f64>>().into_shape_with_order((count, width)).expect("a row each");
    let mean = rows.mean_axis(Axis(0)).expect("there are rows");
    let rows = rows - &mean;
    let mut covariance = rows.t().dot(&rows) / (count as f64 - 1.0);
    let diagonal = covariance.diag().to_owned();
    covariance *= 1.0 - SHRINK;
    // A feature that never changes would make any change infinitely far.
    let least = diagonal.mean().unwrap_or_default() * 1e-3;
    covariance.diag_mut().assign(&diagonal.mapv(|variance| variance.max(least)));
    let factor = covariance.cholesky().map_err(|_| "holds pictures that are all alike")?;
    let triangle = (0..width).flat_map(|row| (0..=row).map(move |column| [row, column]));
    Ok(Novelty {
        mean: mean.iter().map(|&number| number as f32).collect(),
        factor: triangle.map(|at| factor[at] as f32).collect(),
        limit: 1.0,
        pictures: count as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonoseg_imaging::rng::Rng;

    /// Pictures of ten procedures: features of which the second follows the first, and the third never changes.
    fn pictures(count: usize, groups: usize) -> Vec<(String, Vec<f32>)> {
        let mut rng = Rng::stream(3, "features", [0, 0]);
        let picture = |at: usize| {
            let (a, b) = (rng.normal(), rng.normal());
            (format!("p{}", at % groups), vec![(5.0 + 2.0 * a) as f32, (a + 0.5 * b) as f32, 0.25])
        };
        (0..count).map(picture).collect()
    }

    #[test]
    fn what_breaks_the_rule_of_the_features_is_unlike_them() {
        let pictures = pictures(500, 10);
        let novelty = fit(&pictures).unwrap();
        assert_eq!((novelty.problem(), novelty.pictures), (None, 500));
        let beyond = pictures.iter().filter(|(_, features)| novelty.of(features) > 1.0).count();
        assert!((1..=15).contains(&beyond), "{beyond} of 500");
        // Each feature alone is within what was seen, both together are not; a large one that follows the rule is.
        assert!(novelty.of(&[7.0, -1.0, 0.25]) > 1.0);
        assert!(novelty.of(&[8.0, 1.5, 0.25]) < 1.0);
        assert!(novelty.of(&[5.0, 0.0, 1.25]) > 1.0);
    }

    #[test]
    fn too_few_pictures_or_procedures_are_refused() {
        assert!(fit(&pictures(49, 10)).unwrap_err().contains("49 frames"));
        assert!(fit(&pictures(100, 4)).unwrap_err().contains("4 procedures"));
        let alike: Vec<_> = (0..60).map(|at| (format!("p{}", at % 6), vec![1.0, 2.0])).collect();
        assert!(fit(&alike).unwrap_err().contains("all alike"));
    }
}
