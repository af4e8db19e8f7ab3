//! What the page says and draws about learning. Rules without a browser.

use sonoseg_imaging::evaluate::{Gate, Line};

use crate::keeping::size;
use crate::messages::{LearningPlan, Measurement, RunAbout, RunState};

/// Simulated samples may take this share of what is learned from, at most.
pub const MOST_SIMULATED: f64 = 0.75;

/// A drop of IoU on simulated frames that is more than chance.
const FORGOTTEN: f64 = 0.05;

/// A difference of IoU on held-out frames that is worth a word.
const NOTICEABLE: f64 = 0.02;

/// Fewer held-out frames than these say little.
const FEW: usize = 5;

/// What layers are called by people.
pub fn layers(name: &str) -> String {
    match (name, name.rsplit_once('-')) {
        ("all", _) => "all layers".to_owned(),
        ("decoder", _) => "the decoder alone".to_owned(),
        ("contracting", _) => "the contracting half".to_owned(),
        ("expanding", _) => "the expanding half".to_owned(),
        (_, Some(("last", count))) => format!("the decoder and the last {count} blocks of the encoder"),
        (_, Some(("shallow", count))) => format!("the first {count} blocks"),
        (_, Some(("deep", count))) => format!("the last {count} blocks"),
        _ => name.to_owned(),
    }
}

/// A number of weights in words.
pub fn weights(count: usize) -> String {
    match count as f64 {
        count if count >= 1e6 => format!("{:.1} M weights", count / 1e6),
        count if count >= 1e3 => format!("{:.0} k weights", count / 1e3),
        count => format!("{count:.0} weights"),
    }
}

/// A time that will pass, in words.
pub fn duration(seconds: f64) -> String {
    match seconds.max(0.0).round() {
        seconds if seconds < 60.0 => format!("{seconds:.0} s"),
        seconds if seconds < 3600.0 => format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), seconds % 60.0),
        seconds => format!("{:.0} h {:02.0} min", (seconds / 3600.0).floor(), (seconds % 3600.0) / 60.0),
    }
}

/// What a run will do, a line each: what, and how much of it.
pub fn told(plan: &LearningPlan) -> Vec<(&'static str, String)> {
    let [update, simulated] = plan.samples;
    let frames = |count: usize| if count == 1 { "1 frame".to_owned() } else { format!("{count} frames") };
    let held =
        if plan.held_out == 0 { plan.held.clone() } else { format!("{} ({})", frames(plan.held_out), plan.held) };
    let mut lines = vec![("Learns from", frames(plan.learned)), ("Held out", held)];
    if plan.left_out > 0 {
        lines.push(("Left out", format!("{}, too near to those held out", frames(plan.left_out))));
    }
    if simulated > 0 {
        lines.push(("Beside them", format!("{simulated} of {update} samples of an update are simulated")));
    }
    let chosen = plan.layers.iter().find(|choice| choice.name == plan.chosen);
    let count = chosen.map_or(String::new(), |choice| format!(", {}", weights(choice.weights)));
    lines.push(("Changes", format!("{}{count}", layers(&plan.chosen))));
    let [needed, most] = plan.memory;
    lines.push(("Memory", format!("about {} of {} in each of {} worker(s)", size(needed), size(most), plan.workers)));
    let seconds = plan.update_ms / 1e3;
    let all = duration(seconds * plan.updates as f64);
    lines.push(("Time", format!("{} updates of about {seconds:.1} s: {all}, and measuring", plan.updates)));
    lines
}

/// Seconds that are left of a run, from what it took so far; none before it can be told.
pub fn left(seconds: f64, [done, all]: [u64; 2]) -> Option<f64> {
    (done > 0 && seconds > 0.0).then(|| seconds / done as f64 * all.saturating_sub(done) as f64)
}

/// A line through points for a picture of this width and height: those of `x` from 0 to `to`, of `y` from 0 to the largest, or to
/// `top`.
pub fn curve(points: &[(f64, f64)], to: f64, top: Option<f64>, [width, height]: [f64; 2]) -> String {
    let largest = points.iter().map(|point| point.1).fold(f64::MIN_POSITIVE, f64::max);
    let top = top.unwrap_or(largest);
    let place = |&(x, y): &(f64, f64)| {
        let (x, y) = (x / to.max(1.0) * width, height - (y / top).clamp(0.0, 1.0) * height);
        format!("{x:.1},{y:.1}")
    };
    points.iter().map(place).collect::<Vec<_>>().join(" ")
}

