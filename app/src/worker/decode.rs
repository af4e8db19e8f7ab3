//! Compressed frames to grey pictures by the browser's own decoder (WebCodecs), in the order of their time stamps.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    EncodedVideoChunk, EncodedVideoChunkInit, EncodedVideoChunkType, OffscreenCanvas,
    OffscreenCanvasRenderingContext2d, VideoDecoder, VideoDecoderConfig, VideoDecoderInit, VideoDecoderSupport,
    VideoFrame,
};

use super::channel::pause;
use crate::demux::track::Track;
use crate::messages::post::reason;
use crate::rotation::QuarterTurns;

/// Memory for the decoded frames of a video.
const BUDGET: usize = 640 << 20;
/// Compressed frames that wait in the decoder at most.
const QUEUED: u32 = 12;

/// A decoded video: grey frames of one size in the order of their time stamps.
#[derive(Debug, Default)]
pub(super) struct Video {
    pub(super) height: usize,
    pub(super) width: usize,
    /// By their numbers in the file. None for a frame that is lost.
    pub(super) frames: Vec<Option<Vec<u8>>>,
    pub(super) times_us: Vec<u64>,
    /// What is doubtful, a sentence each.
    pub(super) notes: Vec<String>,
}

/// What the decoder gave so far.
#[derive(Default)]
struct Decoded {
    size: Option<(usize, usize)>,
    frames: Vec<(f64, Vec<u8>)>,
    bytes: usize,
    error: Option<String>,
    /// The frames after the error are of no use either.
    over: bool,
}

/// Refuse a codec that this browser does not decode. The error is a sentence without the file's name.
pub(super) async fn check(track: &Track) -> Result<VideoDecoderConfig, String> {
    let codec = &track.codec;
    if !Reflect::has(&js_sys::global(), &"VideoDecoder".into()).unwrap_or(false) {
        return Err(
            "This browser cannot decode video in a worker (no WebCodecs). A current Chrome, Edge or Safari can."
                .to_owned(),
        );
    }
    let config = VideoDecoderConfig::new(codec);
    if track.height > 0 && track.width > 0 {
        config.set_coded_height(track.height);
        config.set_coded_width(track.width);
    }
    if let Some(description) = &track.description {
        config.set_description_u8_array(&Uint8Array::from(description.as_slice()));
    }
    let answer = JsFuture::from(VideoDecoder::is_config_supported(&config)).await;
    let supported =
        answer.is_ok_and(|answer| answer.unchecked_into::<VideoDecoderSupport>().get_supported() == Some(true));
    if supported {
        Ok(config)
    } else {
        Err(format!(
            "This browser does not decode its video codec ({codec}). Convert it to H.264 or VP9, for example with \
             `ffmpeg -i IN -c:v libx264 OUT.mp4`."
        ))
    }
}

/// Decode a track, as long as `go_on` says so. The error is a sentence without the file's name.
pub(super) async fn decode(track: &Track, go_on: impl Fn(usize) -> bool) -> Result<Video, String> {
    let config = check(track).await?;
    let decoded = Rc::new(RefCell::new(Decoded::default()));
    let into = decoded.clone();
    let mut reader = Reader::new(track.turns);
    let output = Closure::<dyn FnMut(VideoFrame)>::new(move |frame: VideoFrame| {
        let mut decoded = into.borrow_mut();
        // What comes after an error is only closed.
        if decoded.error.is_none() {
            match reader.read(&frame) {
                Ok((size, _)) if *decoded.size.get_or_insert(size) != size => {
                    decoded.error = Some("its frames change their size, which is not supported".to_owned());
                    decoded.over = true;
                }
                Ok((_, grey)) => {
                    decoded.bytes += grey.len();
                    decoded.frames.push((frame.timestamp(), grey));
                }
                Err(error) => decoded.error = Some(reason(&error)),
            }
        }
        frame.close();
    });
    let into = decoded.clone();
    let failed = Closure::<dyn FnMut(JsValue)>::new(move |error: JsValue| {
        into.borrow_mut().error.get_or_insert_with(|| reason(&error));
    });
    // What comes before the first key frame cannot be decoded.
    let (mut next, mut cut, mut said) = (track.chunks.iter().position(|chunk| chunk.key), None, None);
    while let Some(start) = next.take() {
        cut = match feed(track, &config, start, &decoded, &output, &failed, &go_on).await {
            Ok(cut) => cut,
            Err(error) => {
                decoded.borrow_mut().error.get_or_insert_with(|| reason(&error));
                None
            }
        };
        let mut decoded = decoded.borrow_mut();
        let Some(error) = decoded.error.take() else { break };
        said.get_or_insert(error);
        if !decoded.over {
            // A decoder ends with the first error. Another one goes on at the next key frame.
            let last = decoded.frames.iter().filter_map(|(time, _)| track.place(*time)).max();
            let after = last.map_or(start, |last| last.max(start));
            next = (after + 1..track.chunks.len()).find(|&at| track.chunks[at].key);
        }
    }
    let mut decoded = decoded.take();
    decoded.error = said;
    finish(track, decoded, cut)
}

