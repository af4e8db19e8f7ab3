//! Scalars for TensorBoard: an event file is a row of records (length, its CRC, data, their CRC), each record a protobuf
//! `Event` (`tensorflow/core/util/event.proto`).
//!
//! Written by hand because it is three messages with six fields in all: the crates that write such files need `protoc` at
//! build time or carry an old protobuf runtime.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use sonoseg_imaging::metrics::order;

use super::history::{Epoch, History, Step};
use crate::files;

/// Write or continue the event file of a run folder, below `tensorboard/`.
pub(crate) fn write(run: &Path, history: &History) -> Result<()> {
    let folder = run.join("tensorboard");
    // The name holds the time at which the run began, so that the same history always gives the same bytes.
    let (path, start) = match existing(&folder) {
        Some(found) => found,
        None => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
            let start = now.saturating_sub(history.seconds as u64);
            (folder.join(format!("{PREFIX}{start:010}.sonoseg")), start)
        }
    };
    let bytes = encode(history, start as f64);
    let old = if path.exists() { files::read(&path)? } else { Vec::new() };
    match bytes.strip_prefix(old.as_slice()) {
        Some(rest) if !old.is_empty() => append(&path, rest),
        // A new run, or one that went back.
        _ => files::write(&path, &bytes),
    }
}

const PREFIX: &str = "events.out.tfevents.";

/// The event file and the second at which the run began.
fn existing(folder: &Path) -> Option<(PathBuf, u64)> {
    let names = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let started = |path: &Path| path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('.').next()?.parse().ok();
    names.filter_map(|path| started(&path).map(|start| (path, start))).min()
}

/// A TensorBoard that is looking keeps the file open and reads on at its end, so the file may not be replaced by another
/// one. It skips a record that is not whole yet.
fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("{} cannot be written", files::absolute(path)))
}

/// The whole file. `start`: seconds since 1970 at which the run began.
fn encode(history: &History, start: f64) -> Vec<u8> {
    let mut bytes = record(&Message::default().double(1, start).bytes(3, b"brain.Event:2").0);
    let updates = history.updates_per_epoch();
    let mut epochs = history.epochs.iter().peekable();
    for step in &history.steps {
        while let Some(epoch) = epochs.next_if(|epoch| epoch.epoch < step.epoch) {
            bytes.extend(epoch_event(epoch, updates, start));
        }
        bytes.extend(step_event(step, updates, start));
    }
    epochs.for_each(|epoch| bytes.extend(epoch_event(epoch, updates, start)));
    bytes
}

/// The x axis of all scalars: updates done.
fn step_event(step: &Step, updates: u64, start: f64) -> Vec<u8> {
    let done = step.epoch * updates + step.step + 1;
    event(start + step.seconds, done, &[("train/loss", step.loss), ("train/learning_rate", step.rate)])
}

fn epoch_event(epoch: &Epoch, updates: u64, start: f64) -> Vec<u8> {
    let mut names: Vec<&String> = epoch.measures.keys().collect();
    names.sort_by_key(|name| order(name));
    let measures = names.into_iter().map(|name| (format!("epoch/val_{name}"), epoch.value(name)));
    let scalars: Vec<(String, f64)> =
        std::iter::once(("epoch/train_loss".to_owned(), epoch.train_loss)).chain(measures).collect();
    event(start + epoch.seconds, (epoch.epoch + 1) * updates, &scalars)
}

/// An `Event` with a `Summary`; scalars that are not defined are left out.
fn event<T: AsRef<str>>(wall_time: f64, step: u64, scalars: &[(T, f64)]) -> Vec<u8> {
    let mut summary = Message::default();
    for (tag, value) in scalars.iter().filter(|(_, value)| !value.is_nan()) {
        summary = summary.bytes(1, &Message::default().bytes(1, tag.as_ref().as_bytes()).float(2, *value as f32).0);
    }
    record(&Message::default().double(1, wall_time).varint(2, step).bytes(5, &summary.0).0)
}

/// A protobuf message while it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(mut self, field: u64, kind: u64) -> Self {
        self.push(field << 3 | kind);
        self
    }

    fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(self, field: u64, value: u64) -> Self {
        let mut message = self.key(field, 0);
        message.push(value);
        message
    }

    fn double(self, field: u64, value: f64) -> Self {
        let mut message = self.key(field, 1);
        message.0.extend(value.to_le_bytes());
        message
    }

    fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.key(field, 2);
        message.push(value.len() as u64);
        message.0.extend(value);
        message
    }

    fn float(self, field: u64, value: f32) -> Self {
        let mut message = self.key(field, 5);
        message.0.extend(value.to_le_bytes());
        message
    }
}

/// A record of the file.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

/// CRC-32C, rotated and shifted as TFRecord wants it.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_messages_are_those_of_the_reference() {
        // The first bytes of every file that TensorFlow itself writes: 24 bytes follow; the CRC of that length.
        let bytes = encode(&History::default(), 1.0);
        assert_eq!(bytes[..8], [24, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(bytes[12..21], [9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(&bytes[21..36], b"\x1a\x0dbrain.Event:2");
        assert_eq!(Message::default().varint(2, 300).0, [0x10, 0xac, 0x02]);
        assert_eq!(Message::default().float(2, 1.0).0, [0x15, 0, 0, 0x80, 0x3f]);
    }

    #[test]
    fn a_run_that_goes_on_only_adds_to_its_file_and_one_that_went_back_replaces_it() {
        let folder = std::env::temp_dir().join(format!("sonoseg-events-{}", std::process::id()));
        let line = |epoch: u64, loss: f64| {
            format!(
                "{{\"epoch\":{epoch},\"step\":0,\"loss\":{loss},\"rate\":0.1,\"seconds\":{epoch}}}\n\
                 {{\"epoch\":{epoch},\"train_loss\":{loss},\"val_loss\":null,\"seconds\":{epoch}}}\n"
            )
        };
        let mut sizes = Vec::new();
        for text in [line(0, 1.0), line(0, 1.0) + &line(1, 0.5), line(0, 2.0)] {
            let history = History::parse(text.as_bytes());
            write(&folder, &history).unwrap();
            let (path, start) = existing(&folder.join("tensorboard")).unwrap();
            let bytes = files::read(&path).unwrap();
            assert_eq!(bytes, encode(&history, start as f64));
            sizes.push(bytes.len());
        }
        assert!(sizes[0] < sizes[1] && sizes[2] == sizes[0]);
        assert_eq!(std::fs::read_dir(folder.join("tensorboard")).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
