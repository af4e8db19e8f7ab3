//! Zips and folders: both are opened as the files in them.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Uint8Array};
use wasm_bindgen_futures::spawn_local;
use web_sys::{File, FileSystemDirectoryEntry};

use super::start::Session;
use crate::files;
use crate::messages::post::reason;
use crate::messages::{Fault, FileNumber, UnpackFile};

impl Session {
    /// Open files that were dropped, and those of the folders among them.
    pub(crate) fn open_dropped(&self, mut files: Vec<File>, folders: Vec<FileSystemDirectoryEntry>) {
        let session = *self;
        spawn_local(async move {
            for folder in folders {
                let name = folder.name();
                match files::in_folder(folder).await {
                    Ok(inside) if inside.is_empty() => {
                        session.viewer.notices.refused(format!("{name}: there is no file in this folder."));
                    }
                    Ok(inside) => files.extend(inside),
                    Err(error) => session.viewer.notices.refused(format!(
                        "{name}: the browser could not read the folder ({}). Drop the files in it.",
                        reason(&error)
                    )),
                }
            }
            session.open(files);
        });
    }

    /// The files of a zip. Those that cannot be taken out are named.
    pub(super) async fn unpack(&self, zip: FileNumber) -> Result<Vec<File>, Fault> {
        let unpacked = Rc::new(RefCell::new(Vec::new()));
        let into = unpacked.clone();
        let left_out = self.answer(zip, move |session, source, blob| {
            let into = into.clone();
            session.viewer.notices.starting(format!("Unpacking {}", source.name));
            session.link.stream(UnpackFile { name: source.name }, Some(blob), move |file, buffers| {
                let bytes = Uint8Array::from(buffers.first().map_or(&[][..], Vec::as_slice));
                // A file can be made of any bytes.
                into.borrow_mut().extend(File::new_with_u8_array_sequence(&Array::of1(&bytes), &file.path));
            })
        });
        for reason in left_out.await? {
            self.viewer.notices.refused(reason);
        }
        Ok(unpacked.take())
    }
}
