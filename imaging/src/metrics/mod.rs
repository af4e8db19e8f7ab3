//! Figures of merit. An undefined figure stays NaN and is counted, never replaced.

pub mod bootstrap;
pub mod cl_dice;
pub mod folds;
pub mod measure;
pub mod needle;
pub mod overlap;
pub mod rand_index;

use measure::{Better, Measure, Measures, Metric};
use overlap::Counts;

const LOSS: Metric = Metric::new("loss", "loss", Better::Lower);
const IOU: Metric = Metric::new("iou", "IoU", Better::Higher);
const PRECISION: Metric = Metric::new("precision", "precision", Better::Higher);
const RECALL: Metric = Metric::new("recall", "recall", Better::Higher);

/// Metrics that training logs, in the order in which they are shown.
const KNOWN: &[Metric] = &[LOSS, IOU, PRECISION, RECALL, cl_dice::PRECISION, cl_dice::RECALL];

/// What is measured of a mask beside its pixels: of the predicted mask and the true one, row-major `[height, width]`.
type Shape = fn(&[bool], &[bool], [usize; 2]) -> Vec<Measure>;
const SHAPE: &[Shape] = &[cl_dice::measures];

/// The metric of this name among those that training logs.
pub fn logged(name: &str) -> Option<Metric> {
    KNOWN.iter().find(|metric| metric.name == name).cloned()
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
    let measure = |(metric, pixels)| Measure { metric, numerator: tp as f64, denominator: pixels as f64 };
    Measures([(IOU, tp + fp + fn_), (PRECISION, tp + fp), (RECALL, tp + fn_)].map(measure).to_vec())
}

/// What is measured of a mask beside the overlap of its pixels.
pub fn shape_measures(predicted: &[bool], truth: &[bool], size: [usize; 2]) -> Measures {
    Measures(SHAPE.iter().flat_map(|measure| measure(predicted, truth, size)).collect())
}

/// Everything that is measured of masks: probabilities strictly above `threshold` against targets of 0 and 1.
///
/// # Shapes
/// - `probability`, `target`: row-major `[planes, height, width]`
pub fn mask_measures(probability: &[f32], target: &[f32], [height, width]: [usize; 2], threshold: f32) -> Measures {
    let mut measures = overlap_measures(&Counts::from_probability(probability, target, threshold));
    let plane = height * width;
    for (probability, target) in probability.chunks_exact(plane).zip(target.chunks_exact(plane)) {
        let predicted: Vec<bool> = probability.iter().map(|&p| p > threshold).collect();
        let truth: Vec<bool> = target.iter().map(|&t| t > 0.5).collect();
        measures.add(&shape_measures(&predicted, &truth, [height, width]));
    }
    measures
}
