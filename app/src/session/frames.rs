//! Frames of the clip on the screen: their pixels, and what the model finds in them.

use leptos::prelude::*;
use sonoseg_imaging::geometry::Scale;
use wasm_bindgen_futures::spawn_local;

use super::start::{Inner, Session};
use crate::clock::now;
use crate::messages::{Blame, ClipId, ClipInfo, Fault, FrameRead, Predict, Predicted, ReadFrames};
use crate::side_by_side;
use crate::timeline::{self, FrameState};
use crate::viewer::Viewer;
use crate::viewer::findings::Found;
use crate::viewer::media::Pixels;

impl Session {
    /// Ask for what is needed next: pixels to show, and as many predictions as the device makes side by side.
    pub(crate) fn pump(&self) {
        let Viewer { media, view, findings, .. } = self.viewer;
        let Some(clip) = media.clip.get_untracked() else { return };
        let open = self.inner.try_with_value(|inner| inner.opened == Some(clip.id));
        if open != Some(true) || !self.link.is_awake() {
            return;
        }
        let shown = view.frame.get_untracked();
        self.fetch(&clip, shown);
        let (loaded, fetching) = self.inner.with_value(|inner| {
            (inner.loaded && !inner.moving, inner.fetching.as_ref().is_some_and(|(run, _)| run.contains(&shown)))
        });
        if !loaded || !(fetching || media.has_pixels(shown)) {
            return;
        }
        let most = findings.device.with_untracked(|device| device.as_ref().map_or(1, |device| device.side_by_side));
        let asked = || self.inner.with_value(|inner| inner.predicting.clone());
        for asked in std::iter::repeat_with(asked).take_while(|asked| asked.len() < most) {
            let is_asked = |frame: usize| asked.contains(&(clip.id, frame));
            let next = |states: &Vec<FrameState>| side_by_side::next_to_predict(states, shown, is_asked);
            let Some(frame) = findings.states.with_untracked(next) else { break };
            self.predict(clip.id, frame);
        }
    }

    /// Ask for pixels. The latest wish wins: frames that are on their way give way to the one on the screen.
    fn fetch(&self, clip: &ClipInfo, shown: usize) {
        let media = self.viewer.media;
        if let Some((run, _)) = self.inner.with_value(|inner| inner.fetching.clone()) {
            if !media.has_pixels(shown) && !run.contains(&shown) {
                let request = |inner: &mut Inner| inner.fetching.as_mut().and_then(|(_, request)| request.take());
                if let Some(request) = self.inner.try_update_value(request).flatten() {
                    self.link.cancel(request);
                }
            }
            return;
        }
        let run = media.pixels.with_value(|pixels| {
            // The first frame alone, so that nothing stands before its prediction.
            let most = if pixels.is_empty() { 1 } else { 8 };
            timeline::next_to_fetch(clip.frames, shown, media.frames_ahead(), most, |f| pixels.contains_key(&f))
        });
        let Some((first, count)) = run else { return };
        let (session, clip) = (*self, clip.id);
        let asked = self.link.stream(ReadFrames { clip, first, count }, None, move |read, buffers| {
            session.frame_read(clip, read, buffers);
        });
        self.inner.update_value(|inner| inner.fetching = Some((first..first + count, Some(asked.id))));
        spawn_local(async move {
            let answer = asked.await;
            session.inner.update_value(|inner| inner.fetching = None);
            if let Err(Fault::Died { reason, blame }) = answer {
                // It died of the first one that did not come.
                let frame = (first..first + count).find(|&frame| !session.viewer.media.has_pixels(frame));
                session.died(clip, frame.unwrap_or(first), true, &reason, blame);
            }
            session.pump();
        });
    }

