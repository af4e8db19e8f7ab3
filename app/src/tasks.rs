//! The requests that the worker is working on. They take turns: a long job gives way to others between its steps, and
//! learns there that it was cancelled.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::messages::{Fault, RequestId};

/// How long a job may keep others waiting between two steps that are short, in milliseconds.
const PATIENCE_MS: f64 = 16.0;

/// What the worker's surroundings do for its tasks.
pub trait Surroundings {
    /// Give messages a turn: they may start other tasks, or cancel this one.
    fn turn(&self) -> impl Future<Output = ()>;
    /// Milliseconds of a steady clock.
    fn now(&self) -> f64;
    /// Remember the request that is being worked on, to tell it when the worker dies of it.
    fn working_on(&self, id: Option<RequestId>);
}

/// Every request that has no answer yet.
#[derive(Debug)]
pub struct Tasks<S> {
    surroundings: Rc<S>,
    cancelled: RefCell<HashMap<RequestId, Rc<Cell<bool>>>>,
}

impl<S: Surroundings> Tasks<S> {
    /// None yet.
    pub fn new(surroundings: S) -> Self {
        Self { surroundings: Rc::new(surroundings), cancelled: RefCell::default() }
    }

    /// A request comes in.
    pub fn start(&self, id: RequestId) -> Steps<S> {
        let cancelled = Rc::new(Cell::new(false));
        self.cancelled.borrow_mut().insert(id, cancelled.clone());
        let since_ms = Cell::new(self.surroundings.now());
        Steps { id, surroundings: self.surroundings.clone(), cancelled, since_ms }
    }

    /// A request is not wanted any more. Nothing happens when it is over.
    pub fn cancel(&self, id: RequestId) {
        if let Some(cancelled) = self.cancelled.borrow().get(&id) {
            cancelled.set(true);
        }
    }

    /// Work on a request until it is over.
    pub async fn run(&self, id: RequestId, work: impl Future<Output = ()>) {
        Labelled { id, surroundings: &*self.surroundings, work: Box::pin(work) }.await;
        self.cancelled.borrow_mut().remove(&id);
    }
}

/// A job's view of itself.
#[derive(Debug)]
pub struct Steps<S> {
    /// Number of its request.
    pub id: RequestId,
    surroundings: Rc<S>,
    cancelled: Rc<Cell<bool>>,
    since_ms: Cell<f64>,
}

impl<S: Surroundings> Steps<S> {
    /// Between two steps: give others a turn when they have waited long enough. An error when the job was cancelled.
    pub async fn between(&self) -> Result<(), Fault> {
        if self.surroundings.now() - self.since_ms.get() >= PATIENCE_MS {
            self.surroundings.turn().await;
            self.since_ms.set(self.surroundings.now());
        }
        self.check()
    }

    /// An error when the job was cancelled.
    pub fn check(&self) -> Result<(), Fault> {
        if self.cancelled.get() { Err(Fault::Cancelled) } else { Ok(()) }
    }
}

/// Work that says what it is whenever it goes on. A panic leaves the label in its place.
struct Labelled<'a, S, W> {
    id: RequestId,
    surroundings: &'a S,
    work: Pin<Box<W>>,
}

impl<S: Surroundings, W: Future<Output = ()>> Future for Labelled<'_, S, W> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.surroundings.working_on(Some(self.id));
        let poll = self.work.as_mut().poll(context);
        self.surroundings.working_on(None);
        poll
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// A clock that runs by itself, and turns that last until they are polled again.
    #[derive(Default)]
    struct Fake {
        clock: Cell<f64>,
        step_ms: Cell<f64>,
        working_on: Cell<Option<RequestId>>,
    }

    impl Surroundings for Fake {
        async fn turn(&self) {
            let mut given = false;
            std::future::poll_fn(|_| if std::mem::replace(&mut given, true) { Poll::Ready(()) } else { Poll::Pending })
                .await;
        }

        fn now(&self) -> f64 {
            self.clock.set(self.clock.get() + self.step_ms.get());
            self.clock.get()
        }

        fn working_on(&self, id: Option<RequestId>) {
            self.working_on.set(id);
        }
    }

    /// Train for `steps` steps of `step_ms`; write down what happens, a prediction at each turn included.
    fn train(steps: usize, step_ms: f64, cancel_at: Option<usize>) -> Vec<String> {
        let log = RefCell::new(Vec::new());
        let tasks = Tasks::new(Fake { step_ms: Cell::new(step_ms), ..Fake::default() });
        let training = tasks.start(1);
        let mut training = Box::pin(tasks.run(1, async {
            for step in 0..steps {
                log.borrow_mut().push(format!("step {step} of {:?}", training.surroundings.working_on.get()));
                if training.between().await.is_err() {
                    log.borrow_mut().push("cancelled".into());
                    return;
                }
            }
        }));
        let mut context = Context::from_waker(Waker::noop());
        let mut turns = 0;
        while training.as_mut().poll(&mut context).is_pending() {
            turns += 1;
            let prediction = tasks.start(1 + turns as RequestId);
            let work = tasks.run(prediction.id, async { log.borrow_mut().push(format!("predicted at turn {turns}")) });
            assert!(Box::pin(work).as_mut().poll(&mut context).is_ready());
            if cancel_at == Some(turns) {
                tasks.cancel(1);
            }
        }
        assert!(tasks.cancelled.borrow().is_empty(), "what is over is forgotten");
        drop(training);
        log.into_inner()
    }

    #[test]
    fn a_prediction_is_answered_between_two_steps_of_a_training() {
        let log = train(2, PATIENCE_MS, None);
        assert_eq!(log, ["step 0 of Some(1)", "predicted at turn 1", "step 1 of Some(1)", "predicted at turn 2"]);
    }

    #[test]
    fn a_training_is_cancelled_between_two_steps() {
        let log = train(9, PATIENCE_MS, Some(2));
        let turns =
            ["step 0 of Some(1)", "predicted at turn 1", "step 1 of Some(1)", "predicted at turn 2", "cancelled"];
        assert_eq!(log, turns);
    }

    #[test]
    fn short_steps_are_not_slowed_down_by_turns() {
        let log = train(30, PATIENCE_MS / 10.0, None);
        assert!((2..=4).contains(&log.iter().filter(|line| line.starts_with("predicted")).count()), "{log:?}");
    }
}