/// Run a decoder and close it whatever happens: it must not call functions that are gone. `Some(frames)` when memory
/// ended it early.
async fn feed(
    track: &Track,
    config: &VideoDecoderConfig,
    start: usize,
    decoded: &RefCell<Decoded>,
    output: &Closure<dyn FnMut(VideoFrame)>,
    failed: &Closure<dyn FnMut(JsValue)>,
    go_on: &impl Fn(usize) -> bool,
) -> Result<Option<usize>, JsValue> {
    let functions = VideoDecoderInit::new(failed.as_ref().unchecked_ref(), output.as_ref().unchecked_ref());
    let decoder = VideoDecoder::new(&functions)?;
    let fed = feed_all(&decoder, track, config, start, decoded, go_on).await;
    // A decoder that failed has closed itself.
    if decoder.state() != web_sys::CodecState::Closed {
        decoder.close()?;
    }
    // What it gave before is delivered while there is someone to take it.
    pause(0).await;
    fed
}

/// Give the decoder the compressed frames, no faster than it takes them.
async fn feed_all(
    decoder: &VideoDecoder,
    track: &Track,
    config: &VideoDecoderConfig,
    start: usize,
    decoded: &RefCell<Decoded>,
    go_on: &impl Fn(usize) -> bool,
) -> Result<Option<usize>, JsValue> {
    decoder.configure(config)?;
    let mut cut = None;
    for (index, chunk) in track.chunks.iter().enumerate().skip(start) {
        while decoder.decode_queue_size() > QUEUED && decoded.borrow().error.is_none() {
            pause(2).await;
        }
        if decoded.borrow().error.is_some() {
            return Ok(None);
        }
        if decoded.borrow().bytes > BUDGET {
            cut = Some(decoded.borrow().frames.len());
            break;
        }
        let bytes = Uint8Array::from(&track.data[chunk.bytes.clone()]);
        let kind = if chunk.key { EncodedVideoChunkType::Key } else { EncodedVideoChunkType::Delta };
        let init = EncodedVideoChunkInit::new_with_u8_array(&bytes, 0, kind);
        init.set_timestamp_f64(chunk.timestamp_us);
        decoder.decode(&EncodedVideoChunk::new(&init)?)?;
        if index % 16 == 0 && !go_on(decoded.borrow().frames.len()) {
            return Ok(None);
        }
    }
    JsFuture::from(decoder.flush()).await?;
    Ok(cut)
}

