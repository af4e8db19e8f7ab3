//! Compressed frames to pictures by the browser's own decoder (WebCodecs): those that one looks at, decoded again from the key
//! frame before them where they were forgotten.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use js_sys::{Function, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    CodecState, EncodedVideoChunk, EncodedVideoChunkInit, EncodedVideoChunkType, VideoDecoder, VideoDecoderConfig,
    VideoDecoderInit, VideoDecoderSupport, VideoFrame,
};

use super::channel::pause;
use super::reader::{Pixels, Reader};
use crate::demux::order::Order;
use crate::demux::track::Track;
use crate::messages::Fault;
use crate::messages::post::reason;

/// Memory for the decoded frames of a video.
const BUDGET: usize = 256 << 20;
/// Compressed frames that wait in the decoder at most.
const QUEUED: u32 = 12;
/// Decoders that may fail on the way to one frame.
const MOST_ERRORS: usize = 3;

/// A video whose frames are decoded when they are asked for.
pub(super) struct Video {
    track: Track,
    config: VideoDecoderConfig,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) order: Rc<Order>,
    state: Rc<RefCell<State>>,
    run: RefCell<Option<Run>>,
    /// Somebody waits for a frame: others wait until it is there.
    busy: Cell<bool>,
}

/// What the decoders gave.
struct State {
    order: Rc<Order>,
    reader: Reader,
    size: Option<[usize; 2]>,
    kept: BTreeMap<usize, Rc<Pixels>>,
    lost: BTreeMap<usize, String>,
    /// The frame that is asked for.
    asked: usize,
    /// Counts decoders, so that what an old one still gives is not taken for the new one's.
    runs: u32,
    /// The last frame that the decoder of the moment gave.
    last: Option<usize>,
    error: Option<String>,
}

/// A decoder at work.
struct Run {
    decoder: VideoDecoder,
    /// The key frame that it began at, and the compressed frame that it gets next.
    start: usize,
    next: usize,
}

impl Drop for Run {
    fn drop(&mut self) {
        // A decoder that failed has closed itself.
        if self.decoder.state() != CodecState::Closed {
            let _ = self.decoder.close();
        }
    }
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

impl Video {
    /// Open a track, with its first frame. The error is a sentence without the file's name. `go_on` may say no.
    pub(super) async fn open(track: Track, go_on: &impl Fn() -> Result<(), Fault>) -> Result<Self, String> {
        let config = check(&track).await?;
        let order = Rc::new(Order::of(&track)?);
        let state = State {
            order: order.clone(),
            reader: Reader::new(track.turns),
            size: None,
            kept: BTreeMap::new(),
            lost: BTreeMap::new(),
            asked: 0,
            runs: 0,
            last: None,
            error: None,
        };
        let state = Rc::new(RefCell::new(state));
        let (run, busy) = (RefCell::new(None), Cell::new(false));
        let mut video = Self { track, config, height: 0, width: 0, order, state, run, busy };
        // The first frames of a damaged video may be lost.
        let mut why = None;
        for first in (0..video.order.len()).filter(|&frame| video.order.chunk(frame).is_some()) {
            if video.is_lost(first) {
                continue;
            }
            match video.frame(first, go_on).await {
                Ok(_) => break,
                Err(Fault::Cancelled) => return Err(Fault::Cancelled.to_string()),
                Err(fault) => drop(why.get_or_insert(fault.to_string())),
            }
        }
        let size = video.state.borrow().size;
        let Some([height, width]) = size else {
            let (codec, why) = (&video.track.codec, why.unwrap_or_else(|| "it gave no frames".to_owned()));
            return Err(format!(
                "The browser could not decode its video track ({codec}): {}.",
                why.trim_end_matches('.')
            ));
        };
        (video.height, video.width) = (height, width);
        Ok(video)
    }

    /// True for a frame that is known to be not there.
    pub(super) fn is_lost(&self, frame: usize) -> bool {
        self.order.chunk(frame).is_none() || self.state.borrow().lost.contains_key(&frame)
    }

    /// A frame. The error is a sentence without the file's name.
    pub(super) async fn frame(
        &self,
        frame: usize,
        go_on: &impl Fn() -> Result<(), Fault>,
    ) -> Result<Rc<Pixels>, Fault> {
        while self.busy.get() {
            pause(1).await;
            go_on()?;
        }
        self.busy.set(true);
        let found = self.decode(frame, go_on).await;
        self.busy.set(false);
        found
    }

    async fn decode(&self, frame: usize, go_on: &impl Fn() -> Result<(), Fault>) -> Result<Rc<Pixels>, Fault> {
        let Some(chunk) = self.order.chunk(frame) else { return Err(lost("its bytes are not there")) };
        self.state.borrow_mut().asked = frame;
        let mut errors = 0;
        loop {
            if let Some(found) = self.state.borrow().known(frame) {
                return found;
            }
            if !self.is_ahead(frame, chunk) {
                self.begin(self.order.start(&self.track, chunk)).map_err(|error| lost(&reason(&error)))?;
            }
            let fed = self.feed_until(frame, go_on).await?;
            let error = self.state.borrow_mut().error.take();
            if let Some(error) = error.or(fed.err().map(|error| reason(&error))) {
                errors += 1;
                let start = self.run.take().map_or(0, |run| run.start);
                let mut state = self.state.borrow_mut();
                for gone in self.order.lost_after(&self.track, start, state.last) {
                    state.lost.insert(gone, error.clone());
                }
                if errors == MOST_ERRORS {
                    state.lost.entry(frame).or_insert(error);
                }
            } else if self.state.borrow().known(frame).is_none() {
                // Later ones came out, or all of the video went in.
                self.run.take();
                self.state.borrow_mut().lost.insert(frame, "the decoder did not give it".to_owned());
            }
        }
    }

