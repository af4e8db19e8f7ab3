//! How the page words what a model finds.

use sonoseg_imaging::dataset::finding::Finding;

use crate::timeline::{FrameState, tally};

/// What the results are about: the title of their panel.
pub fn title(finding: &Finding) -> &'static str {
    if finding.is_needles() { "Needle" } else { "Marked area" }
}

/// The name of the classes that are marked; none for needles and where all classes are.
pub fn class(finding: &Finding) -> Option<String> {
    match finding {
        Finding::Classes(names) if names[..] != [Finding::ANY_CLASS] => Some(names.join(", ")),
        Finding::Classes(_) | Finding::Needles => None,
    }
}

/// The classes that are told apart, where there are several.
pub fn several(finding: &Finding) -> Option<&[String]> {
    match finding {
        Finding::Classes(names) if names.len() > 1 => Some(names),
        Finding::Classes(_) | Finding::Needles => None,
    }
}

/// What is said of a frame where it is seen.
pub fn seen(finding: &Finding) -> String {
    match class(finding) {
        Some(class) => format!("Marked: {class}"),
        None if finding.is_needles() => "Needle seen".to_owned(),
        None => "Marked".to_owned(),
    }
}

/// Below this confidence a needle is a question, not a finding.
const SURE: f64 = 0.5;

/// What is said of a frame where it is seen, as far as the model is sure of it.
pub fn seen_by(finding: &Finding, confidence: f64) -> String {
    if finding.is_needles() && confidence < SURE { "Perhaps a needle".to_owned() } else { seen(finding) }
}

/// What is said of a frame where it is not seen.
pub fn not_seen(finding: &Finding) -> &'static str {
    if finding.is_needles() { "No needle seen" } else { "Nothing marked" }
}

/// What a person says of a frame where there is nothing to be found.
pub fn nothing(finding: &Finding) -> &'static str {
    if finding.is_needles() { "No needle" } else { "Nothing there" }
}

/// What is said of a frame that is unlike anything that the model learned from, instead of how sure it is.
pub const UNLIKE: &str = "Unlike the training data";

/// What the bars of the strip mean.
pub fn bars(finding: &Finding) -> &'static str {
    if finding.is_needles() { "needle (height: confidence)" } else { "marked" }
}

/// In how many frames it was seen.
pub fn seen_in(finding: &Finding, frames: usize) -> String {
    if finding.is_needles() { format!("needle in {frames}") } else { format!("marked in {frames}") }
}

/// What was found in a file, for its line in the list; none where no frame was looked at.
pub fn in_file(finding: &Finding, states: &[FrameState]) -> Option<String> {
    let (looked_at, seen) = tally(states);
    let some = looked_at > 0;
    Some(match states.len() {
        1 if seen == 1 => self::seen(finding),
        1 if states[0] == FrameState::NotSeen => not_seen(finding).to_owned(),
        1 if some => "Not judged".to_owned(),
        count if looked_at < count => format!("{} of {looked_at} frames so far", seen_in(finding, seen)),
        count => format!("{} of {count} frames", seen_in(finding, seen)),
    })
    .filter(|_| some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_list_says_what_was_found_in_it() {
        use FrameState::{NotSeen, Seen, Unlike, Waiting};
        let said = |states: &[FrameState]| in_file(&Finding::Needles, states);
        assert_eq!(said(&[Waiting, Waiting]), None);
        assert_eq!(said(&[Waiting]), None);
        assert_eq!(said(&[Seen(0.9), NotSeen, Waiting]).as_deref(), Some("needle in 1 of 2 frames so far"));
        assert_eq!(said(&[Seen(0.9), NotSeen]).as_deref(), Some("needle in 1 of 2 frames"));
        assert_eq!(said(&[NotSeen]).as_deref(), Some("No needle seen"));
        assert_eq!(said(&[Seen(0.4)]).as_deref(), Some("Needle seen"));
        assert_eq!(said(&[Unlike]).as_deref(), Some("Not judged"));
    }

    #[test]
    fn a_needle_that_the_model_is_not_sure_of_is_no_finding() {
        let said = |confidence| seen_by(&Finding::Needles, confidence);
        assert_eq!([said(0.0), said(0.49), said(0.5)], ["Perhaps a needle", "Perhaps a needle", "Needle seen"]);
        assert_eq!(seen_by(&Finding::Classes(vec!["nerve".into()]), 0.0), "Marked: nerve");
    }

    #[test]
    fn several_classes_have_a_legend() {
        let classes = |names: &[&str]| Finding::Classes(names.iter().map(|&name| name.to_owned()).collect());
        assert!(several(&classes(&["nerve", "vessel"])).is_some_and(|names| names.len() == 2));
        assert!(several(&classes(&["nerve"])).is_none() && several(&Finding::Needles).is_none());
    }

    #[test]
    fn only_a_model_for_needles_speaks_of_needles() {
        assert_eq!(not_seen(&Finding::Needles), "No needle seen");
        for class in ["any", "nerve"] {
            let finding = Finding::Classes(vec![class.to_owned()]);
            let words = [title(&finding), &seen(&finding), not_seen(&finding), bars(&finding), nothing(&finding)];
            let words = words.into_iter().chain([seen_in(&finding, 3).as_str()]).collect::<Vec<_>>().join(" ");
            assert!(!words.to_lowercase().contains("needle"), "{words}");
            assert_eq!(words.contains(class), class != "any", "{words}");
        }
    }
}