fn finish(track: &Track, mut decoded: Decoded, cut: Option<usize>) -> Result<Video, String> {
    let codec = &track.codec;
    let Some((height, width)) = decoded.size.filter(|_| !decoded.frames.is_empty()) else {
        let why = decoded.error.unwrap_or_else(|| "it gave no frames".to_owned());
        return Err(format!("The browser could not decode its video track ({codec}): {}.", why.trim_end_matches('.')));
    };
    decoded.frames.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut times = track.shown_times_us();
    let (mut frames, mut at): (Vec<Option<Vec<u8>>>, usize) = (vec![None; times.len()], 0);
    for (time, grey) in decoded.frames {
        // The decoder counts whole microseconds. What an edit list hides is in between.
        while times.get(at).is_some_and(|shown| *shown < time - 1.0) {
            at += 1;
        }
        if times.get(at).is_some_and(|shown| *shown < time + 1.0) {
            frames[at] = Some(grey);
            at += 1;
        }
    }
    let Some(first) = frames.iter().position(Option::is_some) else {
        return Err("None of its frames is shown: what is there lies outside its edit list.".to_owned());
    };
    // Pictures that lean on ones before the first are no frames. No player shows them.
    let key = track.chunks.iter().find(|chunk| chunk.key).map_or(0.0, |chunk| chunk.timestamp_us);
    let begin = times[..first].iter().position(|&time| time >= key).unwrap_or(first);
    (frames, times) = (frames.split_off(begin), times.split_off(begin));
    let all = frames.len();
    let mut notes = track.notes.clone();
    let lost: Vec<usize> = (0..all).filter(|&number| frames[number].is_none()).collect();
    let end = frames.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    frames.truncate(end);
    times.truncate(end);
    if let Some(count) = cut {
        notes.push(format!(
            "Only the first {count} of {all} frames are shown: more do not fit into memory. Cut the video or make it smaller."
        ));
    } else if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
        let why = decoded.error.map_or(String::new(), |error| format!(" ({})", error.trim_end_matches('.')));
        let place =
            if first == last { format!("frame {first}") } else { format!("from frame {first} to frame {last}") };
        notes.push(format!(
            "{} of {all} frames are lost{why}: {place}, counted from 0. The others keep their numbers.",
            lost.len()
        ));
    }
    let first = times[0];
    let times_us = times.iter().map(|time| (time - first).max(0.0) as u64).collect();
    Ok(Video { height, width, frames, times_us, notes })
}

/// Turns decoded frames into grey bytes by drawing them: whatever the pixel format, the colours are the browser's.
struct Reader {
    turns: QuarterTurns,
    canvas: Option<(OffscreenCanvas, OffscreenCanvasRenderingContext2d)>,
}

impl Reader {
    fn new(turns: QuarterTurns) -> Self {
        Self { turns, canvas: None }
    }

    /// `(height, width)` and the luminance (ITU-R BT.601) of a frame, at the size at which it was recorded, turned.
    fn read(&mut self, frame: &VideoFrame) -> Result<((usize, usize), Vec<u8>), JsValue> {
        let recorded = frame.visible_rect().map(|rect| (rect.width() as u32, rect.height() as u32));
        let (across, down) = recorded.unwrap_or_else(|| (frame.display_width(), frame.display_height()));
        let (height, width) = self.turns.size(down, across);
        let (canvas, context) = match &self.canvas {
            Some(kept) => kept,
            None => self.canvas.insert(canvas(width, height)?),
        };
        if (canvas.width(), canvas.height()) != (width, height) {
            canvas.set_width(width);
            canvas.set_height(height);
        }
        let [a, b, c, d, e, f] = self.turns.transform(down, across);
        context.set_transform(a, b, c, d, e, f)?;
        context.draw_image_with_video_frame_and_dw_and_dh(frame, 0.0, 0.0, f64::from(across), f64::from(down))?;
        let rgba = context.get_image_data(0, 0, width as i32, height as i32)?.data();
        let grey = rgba.chunks_exact(4).map(|pixel| {
            let weighted = 299 * u32::from(pixel[0]) + 587 * u32::from(pixel[1]) + 114 * u32::from(pixel[2]);
            ((weighted + 500) / 1000) as u8
        });
        Ok(((height as usize, width as usize), grey.collect()))
    }
}

fn canvas(width: u32, height: u32) -> Result<(OffscreenCanvas, OffscreenCanvasRenderingContext2d), JsValue> {
    let canvas = OffscreenCanvas::new(width, height)?;
    let options = Object::new();
    Reflect::set(&options, &"willReadFrequently".into(), &JsValue::TRUE)?;
    let context = canvas.get_context_with_context_options("2d", &options)?;
    let context = context.ok_or_else(|| JsValue::from_str("this browser cannot draw in a worker"))?;
    Ok((canvas, context.dyn_into()?))
}
