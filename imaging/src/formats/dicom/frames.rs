//! Which bytes of a DICOM object make up each frame. What is there decides, not what the header says: a frame too few in
//! the header loses no frame, and one too many is an error.

use super::pixels::Format;
use crate::formats::Refusal;
use std::ops::Range;

/// For each frame the ranges of the file that hold it.
pub(super) type Frames = Vec<Vec<Range<usize>>>;

/// Cut pixels that are not packed. `told` is the header's number of frames.
pub(super) fn native(
    range: &Range<usize>,
    format: &Format,
    told: Option<usize>,
    notes: &mut Vec<String>,
) -> Result<Frames, Refusal> {
    let frame = format.native_bytes();
    let held = range.len() / frame;
    let wanted = told.unwrap_or(1);
    if held < wanted {
        return Err(Refusal::Unreadable(format!(
            "It says that it has {wanted} frames of {frame} bytes, but holds {} bytes of pixels. Export it again.",
            range.len()
        )));
    }
    more_than_told(held, told, notes);
    // One byte makes an odd length even.
    let rest = range.len() - held * frame;
    if rest > 1 {
        notes.push(format!("{rest} bytes stand behind its last frame and make up no frame; they are left out."));
    }
    let begins = (0..held).map(|index| range.start + index * frame);
    Ok(begins.map(|start| std::iter::once(start..start + frame).collect()).collect())
}

/// Which compressed pieces make up each frame: one each, by where streams begin, or by the offset table.
pub(super) fn encapsulated(
    bytes: &[u8],
    offsets: &[u32],
    fragments: &[Range<usize>],
    told: Option<usize>,
    notes: &mut Vec<String>,
) -> Result<Frames, Refusal> {
    let each = || fragments.iter().map(|fragment| vec![fragment.clone()]).collect::<Frames>();
    if let [only] = fragments {
        // All frames in one piece, one stream behind the other.
        let streams: Frames = streams(bytes, only).into_iter().map(|stream| vec![stream]).collect();
        return found(streams, told, notes);
    }
    if told == Some(fragments.len()) {
        return Ok(each());
    }
    let by_streams = group(fragments, |fragment| begins_stream(&bytes[fragment.clone()]));
    if told == Some(by_streams.len()) {
        return Ok(by_streams);
    }
    // Offsets count from the first byte after the offset table, item headers of eight bytes included.
    let first = fragments.first().map_or(0, |fragment| fragment.start);
    let by_offsets = group(fragments, |fragment| {
        u32::try_from(fragment.start - first).is_ok_and(|offset| offsets.binary_search(&offset).is_ok())
    });
    if !offsets.is_empty() && told == Some(by_offsets.len()) {
        return Ok(by_offsets);
    }
    found(by_streams, told, notes)
}

/// The frames as found, unless the header says that there are more.
fn found(frames: Frames, told: Option<usize>, notes: &mut Vec<String>) -> Result<Frames, Refusal> {
    let (held, wanted) = (frames.len(), told.unwrap_or(1));
    if held < wanted {
        return Err(Refusal::Unreadable(format!(
            "It says that it has {wanted} frames, but its compressed pieces make up {held}. Copy or export it again."
        )));
    }
    more_than_told(held, told, notes);
    Ok(frames)
}

fn more_than_told(held: usize, told: Option<usize>, notes: &mut Vec<String>) {
    match told {
        Some(told) if told < held => notes.push(format!(
            "Its header says {told} frame{}, but {held} are in it; all {held} are read.",
            if told == 1 { "" } else { "s" }
        )),
        None if held > 1 => {
            notes.push(format!("Its header does not say how many frames it has; {held} are in it, and all are read."));
        }
        _ => {}
    }
}

/// Pieces joined to frames, each beginning with a piece of which `begins` is true.
fn group(fragments: &[Range<usize>], begins: impl Fn(&Range<usize>) -> bool) -> Frames {
    let mut frames = Frames::new();
    for fragment in fragments {
        match frames.last_mut() {
            Some(frame) if !begins(fragment) => frame.push(fragment.clone()),
            _ => frames.push(vec![fragment.clone()]),
        }
    }
    frames
}

/// True for the first bytes of a JPEG, JPEG-LS or JPEG 2000 stream or of an RLE frame.
fn begins_stream(bytes: &[u8]) -> bool {
    let run_lengths = || {
        let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        matches!(word(0), Some(1..=15)) && word(4) == Some(64) && bytes.len() > 64
    };
    bytes.starts_with(&[0xff, 0xd8, 0xff])
        || bytes.starts_with(&[0xff, 0x4f, 0xff, 0x51])
        || bytes.starts_with(b"\0\0\0\x0cjP  ")
        || run_lengths()
}

