//! What is wrong with a data set: one problem of a kind per procedure, with all the places where it occurs.

use serde::Serialize;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// Training fails or learns something wrong.
    Error,
    /// It may be meant so.
    Warning,
}

/// A problem of one kind in one procedure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) level: Level,
    /// A word for programs.
    pub(super) kind: &'static str,
    /// Files, or the procedures; the first is the one that `what` is about.
    pub(super) places: Vec<String>,
    /// What is wrong in the first place.
    pub(super) what: String,
    /// What to do.
    pub(super) advice: &'static str,
}

/// Collects problems. Those of one kind in one part become one.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn error(
        &mut self,
        kind: &'static str,
        place: impl Into<String>,
        what: impl Into<String>,
        advice: &'static str,
    ) {
        self.add(Level::Error, kind, place.into(), what.into(), advice);
    }

    pub(super) fn warning(
        &mut self,
        kind: &'static str,
        place: impl Into<String>,
        what: impl Into<String>,
        advice: &'static str,
    ) {
        self.add(Level::Warning, kind, place.into(), what.into(), advice);
    }

    fn add(&mut self, level: Level, kind: &'static str, place: String, what: String, advice: &'static str) {
        match self.list.iter_mut().find(|problem| problem.kind == kind && problem.level == level) {
            Some(problem) => problem.places.push(place),
            None => self.list.push(Problem { level, kind, places: vec![place], what, advice }),
        }
    }

    pub(super) fn into_list(self) -> Vec<Problem> {
        self.list
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = if self.level == Level::Error { "error" } else { "warning" };
        let first = self.places.first().map(String::as_str).unwrap_or_default();
        let more = match self.places.len() {
            0 | 1 => String::new(),
            many => format!(" (and {} more)", many - 1),
        };
        write!(f, "{level:<7}  {:<16} {first}{more}: {}: {}", self.kind, self.what, self.advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_one_kind_are_told_once() {
        let mut problems = Problems::default();
        problems.error("gap", "p1/frames", "no frame 3", "renumber");
        problems.error("gap", "p1/frames", "no frame 9", "renumber");
        problems.warning("gap", "p1/frames", "no frame 9", "renumber");
        let list = problems.into_list();
        assert_eq!((list.len(), list[0].places.len()), (2, 2));
        let told = list[0].to_string();
        assert!(told.contains("(and 1 more): no frame 3: renumber"), "{told}");
    }
}
