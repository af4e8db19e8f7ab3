//! The browser's own file system for this page (OPFS), as page and worker read it. Only the worker writes to it
//! (`worker/storage.rs`).

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, FileSystemDirectoryHandle, FileSystemFileHandle, StorageManager};

/// A folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder(pub(crate) FileSystemDirectoryHandle);

impl Folder {
    /// The folder of all that the page keeps.
    pub(crate) async fn root() -> Result<Self, JsValue> {
        Ok(Self(JsFuture::from(storage()?.get_directory()).await?.dyn_into()?))
    }

    /// A folder in it that is there.
    pub(crate) async fn existing(&self, name: &str) -> Result<Self, JsValue> {
        Ok(Self(JsFuture::from(self.0.get_directory_handle(name)).await?.dyn_into()?))
    }

    /// A file in it that is there.
    pub(crate) async fn read(&self, name: &str) -> Result<File, JsValue> {
        let handle: FileSystemFileHandle = JsFuture::from(self.0.get_file_handle(name)).await?.dyn_into()?;
        JsFuture::from(handle.get_file()).await?.dyn_into()
    }
}

/// The store of the page, which page and worker reach alike.
pub(crate) fn storage() -> Result<StorageManager, JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into())?;
    Reflect::get(&navigator, &"storage".into())?.dyn_into()
}