/// A measure as a curve.
pub fn points(measured: &[Measurement], read: impl Fn(&Measurement) -> Option<f64>) -> Vec<(f64, f64)> {
    measured.iter().filter_map(|one| Some((one.update as f64, read(one)?))).collect()
}

/// Means of `window` losses in a row: single updates jump about.
pub fn smoothed(losses: &[(u64, f64)], window: usize) -> Vec<(f64, f64)> {
    let mean = |losses: &[(u64, f64)]| losses.iter().map(|loss| loss.1).sum::<f64>() / losses.len() as f64;
    (1..=losses.len()).map(|end| (losses[end - 1].0 as f64, mean(&losses[end.saturating_sub(window)..end]))).collect()
}

/// A figure of a gate: its name with the unit, old and new value, and whether the new one is better, where that can be said: errors of
/// needles that were found say nothing where one model found others than the other one.
pub fn row(line: &Line, gate: &Gate) -> (String, [String; 2], Option<bool>) {
    let of_found = ["tip_px", "tip_mm", "angle_deg"].contains(&line.name.as_str());
    let same_found = gate.values("miss_rate").is_none_or(|[old, new]| old == new);
    let percent = line.name.ends_with("_rate");
    let digits = line.digits;
    let value = |value: Option<f64>| match value {
        None => "\u{2013}".to_owned(),
        Some(value) if percent => format!("{:.0} %", value * 100.0),
        Some(value) => format!("{value:.digits$}"),
    };
    let better = match line.values {
        [Some(old), Some(new)] if old != new && (same_found || !of_found) => Some((new < old) == line.less_is_better),
        _ => None,
    };
    let of = if of_found { ", of those found" } else { "" };
    (format!("{}{of}", line.label), line.values.map(value), better)
}

/// A frame that was compared, for people, who count from 1: from its name, `clip/number`.
pub fn compared(id: &str, frame: usize) -> String {
    let clip = id.rsplit_once('/').map_or(id, |(clip, _)| clip);
    format!("{clip}, frame {}", frame + 1)
}

/// What the gate says, in a sentence.
pub fn verdict(held_out: &Gate, simulated: &Gate) -> String {
    let values = |gate: &Gate, name: &str| match gate.values(name) {
        Some([Some(old), Some(new)]) => Some((old, new)),
        _ => None,
    };
    let change = |gate: &Gate| values(gate, "iou");
    let forgotten = change(simulated).is_some_and(|(old, new)| new < old - FORGOTTEN);
    let old_ground = if forgotten { " It forgot some of what it knew of simulated frames." } else { "" };
    let frames = match held_out.pairs.len() {
        0 => {
            return format!(
                "Nothing is held out, so that no figure says how much better it is on your frames.{old_ground}"
            );
        }
        1 => "your held-out frame".to_owned(),
        count => format!("your {count} held-out frames"),
    };
    let Some((old, new)) = change(held_out) else {
        let alarms = values(held_out, "false_positive_rate").map_or(String::new(), |(old, new)| {
            format!(" False alarms there: {:.0} % before, {:.0} % now.", old * 100.0, new * 100.0)
        });
        return format!(
            "Nothing is to be found on {frames}, so that no figure says how well the new model finds it.{alarms}{old_ground}"
        );
    };
    let how = if new - old >= NOTICEABLE {
        "better"
    } else if old - new >= NOTICEABLE {
        "worse"
    } else {
        "about as good"
    };
    let few = if held_out.pairs.len() < FEW { " So few frames say little." } else { "" };
    format!("On {frames} the new model is {how}: IoU {old:.2} before, {new:.2} now.{few}{old_ground}")
}

/// A name for the model of a run.
pub fn name(about: &RunAbout) -> String {
    if !about.name.is_empty() {
        return about.name.clone();
    }
    let from = about.from.trim_end_matches(".safetensors");
    format!("{from} after {} frames", about.samples[0])
}

