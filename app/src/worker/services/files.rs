//! Files: reading and hashing them piece by piece, opening them, and sending frames for display.

use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use sha2::{Digest, Sha256};
use sonoseg_imaging::archive::MANIFEST;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::Services;
use crate::clock::now;
use crate::messages::post::reason;
use crate::messages::{
    ClipId, ClipInfo, Fault, FrameRead, OpenFile, PixelInfo, ReadFrames, Reading, UnpackFile, Unpacked,
};
use crate::overlay::shrunk;
use crate::unzip::Unzip;
use crate::worker::clip::{self, OpenClip};
use crate::worker::reader::Pixels;
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

/// Take the files out of a zip. Gives a sentence for each that could not be.
pub(super) async fn unpack(name: &str, file: &JsValue, steps: &Step) -> Result<Vec<String>, Fault> {
    let (_, bytes) = read(name, file, steps, |_| {}).await?;
    let mut left_out = Vec::new();
    let refused = |reason| Fault::Refused(format!("{name}: {reason}"));
    let files = Unzip::open(bytes).map_err(refused)?;
    if files.has(MANIFEST) {
        return Err(refused("It is a project that was taken out: bring it back in the panel Project.".to_owned()));
    }
    for (path, bytes) in files {
        match bytes {
            Ok(bytes) => channel::item::<UnpackFile>(steps.id, &Unpacked { path }, &[bytes]),
            Err(reason) => left_out.push(format!("{path} in {name}: {reason}")),
        }
        steps.between().await?;
    }
    Ok(left_out)
}

impl Services {
    /// Open a file as the clip. The old one stays until the new one is open: it is still on the screen.
    pub(super) async fn open(&self, name: &str, file: &JsValue, steps: &Step) -> Result<ClipInfo, Fault> {
        let tell = |share| channel::item::<OpenFile>(steps.id, &Reading(share), &[]);
        let (id, bytes) = read(name, file, steps, tell).await?;
        let open = self.clip.borrow().as_ref().map(|clip| clip.info.clone()).filter(|info| info.id == id);
        if let Some(info) = open {
            return Ok(info);
        }
        let clip = OpenClip::open(id, name, bytes, &|| steps.check()).await.map_err(Fault::Refused);
        steps.check()?;
        let clip = clip?;
        let info = clip.info.clone();
        self.clip.replace(Some(Rc::new(clip)));
        Ok(info)
    }

    /// Send frames, others having their turn in between where that takes long.
    pub(super) async fn read_frames(&self, request: ReadFrames, steps: &Step) -> Result<(), Fault> {
        let clip = self.clip(request.clip)?;
        let ClipInfo { height, width, shrink, .. } = clip.info;
        for frame in request.first..request.first + request.count {
            let start = now();
            let (pixels, buffers) = match clip.pixels(frame, &|| steps.check()).await {
                Ok((Pixels { channels, bytes }, scale)) => {
                    let decode_ms = now() - start;
                    let bytes = if shrink > 1 { shrunk(&bytes, height, width, channels, shrink) } else { bytes };
                    (Ok(PixelInfo { channels, decode_ms, scale }), vec![bytes])
                }
                Err(Fault::Cancelled) => return Err(Fault::Cancelled),
                Err(fault) => (Err(fault), vec![]),
            };
            channel::item::<ReadFrames>(steps.id, &FrameRead { frame, pixels }, &buffers);
            steps.between().await?;
        }
        Ok(())
    }

    /// The clip, as long as it is this one.
    pub(super) fn clip(&self, clip: ClipId) -> Result<Rc<OpenClip>, Fault> {
        self.clip.borrow().clone().filter(|open| open.info.id == clip).ok_or(Fault::NoClip)
    }
}
