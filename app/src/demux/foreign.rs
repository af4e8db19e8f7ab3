//! What to say about videos that a browser does not decode.

/// The command that makes a video of it that every browser decodes.
pub fn convert(name: &str) -> String {
    // A name with a quote or a variable of the shell in it would be another command.
    let quoted = |name: &str| format!("\"{}\"", name.replace(['"', '$', '`', '\\'], "?"));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (from, to) = (quoted(name), quoted(&format!("{stem}-h264.mp4")));
    format!(
        "Convert it, for example with `ffmpeg -i {from} -c:v libx264 -crf 12 -pix_fmt yuv420p {to}`, and open that."
    )
}

/// A sentence about a video whose container is not read.
pub fn refusal(name: &str, bytes: &[u8]) -> String {
    let mpeg = [&[0, 0, 1, 0xba][..], &[0, 0, 1, 0xb3], &[0x47]].iter().any(|magic| bytes.starts_with(magic));
    let kind = if mpeg { "MPEG-1 and MPEG-2 videos are" } else { "This kind of video is" };
    format!("{kind} not decoded by browsers. {}", convert(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_the_file_and_nothing_speaks_of_the_app() {
        let said = refusal("lung 3.mpg", &[0, 0, 1, 0xba, 0x44]);
        assert!(said.starts_with("MPEG-1 and MPEG-2") && said.contains("ffmpeg -i \"lung 3.mpg\""), "{said}");
        assert!(said.contains("\"lung 3-h264.mp4\"") && !said.contains("app"), "{said}");
        assert!(!convert("a\"; rm $HOME.wmv").contains("$HOME"));
        assert!(refusal("a.wmv", &[0x30, 0x26, 0xb2, 0x75]).starts_with("This kind"));
    }
}
