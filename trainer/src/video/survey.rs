//! Looking through a video before its pixels are read: its packets by ffprobe, its frames and what is said of them by ffmpeg.

use std::path::Path;

use sonoseg_imaging::DataError;

use super::film::{Film, Places};
use super::log::Log;
use super::packets::Stream;
use super::{avi, ffmpeg};
use crate::args::Damaged;
use crate::table::count;

/// The frames of a file. An error for one that is damaged, unless what is sound is to be kept.
pub(super) fn survey(name: &str, path: &Path, damaged: Damaged) -> Result<Film, DataError> {
    let mut stream = Stream::default();
    let said = ffmpeg::probe(name, path, |line| stream.line(line))?;
    if !stream.found {
        return Err(ffmpeg::failure(name, "holds no video track that ffmpeg can decode", &said));
    }
    let mut log = Log::default();
    let status = ffmpeg::decode(name, path, |line| log.line(&stream.format, line))?;
    if log.decoded.is_empty() {
        return Err(ffmpeg::failure(name, "holds no video track that ffmpeg can decode", &log.last_error));
    }
    if !status.success() {
        log.container += 1;
    }
    let places = match stream.format.as_str() {
        "avi" => match avi::index(path, stream.index) {
            Some(index) => Places::Index(index),
            None => Places::InARow(avi::in_a_row(path, &stream.packets)),
        },
        _ => Places::Times,
    };
    let mut film = Film::of(&stream, &log, &places);
    let Some(damage) = film.damage.take() else { return Ok(film) };
    let kept = film.shown.iter().filter(|shown| shown.number.is_some()).count();
    match damaged {
        Damaged::Refuse if kept > 0 => Err(DataError::unreadable(
            name,
            format!(
                "is damaged: {damage}. Copy it again from where it came, or read the other {} with --damaged keep",
                count(kept, "frame")
            ),
        )),
        Damaged::Keep if kept > 0 => {
            let kept = count(kept, "frame");
            film.notes.push(format!("it is damaged: {damage}; what is left is read under its own numbers: {kept}"));
            Ok(film)
        }
        _ => Err(DataError::unreadable(
            name,
            format!("is damaged: {damage}. No frame of it is sure to be sound; copy it again from where it came"),
        )),
    }
}
