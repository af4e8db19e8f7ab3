//! Files: reading and hashing them piece by piece, opening them, and sending frames for display.

use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use sha2::{Digest, Sha256};
use sonoseg_imaging::geometry::Image;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::Services;
use crate::clock::now;
use crate::messages::post::reason;
use crate::messages::{ClipId, ClipInfo, Fault, FrameRead, OpenFile, Opening, PixelInfo, ReadFrames};
use crate::overlay::shrunk;
use crate::worker::clip::{self, OpenClip};
use crate::worker::{Step, channel};

/// Largest file that is read: a worker cannot hold more than a part of its 4 GiB.
const LARGEST: f64 = 1.5e9;
/// Bytes that are read at once. Between two pieces other requests have their turn.
const PIECE: usize = 4 << 20;
/// A file of so many bytes takes long enough to tell how far it is.
const LONG: usize = 64 << 20;

/// All bytes of a file with their hash. The file is in memory once, however large it is.
pub(super) async fn read(
    name: &str,
    file: &JsValue,
    steps: &Step,
    progress: impl Fn(f64),
) -> Result<(ClipId, Vec<u8>), Fault> {
    let unreadable =
        |error: &JsValue| Fault::Refused(format!("{name}: the browser could not read the file ({}).", reason(error)));
    let file = file.dyn_ref::<Blob>().ok_or_else(|| unreadable(&"there is none".into()))?;
    if file.size() > LARGEST {
        return Err(Fault::Refused(format!(
            "{name}: the file has {:.1} GB, more than a browser tab can hold. Cut it into pieces of at most 1.5 GB.",
            file.size() / 1e9
        )));
    }
    let size = file.size() as usize;
    let (mut bytes, mut hash) = (Vec::with_capacity(size), Sha256::new());
    while bytes.len() < size {
        let start = bytes.len();
        let piece = piece(file, start).await.map_err(|error| unreadable(&error))?;
        bytes.resize(start + piece.length() as usize, 0);
        piece.copy_to(&mut bytes[start..]);
        hash.update(&bytes[start..]);
        if size >= LONG {
            progress(bytes.len() as f64 / size as f64);
        }
        steps.between().await?;
    }
    Ok((ClipId(hash.finalize().into()), bytes))
}

/// The next bytes of a file from a place on.
pub(super) async fn piece(file: &Blob, start: usize) -> Result<Uint8Array, JsValue> {
    let end = ((start + PIECE) as f64).min(file.size());
    let piece = file.slice_with_f64_and_f64(start as f64, end)?;
    let buffer: ArrayBuffer = JsFuture::from(piece.array_buffer()).await?.dyn_into()?;
    Ok(Uint8Array::new(&buffer))
}

/// Say whether a file can be read.
pub(super) async fn check(name: &str, file: &JsValue, steps: &Step) -> Result<ClipId, Fault> {
    let (id, bytes) = read(name, file, steps, |_| {}).await?;
    clip::check(id, name, bytes).await.map_err(Fault::Refused)
}

impl Services {
    /// Open a file as the clip. The old one stays until the new one is open: it is still on the screen.
    pub(super) async fn open(&self, name: &str, file: &JsValue, steps: &Step) -> Result<ClipInfo, Fault> {
        let tell = |opening| channel::item::<OpenFile>(steps.id, &opening, &[]);
        let (id, bytes) = read(name, file, steps, |share| tell(Opening::Reading(share))).await?;
        let open = self.clip.borrow().as_ref().map(|clip| clip.info.clone()).filter(|info| info.id == id);
        if let Some(info) = open {
            return Ok(info);
        }
        let go_on = |frames| {
            tell(Opening::Decoding(frames));
            steps.check().is_ok()
        };
        let clip = OpenClip::open(id, name, bytes, go_on).await.map_err(Fault::Refused);
        steps.check()?;
        let clip = clip?;
        let info = clip.info.clone();
        self.clip.replace(Some(clip));
        Ok(info)
    }

    /// Send frames, others having their turn in between where that takes long.
    pub(super) async fn read_frames(&self, request: ReadFrames, steps: &Step) -> Result<(), Fault> {
        for frame in request.first..request.first + request.count {
            let start = now();
            let (pixels, buffers) = match self.frame(request.clip, frame) {
                Ok(image) => {
                    let decode_ms = now() - start;
                    let shrink = self.clip.borrow().as_ref().map_or(1, |clip| clip.info.shrink);
                    let mut bytes = image.to_bytes();
                    if shrink > 1 {
                        bytes = shrunk(&bytes, image.height, image.width, image.channels, shrink);
                    }
                    (Ok(PixelInfo { channels: image.channels, decode_ms }), vec![bytes])
                }
                Err(fault) => (Err(fault), vec![]),
            };
            channel::item::<ReadFrames>(steps.id, &FrameRead { frame, pixels }, &buffers);
            steps.between().await?;
        }
        Ok(())
    }

    /// A frame of the clip.
    pub(super) fn frame(&self, clip: ClipId, frame: usize) -> Result<Rc<Image>, Fault> {
        let mut open = self.clip.borrow_mut();
        let open = open.as_mut().filter(|open| open.info.id == clip).ok_or(Fault::NoClip)?;
        open.frame(frame).map_err(Fault::Refused)
    }
}
