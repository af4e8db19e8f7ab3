//! What the session knows of learning.

use crate::messages::RequestId;

/// What the session knows of learning.
#[derive(Default)]
pub(super) struct Learner {
    /// The request that learns, to pause it by; 0 before it is sent.
    pub(super) request: Option<RequestId>,
    /// The runs of this browser were looked at.
    pub(super) looked: bool,
    /// Workers that the run stopped in a row.
    pub(super) deaths: u32,
}
