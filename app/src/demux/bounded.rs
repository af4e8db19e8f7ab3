//! A reader that gives up: a container whose parts point at each other in a circle is not read for ever.

use std::cell::Cell;
use std::io::{Error, Read, Result, Seek, SeekFrom};

/// Reads from `inner` as long as `left`, in bytes, lasts. Whoever holds `left` sees what is left of it, and may give more.
pub(super) struct Bounded<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
}

impl<'a, R> Bounded<'a, R> {
    pub(super) fn new(inner: R, left: &'a Cell<u64>) -> Self {
        Self { inner, left }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(into)?;
        // To ask at the end of the file costs, too: a loop may do nothing else.
        let left = self.left.get().checked_sub(count.max(1) as u64);
        self.left.set(left.unwrap_or(0));
        left.map(|_| count).ok_or_else(|| Error::other("the same bytes are read again and again"))
    }
}

impl<R: Seek> Seek for Bounded<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.inner.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn the_bytes_of_a_file_are_read_as_often_as_is_allowed_and_no_more() {
        let left = Cell::new(10);
        let mut reader = Bounded::new(Cursor::new([1, 2, 3, 4]), &left);
        let mut four = [0; 4];
        for _ in 0..2 {
            reader.rewind().unwrap();
            reader.read_exact(&mut four).unwrap();
        }
        assert_eq!((four, left.get()), ([1, 2, 3, 4], 2));
        assert_eq!(reader.read(&mut four).unwrap(), 0);
        assert_eq!(left.get(), 1, "the end is not free");
        reader.rewind().unwrap();
        assert!(reader.read_exact(&mut four).is_err());
        assert!(reader.read_exact(&mut four).is_err(), "what gave up once stays so");
        left.set(4);
        reader.rewind().unwrap();
        reader.read_exact(&mut four).unwrap();
    }
}
