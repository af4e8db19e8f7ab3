//! Files as handles: those the user picked, and those that come with the app. Nothing is ever sent anywhere; the worker
//! reads them.

use js_sys::{Array, Function, Promise};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry};

use crate::keeping::{MEDIA, RUNS};
use crate::messages::post::reason;
use crate::messages::{ClipId, RunId};
use crate::opfs::Folder;

/// Where a file comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Beside the page, at this relative address.
    Bundled(&'static str),
    /// From the user's disk.
    Picked(File),
    /// Kept in this browser as the file of this clip.
    Kept(ClipId),
    /// Kept in this browser as a file of this run.
    Run(RunId, String),
}

/// A file that the page knows.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Name for people.
    pub(crate) name: String,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

impl Source {
    /// A file that comes with the app.
    pub(crate) fn bundled(name: &str, address: &'static str) -> Self {
        Self { name: name.to_owned(), origin: Origin::Bundled(address) }
    }

    /// A file that the user picked or dropped.
    pub(crate) fn picked(file: File) -> Self {
        Self { name: file.name(), origin: Origin::Picked(file) }
    }

    /// A file of a clip that is kept in this browser.
    pub(crate) fn kept(name: &str, clip: ClipId) -> Self {
        Self { name: name.to_owned(), origin: Origin::Kept(clip) }
    }

    /// A file of a run that is kept in this browser.
    pub(crate) fn of_run(name: &str, run: &RunId, file: &str) -> Self {
        Self { name: name.to_owned(), origin: Origin::Run(run.clone(), file.to_owned()) }
    }

    /// The file for the worker. The error names the file and the reason.
    pub(crate) async fn blob(&self) -> Result<Blob, String> {
        let address = match &self.origin {
            Origin::Picked(file) => return Ok(file.clone().into()),
            Origin::Kept(clip) => return kept(&self.name, *clip).await,
            Origin::Run(run, file) => return of_run(&self.name, run, file).await,
            Origin::Bundled(address) => address,
        };
        let load = async {
            let window = web_sys::window().ok_or_else(|| JsValue::from_str("no window"))?;
            let response: web_sys::Response = JsFuture::from(window.fetch_with_str(address)).await?.dyn_into()?;
            if !response.ok() {
                return Err(JsValue::from_str(&format!("status {}", response.status())));
            }
            JsFuture::from(response.blob()?).await?.dyn_into::<Blob>()
        };
        load.await.map_err(|error| {
            format!("{}: the file that comes with the app could not be loaded ({}).", self.name, reason(&error))
        })
    }
}

/// The kept file of a clip. The error names the file and says what to do.
async fn kept(name: &str, clip: ClipId) -> Result<Blob, String> {
    let file = async { Folder::root().await?.existing(MEDIA).await?.read(&clip.to_string()).await };
    let missing =
        |_| format!("{name}: its file is not in this browser: open it once, and its answers are there again.");
    file.await.map(Blob::from).map_err(missing)
}

/// A kept file of a run. The error names the file.
async fn of_run(name: &str, run: &RunId, file: &str) -> Result<Blob, String> {
    let read = async { Folder::root().await?.existing(RUNS).await?.existing(&run.0).await?.read(file).await };
    let missing = |_| format!("{name}: its file is not in this browser any more: it was deleted.");
    read.await.map(Blob::from).map_err(missing)
}

/// The files of a list, as from an input or a drop.
pub(crate) fn listed(list: Option<web_sys::FileList>) -> Vec<File> {
    let Some(list) = list else { return Vec::new() };
    (0..list.length()).filter_map(|index| list.get(index)).collect()
}

/// The files and the folders of a drop.
pub(crate) fn dropped(transfer: &web_sys::DataTransfer) -> (Vec<File>, Vec<FileSystemDirectoryEntry>) {
    let (items, mut files, mut folders) = (transfer.items(), Vec::new(), Vec::new());
    for item in (0..items.length()).filter_map(|index| items.get(index)) {
        match item.webkit_get_as_entry().ok().flatten() {
            Some(entry) if entry.is_directory() => folders.push(entry.unchecked_into()),
            _ => files.extend(item.get_as_file().ok().flatten()),
        }
    }
    (files, folders)
}

/// The files of a folder and of the folders in it, in the order of their names, without what is hidden.
pub(crate) async fn in_folder(folder: FileSystemDirectoryEntry) -> Result<Vec<File>, JsValue> {
    let (mut found, mut open) = (Vec::new(), vec![folder]);
    while let Some(folder) = open.pop() {
        let reader = folder.create_reader();
        loop {
            // It gives a part of them each time, and none in the end.
            let part = called_back(|done, failed| reader.read_entries_with_callback_and_callback(done, failed)).await?;
            let part: Vec<FileSystemEntry> =
                part.unchecked_into::<Array>().iter().map(JsCast::unchecked_into).collect();
            if part.is_empty() {
                break;
            }
            for entry in part.into_iter().filter(|entry| !entry.name().starts_with('.')) {
                let path = entry.full_path();
                if entry.is_directory() {
                    open.push(entry.unchecked_into());
                } else {
                    let entry: FileSystemFileEntry = entry.unchecked_into();
                    let file = called_back(|done, failed| {
                        entry.file_with_callback_and_callback(done, failed);
                        Ok(())
                    });
                    found.push((path, file.await?.unchecked_into()));
                }
            }
        }
    }
    alphanumeric_sort::sort_slice_by_str_key(&mut found, |file: &(String, File)| &file.0);
    Ok(found.into_iter().map(|file| file.1).collect())
}

/// What a function of the browser gives to the first of its callbacks, or as an error to the second.
async fn called_back(call: impl Fn(&Function, &Function) -> Result<(), JsValue>) -> Result<JsValue, JsValue> {
    let promise = Promise::new(&mut |done, failed| {
        if let Err(error) = call(&done, &failed) {
            // A promise can always be rejected.
            let _ = failed.call1(&JsValue::NULL, &error);
        }
    });
    JsFuture::from(promise).await
}