    /// Whether the decoder of the moment comes by a frame, without much that nobody looks at.
    fn is_ahead(&self, frame: usize, chunk: usize) -> bool {
        let run = self.run.borrow();
        let last = self.state.borrow().last;
        run.as_ref().is_some_and(|run| {
            let start = self.order.start(&self.track, chunk);
            last.is_none_or(|last| last < frame) && run.start <= start && start <= run.next
        })
    }

    /// A new decoder that begins at a key frame.
    fn begin(&self, start: usize) -> Result<(), JsValue> {
        self.run.take();
        let run = self.state.borrow_mut().next_run();
        // JavaScript may call them when the video is closed: they own nothing, and are freed when it forgets them.
        let into = Rc::downgrade(&self.state);
        let output = Closure::<dyn FnMut(VideoFrame)>::new(move |frame: VideoFrame| {
            if let Some(state) = Weak::upgrade(&into).filter(|state| state.borrow().runs == run) {
                state.borrow_mut().take(&frame);
            }
            frame.close();
        });
        let into = Rc::downgrade(&self.state);
        let failed = Closure::<dyn FnMut(JsValue)>::new(move |error: JsValue| {
            if let Some(state) = Weak::upgrade(&into).filter(|state| state.borrow().runs == run) {
                state.borrow_mut().error.get_or_insert_with(|| reason(&error));
            }
        });
        let [failed, output] = [failed.into_js_value(), output.into_js_value()].map(JsCast::unchecked_into::<Function>);
        let decoder = VideoDecoder::new(&VideoDecoderInit::new(&failed, &output))?;
        decoder.configure(&self.config)?;
        self.run.replace(Some(Run { decoder, start, next: start }));
        Ok(())
    }

    /// Give the decoder compressed frames, no faster than it takes them, until a frame or a later one is there, all is given,
    /// or it failed.
    async fn feed_until(
        &self,
        frame: usize,
        go_on: &impl Fn() -> Result<(), Fault>,
    ) -> Result<Result<(), JsValue>, Fault> {
        loop {
            let done = {
                let state = self.state.borrow();
                state.error.is_some() || state.known(frame).is_some() || state.last > Some(frame)
            };
            if done {
                return Ok(Ok(()));
            }
            let fed = self.feed();
            match fed {
                Ok(Fed::Taken) => {}
                Ok(Fed::Full) => {
                    pause(1).await;
                    go_on()?;
                }
                Ok(Fed::All(decoder)) => {
                    let flushed = JsFuture::from(decoder.flush()).await.map(drop);
                    // What it gave is delivered before.
                    pause(0).await;
                    return Ok(flushed);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn feed(&self) -> Result<Fed, JsValue> {
        let mut run = self.run.borrow_mut();
        let Some(run) = run.as_mut() else { return Ok(Fed::Full) };
        if run.decoder.decode_queue_size() > QUEUED {
            return Ok(Fed::Full);
        }
        let Some(chunk) = self.track.chunks.get(run.next) else { return Ok(Fed::All(run.decoder.clone())) };
        run.next += 1;
        let bytes = Uint8Array::from(&self.track.data[chunk.bytes.clone()]);
        let kind = if chunk.key { EncodedVideoChunkType::Key } else { EncodedVideoChunkType::Delta };
        let init = EncodedVideoChunkInit::new_with_u8_array(&bytes, 0, kind);
        init.set_timestamp_f64(chunk.timestamp_us);
        run.decoder.decode(&EncodedVideoChunk::new(&init)?)?;
        Ok(Fed::Taken)
    }
}

/// What became of the next compressed frame.
enum Fed {
    Taken,
    Full,
    /// There is none: the decoder is to give what it holds.
    All(VideoDecoder),
}

fn lost(why: &str) -> Fault {
    Fault::Refused(format!("some of its frames are lost ({}) and passed over.", why.trim_end_matches('.')))
}

impl State {
    /// Another decoder is at work from now on.
    fn next_run(&mut self) -> u32 {
        self.runs += 1;
        (self.last, self.error) = (None, None);
        self.runs
    }

    /// A frame, or why there is none, where that is known.
    fn known(&self, frame: usize) -> Option<Result<Rc<Pixels>, Fault>> {
        let found = self.kept.get(&frame).cloned().map(Ok);
        found.or_else(|| self.lost.get(&frame).map(|why| Err(lost(why))))
    }

    /// Keep a decoded frame, unless it lies too far from what is asked for.
    fn take(&mut self, decoded: &VideoFrame) {
        let Some(frame) = self.order.frame_at(decoded.timestamp(), self.last) else { return };
        self.last = Some(frame);
        let bytes = self.kept.values().next().map_or(1, |kept| kept.bytes.len().max(1));
        let most = (BUDGET / bytes).max(8);
        if self.kept.contains_key(&frame) || frame + most / 2 < self.asked {
            return;
        }
        match self.reader.read(decoded) {
            Ok((size, _)) if *self.size.get_or_insert(size) != size => {
                self.lost.insert(frame, "its frames change their size, which is not supported".to_owned());
            }
            Ok((_, pixels)) => drop(self.kept.insert(frame, Rc::new(pixels))),
            Err(error) => drop(self.lost.insert(frame, reason(&error))),
        }
        while self.kept.len() > most {
            let farthest = self.kept.keys().copied().max_by_key(|kept| kept.abs_diff(self.asked));
            farthest.into_iter().for_each(|kept| drop(self.kept.remove(&kept)));
        }
    }
}