    fn frame_read(&self, clip: ClipId, read: FrameRead, buffers: Vec<Vec<u8>>) {
        let Viewer { media, view, findings, .. } = self.viewer;
        if !media.shows(clip) {
            return;
        }
        match read.pixels {
            Ok(info) => {
                findings.speeds.update_value(|speeds| speeds.decode.add(info.decode_ms));
                let bytes = buffers.into_iter().next().unwrap_or_default();
                let pixels = Pixels { channels: info.channels, bytes, scale: info.scale };
                media.keep_pixels(read.frame, view.frame.get_untracked(), pixels);
            }
            Err(fault) => self.failed_frame(read.frame, true, &fault),
        }
    }

    fn predict(&self, clip: ClipId, frame: usize) {
        let asked = self.link.ask(Predict { clip, frame }, None);
        let model = self.inner.try_update_value(|inner| {
            inner.predicting.push((clip, frame));
            inner.models
        });
        let session = *self;
        spawn_local(async move {
            let answer = asked.await;
            session.inner.update_value(|inner| inner.predicting.retain(|asked| *asked != (clip, frame)));
            let current = session.inner.with_value(|inner| Some(inner.models)) == model;
            match answer {
                Ok((predicted, buffers)) => session.predicted(clip, frame, predicted, buffers, current),
                Err(Fault::Died { reason, blame }) => session.died(clip, frame, false, &reason, blame),
                Err(Fault::Cancelled) => {}
                Err(fault) if session.viewer.media.shows(clip) && current => {
                    session.failed_frame(frame, false, &fault);
                }
                Err(_) => {}
            }
            session.pump();
        });
    }

    /// The model found something; `current` is false when it is not the page's model any more.
    fn predicted(&self, clip: ClipId, frame: usize, predicted: Predicted, buffers: Vec<Vec<u8>>, current: bool) {
        let Viewer { media, findings, .. } = self.viewer;
        self.link.recovery(|recovery| recovery.predicted());
        if let Some(clip) = media.clip.get_untracked().filter(|open| open.id == clip && current) {
            let timings = predicted.timings;
            findings.speeds.update_value(|speeds| {
                speeds.prepare.add(timings.prepare_ms);
                speeds.model.add(timings.model_ms);
                speeds.fit.add(timings.fit_ms);
                speeds.predicted.tick(now());
            });
            findings.keep(frame, Found::new(&clip, predicted, buffers));
            // While another file is on its way, the project may be another one, too: it is learned when the clip comes back.
            if !self.is_changing() {
                self.viewer.learn(frame);
            }
            self.warm_up();
        }
        let lose_after = self.inner.with_value(|inner| inner.options.lose_after.clone());
        if self.link.recovery(|recovery| recovery.is_to_lose(&lose_after)) == Some(true) {
            self.link.lose_device();
        }
    }

    fn failed_frame(&self, frame: usize, pixels: bool, fault: &Fault) {
        self.viewer.notices.problem(fault.to_string());
        self.give_up(frame, pixels);
    }

    /// A frame that stopped the worker is passed over. A clip with two of them is closed.
    fn died(&self, clip: ClipId, frame: usize, pixels: bool, reason: &str, blame: Blame) {
        let line = self.viewer.media.line_of(clip).filter(|_| self.viewer.media.shows(clip));
        let (Some(line), true) = (line, blame != Blame::No) else { return };
        self.give_up(frame, pixels);
        let name = line.name;
        if blame == Blame::Again {
            let reason = format!("{name}: its frames stop the worker again and again ({reason}); it was closed.");
            self.leave_out(line.file, reason);
        } else {
            let text = format!("{name}: one of its frames stopped the worker ({reason}) and is passed over.");
            self.viewer.notices.problem(text);
        }
    }

    /// A frame cannot be shown or predicted, and is not asked for again.
    fn give_up(&self, frame: usize, pixels: bool) {
        let Viewer { media, view, findings, .. } = self.viewer;
        findings.set_state(frame, FrameState::Failed);
        if let (true, Some(black)) = (pixels, media.with_clip(|clip| vec![0; clip.shown_height() * clip.shown_width()]))
        {
            media.keep_pixels(
                frame,
                view.frame.get_untracked(),
                Pixels { channels: 1, bytes: black, scale: Scale::Unknown },
            );
        }
    }
}