/// A run in a few words.
pub fn summary(about: &RunAbout, labels_now: &str) -> String {
    let [done, all] = about.updates;
    let state = match about.state {
        RunState::Running => format!("learning, {done} of {all} updates"),
        RunState::Paused => format!("paused at {done} of {all} updates"),
        RunState::Done | RunState::Kept => format!("{done} updates"),
    };
    let best = about
        .measured
        .iter()
        .filter_map(|one| one.iou)
        .fold(None, |best: Option<f64>, iou| Some(best.map_or(iou, |best| best.max(iou))));
    let best = best.map_or(String::new(), |iou| format!(", held-out IoU {iou:.2}"));
    let stale = if about.labels == labels_now { "" } else { "; labels have changed since" };
    format!("{state}, {}, {} frames{best}{stale}", layers(&about.layers), about.samples[0])
}

/// Grey and probability as a picture to show `[size, size]` of red, green, blue and opacity: the more probable, the more coloured.
pub fn heat(grey: &[u8], probability: &[u8]) -> Vec<u8> {
    const HOT: [f32; 3] = [38.0, 208.0, 206.0];
    let mix = |(&grey, &probability): (&u8, &u8)| {
        let share = f32::from(probability) / 255.0;
        let [red, green, blue] = HOT.map(|hot| (f32::from(grey) * (1.0 - share) + hot * share).round() as u8);
        [red, green, blue, 255]
    };
    grey.iter().zip(probability).flat_map(mix).collect()
}

