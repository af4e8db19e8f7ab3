//! What of a project a model can learn from, in numbers, and what stands in the way.

use super::{Document, Verdict};

/// Frames that people answered for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The model was right.
    pub accepted: usize,
    /// Drawn, moved or painted.
    pub corrected: usize,
    /// Nothing is to be seen.
    pub nothing: usize,
    /// Of no use.
    pub excluded: usize,
    /// Clips with a frame that counts.
    pub clips: usize,
    /// Frames that say that something is there, and not what it looks like.
    pub bare: usize,
}

impl Tally {
    /// Frames that are learned from or measured on.
    pub fn counted(&self) -> usize {
        self.accepted + self.corrected + self.nothing
    }

    /// Why nothing can be learned, and what helps. `noun`: what is looked for.
    pub fn obstacle(&self, noun: &str) -> Option<String> {
        let shown = self.accepted + self.corrected;
        match (self.counted(), shown) {
            (0, _) if self.excluded > 0 => Some(format!(
                "Every frame with an answer is excluded: correct or accept the {noun} in at least two frames, then learn."
            )),
            (0, _) => Some(format!(
                "No frame is corrected yet: correct or accept the {noun} in at least two frames, then learn."
            )),
            (_, 0) => Some(format!(
                "All answers say that there is no {noun}: correct at least one frame that shows one, or the model would learn \
                 to find nothing."
            )),
            (1, _) => {
                Some(format!("One frame alone teaches only itself: correct or accept the {noun} in at least one more."))
            }
            _ => None,
        }
    }

    /// The frames in words.
    pub fn words(&self, noun: &str) -> String {
        let part = |count: usize, word: &str| (count > 0).then(|| format!("{count} {word}"));
        let nothing = format!("without a {noun}");
        let parts = [part(self.corrected, "corrected"), part(self.accepted, "accepted"), part(self.nothing, &nothing)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
    }
}

impl Document {
    /// What can be learned from. `needles`: whether needles are looked for, whose ends are an answer.
    pub fn tally(&self, needles: bool) -> Tally {
        let mut tally = Tally::default();
        for record in self.clips.values() {
            let before = tally.counted();
            for answer in record.answers.values() {
                let drawn = answer.mask.is_some() || (needles && answer.needle.is_some());
                match answer.verdict {
                    Verdict::Excluded => tally.excluded += 1,
                    Verdict::Nothing => tally.nothing += 1,
                    _ if !drawn => tally.bare += 1,
                    Verdict::Accepted => tally.accepted += 1,
                    Verdict::Corrected => tally.corrected += 1,
                }
            }
            tally.clips += usize::from(tally.counted() > before);
        }
        tally
    }

    /// A hash of all answers that count, in eight hexadecimal digits: a model knows by it whether they have changed since it saw
    /// them. Who answered when does not matter.
    pub fn labels(&self) -> String {
        let mut hash = crc32fast::Hasher::new();
        for (clip, record) in &self.clips {
            for (frame, answer) in record.answers.iter().filter(|(_, answer)| answer.verdict.counts()) {
                hash.update(format!("{clip} {frame} {:?} {:?} ", answer.verdict, answer.needle).as_bytes());
                hash.update(answer.mask.as_ref().map_or(&[], |mask| &mask.classes));
            }
        }
        format!("{:08x}", hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, By, ClipRecord};
    use super::*;
    use crate::geometry::{Mask, Needle, Point};

    #[test]
    fn frames_that_count_are_told_and_every_obstacle_is_a_sentence() {
        let needle = Needle { entry: Point { x: 1.0, y: 1.0 }, tip: Point { x: 4.0, y: 4.0 } };
        let line = |verdict| Answer { needle: Some(needle), ..Answer::bare(verdict, By::default()) };
        let bare = |verdict| Answer::bare(verdict, By::default());
        let document = |answers: Vec<Answer>| {
            let answers = answers.into_iter().enumerate().collect();
            let record = ClipRecord { name: "a".into(), frames: 9, height: 8, width: 8, answers };
            Document { clips: [("aa".to_owned(), record)].into() }
        };
        let tally = |answers| document(answers).tally(true);
        let said = |answers| tally(answers).obstacle("needle").unwrap_or_default();
        assert!(said(vec![]).starts_with("No frame is corrected yet"));
        assert!(said(vec![bare(Verdict::Excluded)]).starts_with("Every frame with an answer is excluded"));
        assert!(said(vec![bare(Verdict::Nothing), bare(Verdict::Nothing)]).contains("there is no needle"));
        assert!(said(vec![line(Verdict::Corrected)]).starts_with("One frame alone"));
        let all = tally(vec![
            line(Verdict::Corrected),
            line(Verdict::Accepted),
            bare(Verdict::Nothing),
            bare(Verdict::Excluded),
            bare(Verdict::Accepted),
        ]);
        assert_eq!(all, Tally { accepted: 1, corrected: 1, nothing: 1, excluded: 1, clips: 1, bare: 1 });
        assert_eq!((all.counted(), all.obstacle("needle")), (3, None));
        assert_eq!(all.words("needle"), "1 corrected, 1 accepted, 1 without a needle");
        let hash = |answers| document(answers).labels();
        let at = |at_ms| Answer { by: By { at_ms, ..By::default() }, ..line(Verdict::Corrected) };
        assert_eq!(hash(vec![at(1)]), hash(vec![at(2)]), "whenever it was said");
        assert_ne!(hash(vec![at(1)]), hash(vec![line(Verdict::Accepted)]));
        assert_ne!(hash(vec![at(1)]), hash(vec![at(1), bare(Verdict::Nothing)]));
        assert_eq!(hash(vec![at(1)]), hash(vec![at(1), bare(Verdict::Excluded)]), "it does not count");
        // Lines are no answer where masks are learned.
        let lines = document(vec![line(Verdict::Corrected), line(Verdict::Corrected)]);
        assert_eq!((lines.tally(false).counted(), lines.tally(false).bare), (0, 2));
        let painted = Answer { mask: Some(Mask::empty(8, 8)), ..bare(Verdict::Corrected) };
        assert_eq!(document(vec![painted]).tally(false).corrected, 1);
    }
}
