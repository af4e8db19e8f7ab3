//! Figures of merit. An undefined figure stays NaN and is counted, never replaced.

pub mod bootstrap;
pub mod cka;
pub mod cl_dice;
pub mod classes;
pub mod folds;
pub mod measure;
pub mod needle;
pub mod overlap;
pub mod purity;
pub mod rand_index;

use measure::{Better, Measure, Measures, Metric};
use overlap::Counts;

const LOSS: Metric = Metric::new("loss", "loss", Better::Lower);
const IOU: Metric = Metric::new("iou", "IoU", Better::Higher);
const PRECISION: Metric = Metric::new("precision", "precision", Better::Higher);
const RECALL: Metric = Metric::new("recall", "recall", Better::Higher);

/// Metrics that training logs, in the order in which they are shown.
const KNOWN: &[Metric] =
    &[LOSS, IOU, PRECISION, RECALL, cl_dice::PRECISION, cl_dice::RECALL, classes::MEAN_IOU, classes::MEAN_ACCURACY];

/// What is measured of a mask beside its pixels: of the predicted mask and the true one, row-major `[height, width]`.
type Shape = fn(&[bool], &[bool], [usize; 2]) -> Vec<Measure>;
const SHAPE: &[Shape] = &[cl_dice::measures];

/// The metric of this name among those that training logs.
pub fn logged(name: &str) -> Option<Metric> {
    KNOWN.iter().find(|metric| metric.name == name).cloned().or_else(|| classes::of_class(name))
}

/// The metric of this name. One that is not known is called by its name, and more of it is better.
pub fn known(name: &str) -> Metric {
    logged(name).unwrap_or_else(|| {
        let name = name.to_owned();
        Metric { label: name.clone().into(), name: name.into(), ..Metric::new("", "", Better::Higher) }
    })
}

/// The place of a metric among others; those that are not known come last.
pub fn order(name: &str) -> usize {
    KNOWN.iter().position(|metric| metric.name == name).unwrap_or(KNOWN.len())
}

/// Overlap of pooled pixels.
pub fn overlap_measures(counts: &Counts) -> Measures {
    let Counts { tp, fp, fn_, .. } = *counts;
    let measure = |(metric, pixels)| Measure::new(metric, tp as f64, pixels as f64);
    Measures([(IOU, tp + fp + fn_), (PRECISION, tp + fp), (RECALL, tp + fn_)].map(measure).to_vec())
}

/// What is measured of a mask beside the overlap of its pixels.
pub fn shape_measures(predicted: &[bool], truth: &[bool], size: [usize; 2]) -> Measures {
    Measures(SHAPE.iter().flat_map(|measure| measure(predicted, truth, size)).collect())
}

/// Everything that is measured of masks: probabilities strictly above `threshold` against targets of 0 and 1, or
/// [`NOT_JUDGED`](overlap::NOT_JUDGED). What nobody judged counts for nothing, whatever is predicted there.
///
/// # Shapes
/// - `probability`, `target`: row-major `[planes, height, width]`
pub fn mask_measures(probability: &[f32], target: &[f32], [height, width]: [usize; 2], threshold: f32) -> Measures {
    let mut measures = overlap_measures(&Counts::from_probability(probability, target, threshold));
    let plane = height * width;
    for (probability, target) in probability.chunks_exact(plane).zip(target.chunks_exact(plane)) {
        let judged = probability.iter().zip(target).map(|(&p, &t)| p > threshold && t != overlap::NOT_JUDGED);
        let predicted: Vec<bool> = judged.collect();
        let truth: Vec<bool> = target.iter().map(|&t| t > 0.5).collect();
        measures.add(&shape_measures(&predicted, &truth, [height, width]));
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_predicted_where_nobody_judged_changes_nothing() {
        const SIZE: [usize; 2] = [8, 8];
        // A bar of three rows that is true in its left half and not judged in its right one.
        let target: Vec<f32> = (0..64)
            .map(|at| match (at / 8, at % 8) {
                (2..5, 0..4) => 1.0,
                (2..5, 4..8) => overlap::NOT_JUDGED,
                _ => 0.0,
            })
            .collect();
        let predicted = |there: f32| -> Vec<f32> {
            let at = |at: usize| if target[at] == overlap::NOT_JUDGED { there } else { f32::from(at / 8 < 4) };
            (0..64).map(at).collect()
        };
        let [nothing, all] = [0.0, 1.0].map(|there| mask_measures(&predicted(there), &target, SIZE, 0.5));
        assert_eq!(nothing, all);
        // Rows 0 to 3 are marked: 8 of 12 true pixels, and the 16 of rows 0 and 1; 12 pixels are not judged.
        let close = |name: &str, expected: f64| assert!((all.value(name).unwrap() - expected).abs() < 1e-12, "{name}");
        close("iou", 8.0 / 28.0);
        close("precision", 8.0 / 24.0);
        close("recall", 8.0 / 12.0);
    }
}
