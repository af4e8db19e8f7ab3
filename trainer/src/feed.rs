//! Batches read ahead on threads, in the order asked for, so that training does not wait for files.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{Scope, ScopedJoinHandle};

use sonoseg_core::tasks::Task;
use sonoseg_core::train::Feed;
use sonoseg_core::train::loader::{BatchPlan, read_views};
use sonoseg_imaging::DataError;
use sonoseg_imaging::dataset::sample::Source;

type Work = (usize, BatchPlan);
type Views<T> = Result<Vec<<T as Task>::View>, DataError>;
type Made<T> = (usize, Views<T>);

/// Reads ahead with `threads` threads.
pub(crate) struct ThreadFeed<'scope, 'env, S: Source, T: Task> {
    scope: &'scope Scope<'scope, 'env>,
    source: &'env S,
    task: &'env T,
    seed: u64,
    threads: usize,
    running: Option<Running<'scope, T>>,
}

struct Running<'scope, T: Task> {
    made: Receiver<Made<T>>,
    waiting: BTreeMap<usize, Views<T>>,
    next: usize,
    total: usize,
    _handles: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope, 'env, S: Source, T: Task> ThreadFeed<'scope, 'env, S, T> {
    pub(crate) fn new(
        scope: &'scope Scope<'scope, 'env>,
        source: &'env S,
        task: &'env T,
        seed: u64,
        threads: usize,
    ) -> Self {
        Self { scope, source, task, seed, threads: threads.max(1), running: None }
    }
}

impl<S: Source, T: Task> Feed<T::View> for ThreadFeed<'_, '_, S, T> {
    fn start(&mut self, plans: Vec<BatchPlan>) {
        // Dropping the old receiver ends the old threads at their next batch.
        self.running = None;
        let total = plans.len();
        let work = Arc::new(Mutex::new(plans.into_iter().enumerate()));
        let (send, made): (SyncSender<Made<T>>, Receiver<Made<T>>) = sync_channel(2 * self.threads);
        let handles = (0..self.threads)
            .map(|_| {
                let (work, send) = (Arc::clone(&work), send.clone());
                let (source, task, seed) = (self.source, self.task, self.seed);
                self.scope.spawn(move || {
                    let take = || -> Option<Work> { work.lock().ok()?.next() };
                    while let Some((index, plan)) = take() {
                        if send.send((index, pollster::block_on(read_views(task, source, &plan, seed)))).is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        self.running = Some(Running { made, waiting: BTreeMap::new(), next: 0, total, _handles: handles });
    }

    async fn next(&mut self) -> Option<Views<T>> {
        let running = self.running.as_mut()?;
        if running.next == running.total {
            return None;
        }
        while !running.waiting.contains_key(&running.next) {
            let (index, views) = running.made.recv().ok()?;
            running.waiting.insert(index, views);
        }
        running.next += 1;
        running.waiting.remove(&(running.next - 1))
    }
}
