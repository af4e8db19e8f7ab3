//! Two models on the same frames: is the new one better, and where is it worse?

use serde::{Deserialize, Serialize};

use super::{Figures, Score};
use crate::metrics::classes::MEAN_IOU;
use crate::metrics::measure::Better;

/// How two models did on one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The frame's name.
    pub id: String,
    /// IoU of the old model and of the new one, mIoU where classes are told apart; 1 where both model and truth show nothing.
    pub iou: [f64; 2],
    /// Distance of the tip in pixels of the network's input, where there is one to be found and it was found.
    pub tip_px: [Option<f64>; 2],
}

impl Pair {
    fn new(id: &str, scores: [&Score; 2]) -> Self {
        let iou = |score: &Score| {
            let counts = &score.counts;
            let pixels = counts.tp + counts.fp + counts.fn_;
            let iou = if pixels == 0 { 1.0 } else { counts.tp as f64 / pixels as f64 };
            score.shape.value(&MEAN_IOU.name).unwrap_or(iou)
        };
        let tip = |score: &Score| score.error.map(|error| error.tip_px).filter(|tip| tip.is_finite());
        Self { id: id.to_owned(), iou: scores.map(iou), tip_px: scores.map(tip) }
    }

    /// How much better the new model is here.
    pub fn gain(&self) -> f64 {
        self.iou[1] - self.iou[0]
    }
}

/// A figure of two models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its name, as `sonoseg evaluate` writes it.
    pub name: String,
    /// For people.
    pub label: String,
    /// Its unit; may be empty.
    pub unit: String,
    /// Digits behind the point.
    pub digits: usize,
    /// True where less is better.
    pub less_is_better: bool,
    /// Of the old model and of the new one; none where it is not defined.
    pub values: [Option<f64>; 2],
}

/// Two models on a set of frames.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Figures of all frames together.
    pub lines: Vec<Line>,
    /// Every frame, those where the new model is worse first.
    pub pairs: Vec<Pair>,
}

impl Gate {
    /// What is shown at the gate, of all that is measured.
    const SHOWN: [&str; 8] =
        ["miou", "iou", "tip_px", "tip_mm", "angle_deg", "miss_rate", "false_positive_rate", "mean_dice_one"];

    /// Of frames with their names, their groups, and the scores of the old model and of the new one.
    pub fn new(frames: &[(String, String, [Score; 2])]) -> Self {
        let figures = [0, 1].map(|model| {
            let scores = frames.iter().map(|(_, group, scores)| (&**group, &scores[model]));
            Figures::new(&scores.collect::<Vec<_>>())
        });
        let line = |name: &str| {
            let (old, new) = (figures[0].get(name)?, figures[1].get(name)?);
            let metric = &old.metric;
            Some(Line {
                name: name.to_owned(),
                label: old.short.clone(),
                unit: metric.unit.clone().into_owned(),
                digits: metric.digits,
                less_is_better: metric.better == Better::Lower,
                values: [old.value, new.value].map(|value| Some(value).filter(|value| value.is_finite())),
            })
        };
        let lines =
            if frames.is_empty() { Vec::new() } else { Self::SHOWN.iter().filter_map(|name| line(name)).collect() };
        let mut pairs: Vec<Pair> = frames.iter().map(|(id, _, [old, new])| Pair::new(id, [old, new])).collect();
        pairs.sort_by(|a, b| a.gain().total_cmp(&b.gain()));
        Self { lines, pairs }
    }

    /// The figure of this name, of the old model and of the new one.
    pub fn values(&self, name: &str) -> Option<[Option<f64>; 2]> {
        self.lines.iter().find(|line| line.name == name).map(|line| line.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Needle, Point};
    use crate::metrics::measure::Measures;
    use crate::metrics::needle::NeedleError;
    use crate::metrics::overlap::Counts;

    fn score(tp: u64, tip_x: Option<f64>) -> Score {
        let needle = |x| Needle { entry: Point { x: 0.0, y: 0.0 }, tip: Point { x, y: 40.0 } };
        let found = tip_x.map(needle);
        let error = NeedleError::new(found.as_ref(), Some(&needle(40.0)), None);
        let counts = Counts { tp, fp: 0, fn_: 10 - tp, tn: 90 };
        Score { needle: found, counts, error: Some(error), confidence: 1.0, shape: Measures::default() }
    }

    #[test]
    fn frames_where_the_new_model_is_worse_come_first() {
        let frame = |id: &str, old, new| (id.to_owned(), "p".to_owned(), [old, new]);
        let gate = Gate::new(&[
            frame("better", score(2, Some(60.0)), score(8, Some(41.0))),
            frame("worse", score(6, Some(41.0)), score(5, None)),
            frame("found", score(0, None), score(9, Some(43.0))),
        ]);
        assert_eq!(gate.pairs.iter().map(|pair| pair.id.as_str()).collect::<Vec<_>>(), ["worse", "better", "found"]);
        assert_eq!((gate.pairs[0].iou, gate.pairs[0].tip_px), ([0.6, 0.5], [Some(1.0), None]));
        assert_eq!(gate.values("iou"), Some([Some(8.0 / 30.0), Some(22.0 / 30.0)]));
        assert_eq!(gate.values("miss_rate"), Some([Some(1.0 / 3.0), Some(1.0 / 3.0)]));
        assert_eq!(gate.values("tip_px"), Some([Some(10.5), Some(2.0)]));
        assert_eq!(gate.values("tip_mm"), Some([None, None]), "no scale is known");
        assert_eq!(Gate::new(&[]), Gate::default());
        let text = serde_json::to_string(&gate).unwrap();
        assert_eq!(serde_json::from_str::<Gate>(&text).unwrap(), gate);
    }
}
