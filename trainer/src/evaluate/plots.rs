//! Pictures of an evaluation: the figures by bin, and how honest the confidences are.

use anyhow::Result;
use sonoseg_imaging::evaluate::Figures;
use sonoseg_imaging::evaluate::calibration::Reliability;

use super::by::Sorted;
use crate::plot::{self, Across, Panel, Series, Stroke, Values};

/// What is drawn of every bin: figures that are shares, by name, with what they are called in the legend and the number of
/// their colour. They stand side by side, so that none hides another. Where a figure does not exist, or is not defined, nothing is drawn.
const OF_MODEL: [(&str, &str, usize); 3] =
    [("iou", "IoU", 0), ("miss_rate", "missed", 1), ("false_positive_rate", "false needles", 3)];

/// From one figure of a bin to the next one, as a share of the distance between bins.
const ASIDE: f64 = 0.09;

/// Figures by bin, a panel for each sorting; `None` where there is nothing to draw.
pub(crate) fn bins(sorted: &[Sorted]) -> Result<Option<String>> {
    let panel = |sorted: &Sorted| {
        let over = |of: &dyn Fn(&Figures, &Figures) -> Vec<f64>| -> Vec<(f64, f64)> {
            let values = sorted.bins.iter().enumerate();
            values
                .flat_map(|(at, one)| of(&one.model, &one.baseline).into_iter().map(move |y| ((at + 1) as f64, y)))
                .collect()
        };
        let value = |figures: &Figures, name: &str| figures.get(name).map_or(f64::NAN, |figure| figure.value);
        let rings = |name: &str, hue, points| Series { name: name.to_owned(), hue, stroke: Stroke::Rings, points };
        let mut series: Vec<Series> = OF_MODEL
            .iter()
            .map(|&(figure, label, hue)| rings(label, hue, over(&|model, _| vec![value(model, figure)])))
            .collect();
        series.push(rings("IoU of the baseline", 6, over(&|_, baseline| vec![value(baseline, "iou")])));
        for (at, one) in series.iter_mut().enumerate() {
            one.points.iter_mut().for_each(|(x, _)| *x += ASIDE * at as f64);
        }
        let interval = over(&|model, _| {
            let interval = model.get("iou").and_then(|figure| figure.interval);
            interval.map_or(vec![f64::NAN; 2], |interval| vec![interval.low, interval.high])
        });
        series.push(Series { name: "95 %".into(), hue: 0, stroke: Stroke::Bars, points: interval });
        let counted = |one: &super::by::Measured| format!("{} ({})", one.bin.name, one.bin.frames.len());
        let names = Across::Names("bin (frames)".into(), sorted.bins.iter().map(counted).collect());
        (names, Panel { title: capital(&sorted.label), values: Values::Share, series })
    };
    let panels: Vec<(Across, Panel)> = sorted.iter().map(panel).collect();
    plot::draw_each("Figures by bin, with 95 % intervals of the IoU", &panels)
}

/// The share of needles that are right over the confidence they were called with, and how many there are; `None` where
/// none was called.
pub(crate) fn reliability(reliability: Option<&Reliability>) -> Result<Option<String>> {
    let Some(reliability) = reliability.filter(|reliability| reliability.calls > 0) else { return Ok(None) };
    let line = |name: &str, hue, stroke, points| Series { name: name.to_owned(), hue, stroke, points };
    let called: Vec<(f64, f64)> = reliability.bins.iter().map(|bin| (bin.confidence, bin.share_right)).collect();
    let called = called.into_iter().filter(|(confidence, _)| !confidence.is_nan()).collect();
    let counts = reliability.bins.iter().map(|bin| (0.5 * (bin.from + bin.to), bin.calls as f64)).collect();
    let across = || Across::Share("confidence".into());
    let right = Panel {
        title: "Share of the called needles that is right".into(),
        values: Values::Share,
        series: vec![
            line("as sure as right", 6, Stroke::Faint, vec![(0.0, 0.0), (1.0, 1.0)]),
            line("model", 0, Stroke::Rings, called),
        ],
    };
    let counted = Panel {
        title: "Needles called".into(),
        values: Values::FromZero,
        series: vec![line("needles", 0, Stroke::Rings, counts)],
    };
    plot::draw_each(
        "Share of the called needles that is right, over confidence",
        &[(across(), right), (across(), counted)],
    )
}

/// A sentence begins with a capital; the name of a column stays as it is.
fn capital(text: &str) -> String {
    if !text.contains(' ') {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonoseg_imaging::evaluate::calibration::Call;

    #[test]
    fn the_reliability_picture_has_a_ring_for_every_bin_with_calls() {
        let calls = [0.15, 0.16, 0.85, 0.95].map(|confidence| Call { confidence, right: confidence > 0.5 });
        let svg = reliability(Some(&Reliability::new(&calls))).unwrap().unwrap();
        // Three bins, their ring in the legend, and ten counts.
        assert_eq!(svg.matches("<circle").count(), 3 + 1 + 10);
        assert!(svg.contains("as sure as right") && svg.contains("confidence"));
        assert!(reliability(Some(&Reliability::new(&[]))).unwrap().is_none() && reliability(None).unwrap().is_none());
        assert!(bins(&[]).unwrap().is_none());
        assert_eq!([capital("angle, degrees"), capital("tip_in_plane")], ["Angle, degrees", "tip_in_plane"]);
    }
}
