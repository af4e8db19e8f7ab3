//! Files as handles: those the user picked, and those that come with the app. Nothing is ever sent anywhere; the worker
//! reads them.

use js_sys::{Function, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use crate::keeping::MEDIA;
use crate::messages::ClipId;
use crate::messages::post::reason;
use crate::opfs::Folder;

/// Where a file comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Beside the page, at this relative address.
    Bundled(&'static str),
    /// From the user's disk.
    Picked(web_sys::File),
    /// Kept in this browser as the file of this clip.
    Kept(ClipId),
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
    pub(crate) fn picked(file: web_sys::File) -> Self {
        Self { name: file.name(), origin: Origin::Picked(file) }
    }

    /// A file of a clip that is kept in this browser.
    pub(crate) fn kept(name: &str, clip: ClipId) -> Self {
        Self { name: name.to_owned(), origin: Origin::Kept(clip) }
    }

    /// The file for the worker. The error names the file and the reason.
    pub(crate) async fn blob(&self) -> Result<Blob, String> {
        let address = match &self.origin {
            Origin::Picked(file) => return Ok(file.clone().into()),
            Origin::Kept(clip) => return kept(&self.name, *clip).await,
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