/// The JPEG streams that stand one behind the other in a piece; mostly one.
fn streams(bytes: &[u8], piece: &Range<usize>) -> Vec<Range<usize>> {
    let held = &bytes[piece.clone()];
    let mut begins = vec![piece.start];
    if begins_stream(held) && held[0] == 0xff {
        // An end marker, perhaps a byte of padding, and a start: inside a stream they do not follow each other.
        for at in 0..held.len() {
            let next = match &held[at..] {
                [0xff, 0xd9, 0xff, 0xd8, 0xff, ..] | [0xff, 0xd9, 0xff, 0x4f, 0xff, 0x51, ..] => 2,
                [0xff, 0xd9, 0, 0xff, 0xd8, 0xff, ..] | [0xff, 0xd9, 0, 0xff, 0x4f, 0xff, 0x51, ..] => 3,
                _ => continue,
            };
            begins.push(piece.start + at + next);
        }
    }
    let ends = begins[1..].iter().copied().chain([piece.end]);
    begins.iter().copied().zip(ends).map(|(begin, end)| begin..end).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{EXPLICIT, LOSSLESS, RLE, Value, file, image, lossless};
    use crate::formats::open;
    use dicom_core::Tag;
    use dicom_dictionary_std::tags;

    /// Five frames of two pixels, frame n with the levels n and 100 + n, in each way to pack them.
    fn packed() -> Vec<(&'static str, Value)> {
        let pixels = (0..5_u8).map(|n| [n, 100 + n]);
        let run = |[a, b]: [u8; 2]| {
            let mut bytes = [1_u32, 64].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
            bytes.resize(64, 0);
            bytes.extend([1, a, b, 0]);
            bytes
        };
        let jpeg = |[a, b]: [u8; 2]| lossless(2, 1, 8, &[a.into(), b.into()]);
        let pieces = |frames: Vec<Vec<u8>>| Value::Pieces([vec![vec![]], frames].concat());
        let halves = pixels.clone().map(jpeg).flat_map(|stream| {
            let (left, right) = stream.split_at(stream.len() / 2 / 2 * 2);
            [left.to_vec(), right.to_vec()]
        });
        vec![
            (EXPLICIT, Value::Bytes(pixels.clone().flatten().collect())),
            (RLE, pieces(pixels.clone().map(run).collect())),
            (LOSSLESS, pieces(pixels.clone().map(jpeg).collect())),
            (LOSSLESS, pieces(halves.collect())),
            (LOSSLESS, pieces(vec![pixels.flat_map(jpeg).collect()])),
        ]
    }

    #[test]
    fn every_frame_is_read_whatever_the_header_says_of_their_number() {
        for (number, (syntax, pixels)) in packed().into_iter().enumerate() {
            let elements = image("MONOCHROME2", [1, 2, 1, 8], pixels);
            let of = |more: &[(Tag, Value)]| open("a.dcm", file(syntax, &elements, more));
            for told in [None, Some("0"), Some("1"), Some("3"), Some("5")] {
                let more: Vec<_> = told.map(|told| (tags::NUMBER_OF_FRAMES, Value::Text(told))).into_iter().collect();
                let clip = of(&more).unwrap();
                assert_eq!(clip.len(), 5, "way {number}, told {told:?}");
                for frame in 0..5 {
                    let pixels = clip.frame(frame).unwrap().to_bytes();
                    assert_eq!(pixels, [frame as u8, 100 + frame as u8], "way {number}, told {told:?}");
                }
                let noted = clip.notes().iter().any(|note| note.contains("5 are in it"));
                assert_eq!(noted, told != Some("5"), "way {number}, told {told:?}: {:?}", clip.notes());
            }
            let message = of(&[(tags::NUMBER_OF_FRAMES, Value::Text("6"))]).unwrap_err().to_string();
            assert!(message.contains("6 frames"), "{message}");
        }
    }

    #[test]
    fn a_rest_that_makes_up_no_frame_is_noted_and_a_byte_of_padding_is_not() {
        let notes = |bytes: Vec<u8>| {
            let elements = image("MONOCHROME2", [1, 5, 1, 8], Value::Bytes(bytes));
            let clip = open("a.dcm", file(EXPLICIT, &elements, &[])).unwrap();
            assert_eq!(clip.len(), 1);
            clip.notes().len()
        };
        assert_eq!((notes(vec![9; 5]), notes(vec![9; 6]), notes(vec![9; 8])), (0, 0, 1));
    }

    #[test]
    fn a_single_frame_in_pieces_stays_one() {
        let stream = lossless(2, 1, 8, &[7, 9]);
        let pieces = [vec![], stream[..20].to_vec(), stream[20..40].to_vec(), stream[40..].to_vec()];
        let elements = image("MONOCHROME2", [1, 2, 1, 8], Value::Pieces(pieces.to_vec()));
        let clip = open("a.dcm", file(LOSSLESS, &elements, &[])).unwrap();
        assert_eq!((clip.len(), clip.frame(0).unwrap().to_bytes(), clip.notes().len()), (1, vec![7, 9], 0));
    }
}
