//! What has to be done one after the other: the picture first, then the device, then the model, then what is only good
//! to know.

use std::collections::VecDeque;

use crate::messages::FileNumber;

/// What is asked of the worker only when the one before is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Choose the device.
    Start,
    /// Load a model; `keep` the results when it is the page's own model, which gave them before a restart.
    Model {
        /// Its file.
        file: FileNumber,
        /// Whether results are kept.
        keep: bool,
    },
    /// Take the files out of a zip, and open them.
    Unpack(FileNumber),
    /// Open a file and show it.
    Show {
        /// The file.
        file: FileNumber,
        /// Why.
        why: Why,
    },
    /// Say whether a file can be read.
    Check(FileNumber),
}

impl Task {
    /// To show a file that the user asked for.
    fn wanted(self) -> Option<FileNumber> {
        match self {
            Self::Show { file, why: Why::Opened | Why::Chosen } => Some(file),
            _ => None,
        }
    }

    /// To show or to check this file.
    fn is_about(self, file: FileNumber) -> bool {
        matches!(self, Self::Show { file: its, .. } | Self::Check(its) if its == file)
    }

    fn is_show(self) -> bool {
        matches!(self, Self::Show { .. })
    }

    fn is_check(self) -> bool {
        matches!(self, Self::Check(_))
    }

    /// What every new worker needs: it comes by itself.
    fn is_of_restart(self) -> bool {
        matches!(self, Self::Start | Self::Model { keep: true, .. } | Self::Show { why: Why::Kept, .. })
    }
}

/// Why a file is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is the first of files that were opened together; when it cannot be read, the next one is shown.
    Opened,
    /// It was chosen from the list.
    Chosen,
    /// It is on the screen; after a restart it is opened again.
    Kept,
}

/// What is to be done, and what is being done.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    tasks: VecDeque<Task>,
    current: Option<Task>,
}

impl Queue {
    /// Put tasks in front of the first check: what the user waits for comes before what is only good to know. A file that
    /// was to be shown gives way to another one, and is checked later. True when what is being done is in the way and is to
    /// be cancelled; the file that is being opened is not in its own way.
    pub fn add(&mut self, tasks: &[Task]) -> bool {
        let opening = self.current.and_then(Task::wanted).filter(|&file| self.wanted() == Some(file));
        let tasks: Vec<Task> =
            tasks.iter().copied().filter(|task| opening.is_none() || task.wanted() != opening).collect();
        let shows = tasks.iter().any(|task| task.is_show());
        let displaced: Vec<Task> = self.tasks.iter().copied().filter(|task| shows && task.wanted().is_some()).collect();
        self.tasks.retain(|task| !displaced.contains(task));
        let at = self.tasks.iter().position(|task| task.is_check()).unwrap_or(self.tasks.len());
        tasks.iter().rev().for_each(|&task| self.tasks.insert(at, task));
        displaced.into_iter().filter_map(Task::wanted).for_each(|file| self.check_later(file));
        self.current.is_some_and(|task| {
            let waits = tasks.iter().any(|task| !task.is_check());
            (shows && task.wanted().is_some()) || (waits && task.is_check())
        })
    }

    /// The next task, once the one before is done.
    pub fn take_next(&mut self) -> Option<Task> {
        if self.current.is_none() {
            self.current = self.tasks.pop_front();
            return self.current;
        }
        None
    }

    /// The task is done.
    pub fn done(&mut self) {
        self.current = None;
    }

    /// The task was not done: the worker died of something else.
    pub fn put_back(&mut self, task: Task) {
        if !task.is_of_restart() {
            self.tasks.push_front(task);
        }
    }

    /// A file gave way to what is more urgent: say after all else whether it can be read.
    pub fn check_later(&mut self, file: FileNumber) {
        if !self.tasks.iter().any(|task| task.is_about(file)) {
            self.tasks.push_back(Task::Check(file));
        }
    }

    /// A new worker: the picture first, then the device, then the model, then whatever else was asked for.
    pub fn restart(&mut self, shown: Option<FileNumber>, model: Option<FileNumber>) {
        self.tasks.retain(|task| !task.is_of_restart());
        if let Some(file) = shown {
            self.tasks.push_front(Task::Show { file, why: Why::Kept });
        }
        let first = usize::from(self.tasks.front().is_some_and(|task| task.is_show()));
        let model = model.map(|file| Task::Model { file, keep: true });
        for task in model.into_iter().chain([Task::Start]) {
            self.tasks.insert(first, task);
        }
    }

    /// The model that a new worker is to be given is this one. False where it has its model, or is being given it.
    pub fn replace_model(&mut self, with: FileNumber) -> bool {
        let models = self.tasks.iter_mut().filter_map(|task| match task {
            Task::Model { file, keep: true } => Some(file),
            _ => None,
        });
        models.map(|file| *file = with).count() > 0
    }

    /// A file could not be shown: show the next of those that were opened with it, unless another one is wanted by now.
    pub fn show_another(&mut self) {
        let other = self.tasks.iter().any(|task| task.is_show());
        // What was opened last stands in front of older checks.
        if !other
            && let Some(next) = self.tasks.iter_mut().find(|task| task.is_check())
            && let Task::Check(file) = *next
        {
            *next = Task::Show { file, why: Why::Opened };
        }
    }

