//! What is left out of files, in sentences that name every frame.

use std::collections::BTreeMap;

/// Frames that are not in a file, by clip and reason.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftOut {
    frames: BTreeMap<(String, &'static str), Vec<usize>>,
    sentences: Vec<String>,
}

impl LeftOut {
    /// A frame is left out. Frames of a clip come in rising order.
    pub(super) fn frame(&mut self, clip: &str, frame: usize, reason: &'static str) {
        self.frames.entry((clip.to_owned(), reason)).or_default().push(frame);
    }

    /// Something else is, for the reason in this sentence.
    pub(super) fn sentence(&mut self, sentence: String) {
        self.sentences.push(sentence);
    }

    /// All of it, a sentence a reason.
    pub(super) fn sentences(mut self) -> Vec<String> {
        for ((clip, reason), frames) in &self.frames {
            let noun = if frames.len() == 1 { "frame" } else { "frames" };
            self.sentences.push(format!("{clip}: {noun} {}: {reason}.", ranges(frames)));
        }
        self.sentences
    }
}

/// The text of `left-out.txt`.
pub(super) fn text(sentences: &[String]) -> String {
    if sentences.is_empty() {
        return "Nothing is left out.\n".to_owned();
    }
    format!("Left out, frames numbered from 0:\n\n{}\n", sentences.join("\n"))
}

/// Rising numbers in words: `0 to 3, 7`.
pub(super) fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first} to {last}"),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_named_by_its_reason() {
        let mut left = LeftOut::default();
        [0, 1, 2, 7].into_iter().for_each(|frame| left.frame("a.dcm", frame, "nobody answered for them"));
        left.frame("a.dcm", 3, "it is excluded");
        left.sentence("b.dcm: its file is not here.".to_owned());
        let sentences = left.sentences();
        assert!(sentences.contains(&"a.dcm: frames 0 to 2, 7: nobody answered for them.".to_owned()), "{sentences:?}");
        assert!(sentences.contains(&"a.dcm: frame 3: it is excluded.".to_owned()), "{sentences:?}");
        assert_eq!(sentences[0], "b.dcm: its file is not here.");
        assert!(text(&[]).starts_with("Nothing") && text(&sentences).contains("b.dcm"));
    }
}