/// A map of `grid` x `grid` levels as a picture of `size` x `size` pixels.
pub fn enlarged(map: &[u8], grid: usize, size: usize) -> Vec<u8> {
    let of = |at: usize| at * grid / size.max(1);
    (0..size * size).map(|at| map.get(of(at / size) * grid + of(at % size)).copied().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::LayerChoice;
    use sonoseg_imaging::evaluate::Pair;

    fn plan() -> LearningPlan {
        LearningPlan {
            learned: 9,
            held_out: 2,
            left_out: 1,
            caveat: None,
            held: "frames 12 to 20".into(),
            layers: vec![LayerChoice { name: "all".into(), weights: 2_026_865 }],
            chosen: "all".into(),
            updates: 120,
            samples: [8, 4],
            memory: [2.4e8, 4e9],
            workers: 2,
            update_ms: 900.0,
            notes: vec![],
        }
    }

    #[test]
    fn a_plan_says_what_will_happen() {
        let told = told(&plan());
        let words: Vec<String> = told.iter().map(|(what, how)| format!("{what}: {how}")).collect();
        assert_eq!(words[0], "Learns from: 9 frames");
        assert_eq!(words[1], "Held out: 2 frames (frames 12 to 20)");
        assert_eq!(words[2], "Left out: 1 frame, too near to those held out");
        assert_eq!(words[3], "Beside them: 4 of 8 samples of an update are simulated");
        assert_eq!(words[4], "Changes: all layers, 2.0 M weights");
        assert!(words[5].starts_with("Memory: about 240 MB of 4.0 GB"), "{}", words[5]);
        assert_eq!(words[6], "Time: 120 updates of about 0.9 s: 1 min 48 s, and measuring");
        let none = LearningPlan { held_out: 0, held: "nothing: there are too few frames".into(), ..plan() };
        assert_eq!(super::told(&none)[1].1, "nothing: there are too few frames");
        assert_eq!(
            [layers("last-2"), layers("deep-3")],
            ["the decoder and the last 2 blocks of the encoder".to_owned(), "the last 3 blocks".to_owned()]
        );
        assert_eq!([weights(12), weights(4_500)], ["12 weights", "4 k weights"]);
    }

    #[test]
    fn time_is_left_and_curves_stay_in_their_picture() {
        assert_eq!(left(30.0, [60, 120]), Some(30.0));
        assert_eq!((left(0.0, [0, 120]), left(9.0, [120, 120])), (None, Some(0.0)));
        assert_eq!([duration(59.4), duration(61.0), duration(3_700.0)], ["59 s", "1 min 01 s", "1 h 02 min"]);
        assert_eq!(
            curve(&[(0.0, 1.0), (5.0, 0.5), (10.0, 2.0)], 10.0, Some(1.0), [100.0, 40.0]),
            "0.0,0.0 50.0,20.0 100.0,0.0"
        );
        assert_eq!(curve(&[(10.0, 4.0)], 10.0, None, [100.0, 40.0]), "100.0,0.0");
        let losses: Vec<(u64, f64)> = vec![(1, 4.0), (2, 2.0), (3, 0.0)];
        assert_eq!(smoothed(&losses, 2), [(1.0, 4.0), (2.0, 3.0), (3.0, 1.0)]);
    }

    #[test]
    fn the_gate_is_a_sentence_and_rows() {
        let gate = |name: &str, values: [Option<f64>; 2], less_is_better| Gate {
            lines: vec![Line {
                name: name.into(),
                label: name.into(),
                unit: String::new(),
                digits: 2,
                less_is_better,
                values,
            }],
            pairs: vec![Pair { id: String::new(), iou: [0.5; 2], tip_px: [None; 2] }; 6],
        };
        let iou = |old, new| gate("iou", [Some(old), Some(new)], false);
        assert_eq!(
            verdict(&iou(0.1, 0.6), &iou(0.5, 0.48)),
            "On your 6 held-out frames the new model is better: IoU 0.10 before, 0.60 now."
        );
        assert!(
            verdict(&iou(0.1, 0.6), &iou(0.5, 0.4)).ends_with("It forgot some of what it knew of simulated frames.")
        );
        assert!(verdict(&iou(0.5, 0.505), &Gate::default()).contains("about as good"));
        assert!(verdict(&iou(0.5, 0.4), &Gate::default()).contains("is worse"));
        let one = Gate { pairs: iou(0.1, 0.9).pairs[..1].to_vec(), ..iou(0.1, 0.9) };
        assert!(verdict(&one, &Gate::default()).starts_with("On your held-out frame the new model is better"));
        assert!(verdict(&one, &Gate::default()).ends_with("So few frames say little."));
        assert!(verdict(&Gate::default(), &Gate::default()).starts_with("Nothing is held out"));
        let none = gate("false_positive_rate", [Some(0.5), Some(0.0)], true);
        assert_eq!(
            verdict(&none, &Gate::default()),
            "Nothing is to be found on your 6 held-out frames, so that no figure says how well the new model finds it. False alarms there: \
             50 % before, 0 % now."
        );
        let first = |gate: &Gate| row(&gate.lines[0], gate);
        let missed = gate("miss_rate", [Some(0.5), Some(0.25)], true);
        assert_eq!(first(&missed).1, ["50 %", "25 %"]);
        let tip = gate("tip_px", [Some(4.0), Some(5.0)], true);
        assert_eq!((first(&tip).0.as_str(), first(&tip).2), ("tip_px, of those found", Some(false)));
        let others = Gate { lines: [&tip.lines[..], &missed.lines].concat(), ..tip };
        assert_eq!(first(&others).2, None, "one model found needles that the other did not");
        assert_eq!(first(&gate("tip_mm", [None, Some(5.0)], true)).2, None);
        assert_eq!(compared("demo/000019", 19), "demo, frame 20");
    }

    #[test]
    fn a_run_says_what_it_is_and_whether_labels_have_changed() {
        let about = RunAbout {
            from: "demo.safetensors".into(),
            samples: [9, 2],
            updates: [40, 120],
            labels: "aa".into(),
            layers: "all".into(),
            state: RunState::Paused,
            measured: vec![Measurement { update: 10, loss: None, iou: Some(0.25), tip_px: None, best: true }],
            ..RunAbout::default()
        };
        assert_eq!(name(&about), "demo after 9 frames");
        assert_eq!(summary(&about, "aa"), "paused at 40 of 120 updates, all layers, 9 frames, held-out IoU 0.25");
        assert!(summary(&about, "bb").ends_with("; labels have changed since"));
        assert_eq!(name(&RunAbout { name: "Mine".into(), ..about }), "Mine");
    }

    #[test]
    fn maps_of_patches_cover_their_picture() {
        assert_eq!(enlarged(&[1, 2, 3, 4], 2, 4), [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
        assert_eq!(enlarged(&[], 0, 2), [0; 4]);
    }

    #[test]
    fn heat_is_grey_where_nothing_is_and_coloured_where_all_is_sure() {
        assert_eq!(heat(&[100, 100], &[0, 255]), [100, 100, 100, 255, 38, 208, 206, 255]);
    }
}
