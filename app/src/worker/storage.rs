//! The browser's own file system as the worker writes to it: folders, and files that are on their disk at once, by
//! synchronous access handles, which only workers have and which keep every other tab out.

use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DomException, File, FileSystemFileHandle, FileSystemGetDirectoryOptions, FileSystemGetFileOptions,
    FileSystemReadWriteOptions, FileSystemRemoveOptions, FileSystemSyncAccessHandle, StorageEstimate,
};

use super::channel::pause;
use crate::keeping::refusal;
use crate::messages::post::reason;
use crate::opfs::{Folder, storage};

/// How often a file that is in use is asked for again, and how long is waited in between, in milliseconds. A tab that was
/// reloaded holds its files for a moment longer.
const TRIES: usize = 20;
const WAIT_MS: i32 = 150;

impl Folder {
    /// A folder in it, made where it is missing.
    pub(super) async fn folder(&self, name: &str) -> Result<Self, JsValue> {
        let options = FileSystemGetDirectoryOptions::new();
        options.set_create(true);
        let folder = JsFuture::from(self.0.get_directory_handle_with_options(name, &options)).await?;
        Ok(Self(folder.dyn_into()?))
    }

    /// A file in it, made where it is missing.
    pub(super) async fn file(&self, name: &str) -> Result<FileSystemFileHandle, JsValue> {
        let options = FileSystemGetFileOptions::new();
        options.set_create(true);
        JsFuture::from(self.0.get_file_handle_with_options(name, &options)).await?.dyn_into()
    }

    /// The names of all that it holds.
    pub(super) async fn names(&self) -> Result<Vec<String>, JsValue> {
        let (keys, mut names) = (self.0.keys(), Vec::new());
        loop {
            let next = JsFuture::from(keys.next()?).await?;
            if Reflect::get(&next, &"done".into())?.is_truthy() {
                return Ok(names);
            }
            names.extend(Reflect::get(&next, &"value".into())?.as_string());
        }
    }

    /// Remove a file, or a folder with all in it.
    pub(super) async fn remove(&self, name: &str) -> Result<(), JsValue> {
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        JsFuture::from(self.0.remove_entry_with_options(name, &options)).await.map(drop)
    }
}

/// A file that nobody else can write to. It is closed when it is dropped.
pub(super) struct Held {
    handle: FileSystemSyncAccessHandle,
}

impl Held {
    /// Hold a file, made where it is missing.
    pub(super) async fn open(folder: &Folder, name: &str) -> Result<Self, JsValue> {
        let mut tries = 0;
        loop {
            let file = folder.file(name).await?;
            match JsFuture::from(file.create_sync_access_handle()).await {
                Ok(handle) => return Ok(Self { handle: handle.dyn_into()? }),
                Err(error) if tries == TRIES || !is_in_use(&error) => return Err(error),
                Err(_) => pause(WAIT_MS).await,
            }
            tries += 1;
        }
    }

    /// All its bytes.
    pub(super) fn read(&self) -> Result<Vec<u8>, JsValue> {
        let mut bytes = vec![0; self.handle.get_size()? as usize];
        let mut read = 0;
        while read < bytes.len() {
            let count = self.handle.read_with_u8_array_and_options(&mut bytes[read..], &at(read as f64))? as usize;
            if count == 0 {
                break;
            }
            read += count;
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Write bytes at a place, and cut off what lies behind them. When they cannot all be written none is.
    pub(super) fn write(&self, place: f64, bytes: &[u8]) -> Result<(), JsValue> {
        self.handle.truncate_with_f64(place)?;
        let mut written = 0;
        while written < bytes.len() {
            let count = self.handle.write_with_u8_array_and_options(&bytes[written..], &at(place + written as f64));
            match count {
                Ok(count) if count > 0.0 => written += count as usize,
                refused => {
                    self.handle.truncate_with_f64(place)?;
                    return Err(refused.err().unwrap_or_else(full));
                }
            }
        }
        self.handle.flush()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.handle.close();
    }
}

fn at(place: f64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    options.set_at(place);
    options
}

/// What a browser should say that writes nothing.
fn full() -> JsValue {
    let error = DomException::new_with_message_and_name("nothing was written", "QuotaExceededError");
    error.map_or_else(|error| error, JsValue::from)
}

/// All bytes of a file.
pub(super) async fn bytes(file: &File) -> Result<Vec<u8>, JsValue> {
    let buffer: ArrayBuffer = JsFuture::from(file.array_buffer()).await?.dyn_into()?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// Bytes that the page keeps and may keep, where the browser tells.
pub(super) async fn estimate() -> (Option<f64>, Option<f64>) {
    let estimate = async { JsFuture::from(storage()?.estimate()?).await?.dyn_into::<StorageEstimate>() };
    estimate.await.map_or((None, None), |estimate| (estimate.get_usage(), estimate.get_quota()))
}

/// Whether the browser refused because somebody else is writing to the file.
pub(super) fn is_in_use(error: &JsValue) -> bool {
    ["NoModificationAllowedError", "InvalidStateError"].contains(&kind(error).as_str())
}

fn kind(error: &JsValue) -> String {
    error.dyn_ref::<DomException>().map_or_else(|| "TypeError".to_owned(), DomException::name)
}

/// What to say when the browser refuses something about `what`, which begins the sentence.
pub(super) fn refused(what: &str, error: &JsValue) -> String {
    refusal(what, &kind(error), &reason(error))
}