    /// A file needs no check any more.
    pub fn forget_check(&mut self, file: FileNumber) {
        self.tasks.retain(|task| *task != Task::Check(file));
    }

    /// A file is taken off the list: nothing is to be done about it. True when what is being done is about it.
    pub fn forget(&mut self, file: FileNumber) -> bool {
        self.tasks.retain(|task| !task.is_about(file));
        self.current.is_some_and(|task| task.is_about(file))
    }

    /// The file that the user asked for last and does not see yet.
    pub fn wanted(&self) -> Option<FileNumber> {
        self.tasks.iter().rev().chain(&self.current).find_map(|task| task.wanted())
    }

    /// Nothing but checks is left to do: start-up, or opening a file, is over.
    pub fn is_settled(&self) -> bool {
        self.current.iter().chain(&self.tasks).all(|task| task.is_check())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn show(file: FileNumber, why: Why) -> Task {
        Task::Show { file, why }
    }

    fn order(mut queue: Queue) -> Vec<Task> {
        queue.done();
        std::iter::from_fn(|| queue.take_next().inspect(|_| queue.done())).collect()
    }

    #[test]
    fn a_worker_starts_with_the_picture_and_the_model() {
        let mut queue = Queue::default();
        queue.add(&[show(0, Why::Chosen)]);
        queue.restart(None, Some(1));
        let model = Task::Model { file: 1, keep: true };
        assert_eq!(order(queue.clone()), [show(0, Why::Chosen), Task::Start, model]);
        queue.restart(Some(7), Some(1));
        assert_eq!(order(queue.clone()), [show(7, Why::Kept), Task::Start, model, show(0, Why::Chosen)]);
        queue.restart(None, None);
        assert_eq!(order(queue), [show(0, Why::Chosen), Task::Start]);
    }

    #[test]
    fn the_file_that_was_asked_for_last_is_shown_and_checks_come_last() {
        let mut queue = Queue::default();
        queue.add(&[show(1, Why::Opened), Task::Check(2)]);
        assert!(!queue.add(&[show(3, Why::Opened), Task::Check(4)]));
        assert_eq!(queue.wanted(), Some(3));
        assert_eq!(order(queue.clone()), [show(3, Why::Opened), Task::Check(4), Task::Check(2), Task::Check(1)]);
        assert_eq!(queue.take_next(), Some(show(3, Why::Opened)));
        assert_eq!(queue.take_next(), None, "one after the other");
        assert!(!queue.add(&[show(3, Why::Chosen)]), "the file that is being opened is not begun anew");
        assert!(queue.add(&[show(5, Why::Chosen)]), "opening the other file is cancelled");
        assert!(queue.add(&[show(3, Why::Chosen)]), "the file whose opening was cancelled is");
        assert!(queue.add(&[show(5, Why::Chosen)]));
        queue.done();
        assert_eq!(queue.take_next(), Some(show(5, Why::Chosen)));
        assert!(!queue.add(&[Task::Model { file: 6, keep: false }]), "a model waits for the picture");
        assert!(!queue.is_settled());
    }

    #[test]
    fn another_model_takes_the_place_of_the_one_that_is_awaited() {
        let mut queue = Queue::default();
        assert!(!queue.replace_model(7));
        queue.restart(None, Some(1));
        assert!(queue.replace_model(7));
        assert_eq!(order(queue), [Task::Start, Task::Model { file: 7, keep: true }]);
    }

    #[test]
    fn a_check_gives_way_and_is_done_later() {
        let mut queue = Queue::default();
        queue.add(&[Task::Check(1), Task::Check(2)]);
        assert_eq!(queue.take_next(), Some(Task::Check(1)));
        assert!(queue.is_settled());
        assert!(queue.add(&[show(3, Why::Chosen)]));
        queue.check_later(1);
        queue.check_later(3);
        assert_eq!(order(queue.clone()), [show(3, Why::Chosen), Task::Check(2), Task::Check(1)]);
        queue.put_back(Task::Start);
        assert_eq!(order(queue).len(), 3, "a new worker starts anew");
    }

    #[test]
    fn nothing_is_done_about_a_file_that_is_taken_off_the_list() {
        let mut queue = Queue::default();
        queue.add(&[show(1, Why::Opened), Task::Check(2), Task::Check(3)]);
        assert!(!queue.forget(2));
        assert_eq!(queue.take_next(), Some(show(1, Why::Opened)));
        assert!(queue.forget(1), "it is being opened");
        assert_eq!(order(queue), [Task::Check(3)]);
    }

    #[test]
    fn the_next_readable_file_is_shown_instead() {
        let mut queue = Queue::default();
        queue.add(&[show(1, Why::Opened), Task::Check(2), Task::Check(3)]);
        queue.take_next();
        queue.show_another();
        queue.forget_check(3);
        assert_eq!(order(queue.clone()), [show(2, Why::Opened)]);
        queue.show_another();
        assert_eq!(order(queue), [show(2, Why::Opened)]);
    }
}
