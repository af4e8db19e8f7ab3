//! Views made ahead: the worker makes those of the next update while its helpers compute the gradients of this one.

use std::cell::RefCell;
use std::collections::VecDeque;

use sonoseg_core::tasks::segment::{Segment, View};
use sonoseg_core::train::Feed;
use sonoseg_core::train::loader::{BatchPlan, read_views};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Source;

use crate::worker::channel;

type Views = Result<Vec<View>, DataError>;

/// Makes views in the order of their plans, when they are asked for or when there is time.
pub(super) struct Ahead<'a, S> {
    task: &'a Segment,
    source: &'a S,
    seed: u64,
    plans: RefCell<VecDeque<BatchPlan>>,
    made: RefCell<VecDeque<Views>>,
}

impl<'a, S: Source> Ahead<'a, S> {
    /// Nothing is announced yet.
    pub(super) fn new(task: &'a Segment, source: &'a S, seed: u64) -> Self {
        Self { task, source, seed, plans: RefCell::default(), made: RefCell::default() }
    }

    /// Make the views of the next plans, so many of them at most, others having their turn in between.
    pub(super) async fn make(&self, count: usize) {
        for _ in 0..count {
            if self.made.borrow().len() >= count {
                return;
            }
            let Some(plan) = self.plans.borrow_mut().pop_front() else { return };
            let views = self.views(plan).await;
            self.made.borrow_mut().push_back(views);
        }
    }

    async fn views(&self, plan: BatchPlan) -> Views {
        let mut views = Vec::new();
        for drawn in plan {
            views.extend(read_views(self.task, self.source, &[drawn], self.seed).await?);
            channel::pause(0).await;
        }
        Ok(views)
    }
}

impl<S: Source> Feed<View> for &Ahead<'_, S> {
    fn start(&mut self, plans: Vec<BatchPlan>) {
        self.made.borrow_mut().clear();
        self.plans.replace(plans.into());
    }

    async fn next(&mut self) -> Option<Views> {
        let made = self.made.borrow_mut().pop_front();
        if made.is_some() {
            return made;
        }
        let plan = self.plans.borrow_mut().pop_front()?;
        Some(self.views(plan).await)
    }
}
