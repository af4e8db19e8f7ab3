//! Bytes of files: those the user picked, and those that come with the app. Nothing is ever sent anywhere.

use js_sys::{ArrayBuffer, Function, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::post::reason;

/// Largest file that is read: a worker cannot hold more than a part of its 4 GiB.
const LARGEST: f64 = 1.5e9;

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Beside the page, at this relative address.
    Bundled(&'static str),
    /// On the user's disk.
    Picked(web_sys::File),
}

/// A file that the page knows.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Name for people.
    pub(crate) name: String,
    /// Where its bytes are.
    pub(crate) place: Place,
}

impl Source {
    /// A file that the user picked or dropped.
    pub(crate) fn picked(file: web_sys::File) -> Self {
        Self { name: file.name(), place: Place::Picked(file) }
    }

    /// Read all of it. The error names the file and the reason.
    pub(crate) async fn read(&self) -> Result<Uint8Array, String> {
        match &self.place {
            Place::Picked(file) => self.read_picked(file).await,
            Place::Bundled(address) => self.fetch(address).await,
        }
    }

    async fn read_picked(&self, file: &web_sys::File) -> Result<Uint8Array, String> {
        let name = &self.name;
        if file.size() > LARGEST {
            let gigabytes = file.size() / 1e9;
            return Err(format!(
                "{name}: the file has {gigabytes:.1} GB, more than a browser tab can hold. Cut it into pieces of at most 1.5 GB."
            ));
        }
        let read = JsFuture::from(file.array_buffer()).await;
        read.map(|buffer| Uint8Array::new(&buffer))
            .map_err(|error| format!("{name}: the browser could not read the file ({}).", reason(&error)))
    }

    async fn fetch(&self, address: &str) -> Result<Uint8Array, String> {
        let name = &self.name;
        let failed = |what: &str| format!("{name}: the file that comes with the app could not be loaded ({what}).");
        let window = web_sys::window().ok_or_else(|| failed("no window"))?;
        let load = async {
            let response: web_sys::Response = JsFuture::from(window.fetch_with_str(address)).await?.dyn_into()?;
            if !response.ok() {
                return Err(JsValue::from_str(&format!("status {}", response.status())));
            }
            JsFuture::from(response.array_buffer()?).await?.dyn_into::<ArrayBuffer>()
        };
        let buffer = load.await.map_err(|error| failed(&reason(&error)))?;
        Ok(Uint8Array::new(&buffer))
    }
}

/// The files of a list, as from an input or a drop.
pub(crate) fn listed(list: Option<web_sys::FileList>) -> Vec<web_sys::File> {
    let Some(list) = list else { return Vec::new() };
    (0..list.length()).filter_map(|index| list.get(index)).collect()
}

/// The files of a drop, and the names of the folders in it, which cannot be read as files.
pub(crate) fn dropped(transfer: &web_sys::DataTransfer) -> (Vec<web_sys::File>, Vec<String>) {
    let items = transfer.items();
    let all = (0..items.length()).filter_map(|index| items.get(index)).filter_map(|item| {
        let file = item.get_as_file().ok().flatten()?;
        Some((is_folder(&item), file))
    });
    let (folders, files): (Vec<_>, Vec<_>) = all.partition(|(folder, _)| *folder);
    (files.into_iter().map(|(_, file)| file).collect(), folders.into_iter().map(|(_, file)| file.name()).collect())
}

/// What only browsers tell, by a method of the old file system.
fn is_folder(item: &web_sys::DataTransferItem) -> bool {
    let entry = Reflect::get(item, &"webkitGetAsEntry".into()).and_then(|method| {
        let entry = method.dyn_into::<Function>()?.call0(item)?;
        Reflect::get(&entry, &"isDirectory".into())
    });
    entry.is_ok_and(|folder| folder.is_truthy())
}
