//! Every frame of a file as numbers, for comparisons with other programs (`bench/pydicom_files.py`): for each file given, a
//! line `name<TAB>frames<TAB>channels<TAB>height<TAB>width<TAB>notes` and behind it the pixels as little endian floats
//! `[frames, channels, height, width]` in [0, 1], or `name<TAB>error<TAB>sentence`.
#![expect(clippy::disallowed_methods, reason = "an example reads files, which the library does not")]

use sonoseg_imaging::formats::open;
use std::io::{BufWriter, Result, Write};

fn main() -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for name in std::env::args().skip(1) {
        let frames = open(&name, std::fs::read(&name)?).and_then(|clip| {
            let frames = (0..clip.len()).map(|index| clip.frame(index)).collect::<std::result::Result<Vec<_>, _>>()?;
            Ok((clip.notes().join(" "), frames))
        });
        match frames {
            Ok((notes, frames)) => {
                let (height, width) = (frames[0].height, frames[0].width);
                // A clip may hold grey and coloured frames; three channels take both.
                let channels = frames.iter().map(|frame| frame.channels).max().unwrap_or(1);
                writeln!(out, "{name}\t{}\t{channels}\t{height}\t{width}\t{notes}", frames.len())?;
                for frame in &frames {
                    for channel in 0..channels {
                        let plane = height * width;
                        let from = channel.min(frame.channels - 1) * plane;
                        for level in &frame.pixels[from..from + plane] {
                            out.write_all(&level.to_le_bytes())?;
                        }
                    }
                }
            }
            Err(error) => writeln!(out, "{name}\terror\t{error}")?,
        }
    }
    out.flush()
}
