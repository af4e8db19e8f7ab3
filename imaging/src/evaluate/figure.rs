//! A number of an evaluation, with everything that it takes to write it down.

use serde::Serialize;

use crate::metrics::bootstrap::Interval;
use crate::metrics::measure::Metric;

/// One figure of some frames.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is.
    #[serde(flatten)]
    pub metric: Metric,
    /// Its name at the head of a narrow column.
    pub short: String,
    /// NaN where it is not defined.
    pub value: f64,
    /// 95 %, by drawing whole groups.
    pub interval: Option<Interval>,
    /// Frames on which it is not defined, where it is one of single frames.
    pub undefined: Option<u64>,
    /// Of how many how many, where it is a share of cases.
    pub counts: Option<[u64; 2]>,
    /// Whether it takes a known scale.
    pub scaled: bool,
    /// Whether it belongs to the few that sets of frames are compared by.
    pub by_set: bool,
    /// Whether it belongs to those that are listed for every group.
    pub by_group: bool,
}
