//! Pending requests: what the worker was asked and has not answered yet.

use crate::messages::{RequestId, Subject};

/// Every pending request, the oldest first. `T` is where its answer goes.
#[derive(Debug)]
pub struct Pending<T> {
    next: RequestId,
    requests: Vec<(RequestId, Subject, T)>,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { next: 0, requests: Vec::new() }
    }
}

impl<T> Pending<T> {
    /// A new request. Its number was never used before.
    pub fn add(&mut self, subject: Subject, to: T) -> RequestId {
        self.next += 1;
        self.requests.push((self.next, subject, to));
        self.next
    }

    /// Where the items of a request go; `None` when nobody waits for it any more.
    pub fn get(&self, id: RequestId) -> Option<&T> {
        self.requests.iter().find(|request| request.0 == id).map(|request| &request.2)
    }

    /// A request is over: where its answer goes. `None` when nobody waits for it any more.
    pub fn take(&mut self, id: RequestId) -> Option<T> {
        let at = self.requests.iter().position(|request| request.0 == id)?;
        Some(self.requests.remove(at).2)
    }

    /// The request that the worker died of: the one that it was working on, or else the newest, which it died of taking.
    pub fn culprit(&self, working_on: Option<RequestId>) -> Option<(RequestId, Subject)> {
        let known = self.requests.iter().find(|request| Some(request.0) == working_on);
        known.or(self.requests.last()).map(|request| (request.0, request.1))
    }

    /// All requests, which the worker will not answer any more.
    pub fn drain(&mut self) -> Vec<(RequestId, T)> {
        self.requests.drain(..).map(|(id, _, to)| (id, to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::ClipId;

    #[test]
    fn answers_come_in_any_order_and_once() {
        let mut pending = Pending::default();
        let clip = ClipId([7; 32]);
        let pixels = pending.add(Subject::Pixels(clip), "pixels");
        let prediction = pending.add(Subject::Prediction(clip), "prediction");
        assert_eq!(pending.take(prediction), Some("prediction"));
        assert_eq!(pending.take(prediction), None, "a second answer, or one that was cancelled");
        assert_eq!(pending.get(pixels), Some(&"pixels"));
        let model = pending.add(Subject::File, "model");
        assert!(model > prediction && prediction > pixels, "no number is used again");
        assert_eq!(pending.drain(), [(pixels, "pixels"), (model, "model")]);
        assert_eq!(pending.culprit(None), None);
    }

    #[test]
    fn the_worker_died_of_what_it_was_working_on_or_of_what_it_was_given_last() {
        let mut pending = Pending::default();
        let clip = ClipId([7; 32]);
        let pixels = pending.add(Subject::Pixels(clip), ());
        let prediction = pending.add(Subject::Prediction(clip), ());
        assert_eq!(pending.culprit(Some(pixels)), Some((pixels, Subject::Pixels(clip))));
        assert_eq!(pending.culprit(None), Some((prediction, Subject::Prediction(clip))));
        assert_eq!(pending.culprit(Some(99)), Some((prediction, Subject::Prediction(clip))));
    }
}
