//! A zip that is written piece by piece, so that only the file of the moment is in memory.

use std::cell::RefCell;
use std::io::{self, Seek, SeekFrom, Write};
use std::rc::Rc;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::DataError;

/// The zip in the making.
pub(super) struct Packer {
    zip: ZipWriter<Spool>,
    spool: Spool,
}

impl Packer {
    /// An empty one.
    pub(super) fn new() -> Self {
        let spool = Spool::default();
        Self { zip: ZipWriter::new(spool.clone()), spool }
    }

    /// Add a file. Gives the bytes of the zip that are final by now.
    pub(super) fn add(&mut self, path: &str, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
        // Pictures are compressed already, and weights do not become smaller.
        let method = if path.ends_with(".png") || path.ends_with(".safetensors") {
            CompressionMethod::Stored
        } else {
            CompressionMethod::Deflated
        };
        let options = SimpleFileOptions::default().compression_method(method);
        // What was written before this file is final once the file is begun: its sizes were put into its head.
        let before = self.spool.end();
        self.zip.start_file(path, options).map_err(|error| failed(path, error))?;
        let piece = self.spool.take(before);
        self.zip.write_all(bytes).map_err(|error| failed(path, error))?;
        Ok(piece)
    }

    /// The rest of the zip.
    pub(super) fn finish(self) -> Result<Vec<u8>, DataError> {
        self.zip.finish().map_err(|error| failed("the list of its files", error))?;
        Ok(self.spool.take(self.spool.end()))
    }
}

fn failed(path: &str, error: impl std::fmt::Display) -> DataError {
    DataError::Inconsistent(format!("{path} cannot be written into the zip: {error}."))
}

/// The end of the zip that is not final yet. Both handles are of the same one.
#[derive(Clone, Default)]
struct Spool(Rc<RefCell<Tail>>);

#[derive(Default)]
struct Tail {
    /// Bytes that were taken away.
    taken: u64,
    bytes: Vec<u8>,
    /// Where the next byte goes, counted from the start of the zip.
    at: u64,
}

impl Spool {
    fn end(&self) -> u64 {
        let tail = self.0.borrow();
        tail.taken + tail.bytes.len() as u64
    }

    /// Take away what lies before `end`.
    fn take(&self, end: u64) -> Vec<u8> {
        let mut tail = self.0.borrow_mut();
        let count = end.saturating_sub(tail.taken) as usize;
        let rest = tail.bytes.split_off(count);
        tail.taken = end;
        std::mem::replace(&mut tail.bytes, rest)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut tail = self.0.borrow_mut();
        let start = tail.at.checked_sub(tail.taken).ok_or_else(|| io::Error::other("it is written out already"))?;
        let (start, end) = (start as usize, start as usize + bytes.len());
        if tail.bytes.len() < end {
            tail.bytes.resize(end, 0);
        }
        tail.bytes[start..end].copy_from_slice(bytes);
        tail.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Spool {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = self.end();
        let mut tail = self.0.borrow_mut();
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => tail.at.checked_add_signed(by),
            SeekFrom::End(by) => end.checked_add_signed(by),
        };
        tail.at = at.ok_or_else(|| io::Error::other("before its start"))?;
        Ok(tail.at)
    }
}
