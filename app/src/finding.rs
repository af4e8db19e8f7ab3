//! How the page words what a model finds.

use sonoseg_imaging::dataset::finding::Finding;

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

/// What is said of a frame where it is seen.
pub fn seen(finding: &Finding) -> String {
    match class(finding) {
        Some(class) => format!("Marked: {class}"),
        None if finding.is_needles() => "Needle seen".to_owned(),
        None => "Marked".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
