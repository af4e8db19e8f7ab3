//! What the worker was asked and has not answered yet.

use std::collections::VecDeque;

/// One thing that the worker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The job of the moment: to choose the device, to load a model, to open or check a file.
    Job,
    /// The pixels of a frame.
    Pixels {
        /// The file that it belongs to.
        file: u32,
        /// The frame, from 0.
        frame: usize,
    },
    /// What the model finds in a frame.
    Prediction {
        /// The file that it belongs to.
        file: u32,
        /// The frame, from 0.
        frame: usize,
    },
}

/// Everything that is on its way, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct OnItsWay {
    asked: VecDeque<Asked>,
}

impl OnItsWay {
    /// The worker was asked.
    pub fn ask(&mut self, asked: Asked) {
        self.asked.push_back(asked);
    }

    /// The worker answered. Nothing happens when it was not asked.
    pub fn answered(&mut self, answered: Asked) {
        if let Some(at) = self.asked.iter().position(|asked| *asked == answered) {
            self.asked.remove(at);
        }
    }

    /// What the worker is doing: it takes one thing after the other, so the oldest.
    pub fn doing(&self) -> Option<Asked> {
        self.asked.front().copied()
    }

    /// True while pixels are on their way.
    pub fn pixels(&self) -> bool {
        self.asked.iter().any(|asked| matches!(asked, Asked::Pixels { .. }))
    }

    /// True while a prediction is on its way.
    pub fn prediction(&self) -> bool {
        self.asked.iter().any(|asked| matches!(asked, Asked::Prediction { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_is_doing_the_oldest_thing_that_it_has_not_answered() {
        let mut on_its_way = OnItsWay::default();
        let [first, second] = [3, 4].map(|frame| Asked::Pixels { file: 1, frame });
        let prediction = Asked::Prediction { file: 1, frame: 3 };
        [first, second, prediction, Asked::Job].into_iter().for_each(|asked| on_its_way.ask(asked));
        on_its_way.answered(first);
        assert_eq!(on_its_way.doing(), Some(second));
        assert!(on_its_way.pixels() && on_its_way.prediction());
        on_its_way.answered(second);
        on_its_way.answered(second);
        assert_eq!(on_its_way.doing(), Some(prediction));
        assert!(!on_its_way.pixels());
        on_its_way.answered(prediction);
        assert_eq!(on_its_way.doing(), Some(Asked::Job));
        on_its_way.answered(Asked::Job);
        assert_eq!(on_its_way.doing(), None);
    }
}
