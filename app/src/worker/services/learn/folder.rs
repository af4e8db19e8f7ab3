//! The folder of a run in the browser's own file system, with the files that the trainer's run folders have, and a few of the
//! page's own: `run.json`, `project.json` (the answers that it began with), `before.safetensors` (the model that it began from).

use sonoseg_core::checkpoint;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::DedicatedWorkerGlobalScope;

use crate::keeping::{BEFORE, RUN, RUNS, is_project_id};
use crate::messages::{Fault, RunAbout, RunId, RunLine};
use crate::opfs::Folder;
use crate::worker::storage::{self, Held};

/// The ending of a file that is being written.
const PART: &str = ".part";

/// A run's folder.
pub(in super::super) struct RunFolder {
    pub(super) id: RunId,
    folder: Folder,
}

impl RunFolder {
    /// A new one.
    pub(super) async fn make() -> Result<Self, Fault> {
        let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
        let id = scope.crypto().map_err(|error| refused(&error))?.random_uuid();
        let folder = async { runs().await?.folder(&id).await };
        Ok(Self { id: RunId(id.clone()), folder: folder.await.map_err(|error| refused(&error))? })
    }

    /// One that is there.
    pub(super) async fn open(id: &RunId) -> Result<Self, Fault> {
        let folder = async { runs().await?.existing(&id.0).await };
        Ok(Self { id: id.clone(), folder: folder.await.map_err(|error| refused(&error))? })
    }

    /// All of them, the newest first.
    pub(super) async fn all() -> Result<Vec<RunLine>, Fault> {
        let names = async { runs().await?.names().await };
        let names = names.await.map_err(|error| refused(&error))?;
        let mut lines = Vec::new();
        for name in names.into_iter().filter(|name| is_project_id(name)) {
            let Ok(folder) = Self::open(&RunId(name)).await else { continue };
            // A run whose `run.json` was never written has not begun.
            if let Ok(about) = folder.about().await {
                lines.push(RunLine { id: folder.id, about });
            }
        }
        lines.sort_by(|a, b| b.about.began_ms.cmp(&a.about.began_ms).then_with(|| a.id.cmp(&b.id)));
        Ok(lines)
    }

    /// Remove it with all in it.
    pub(super) async fn remove(id: &RunId) -> Result<(), Fault> {
        let removed = async { runs().await?.remove(&id.0).await };
        removed.await.map_err(|error| refused(&error))
    }

    /// What the run says of itself.
    pub(super) async fn about(&self) -> Result<RunAbout, Fault> {
        let bytes = self.read(RUN).await?;
        serde_json::from_slice(&bytes).map_err(|error| Fault::Refused(format!("The run is damaged ({error}).")))
    }

    /// Write down what it says of itself.
    pub(super) async fn write_about(&self, about: &RunAbout) -> Result<(), Fault> {
        let text = serde_json::to_vec(about).map_err(|error| Fault::Refused(format!("{error}.")))?;
        self.write(RUN, &text).await
    }

    /// A file of it.
    pub(super) async fn read(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let read = async { storage::bytes(&self.folder.read(name).await?).await };
        read.await.map_err(|error| refused(&error))
    }

    /// A file that is text; nothing where it is not there.
    pub(super) async fn text(&self, name: &str) -> String {
        self.read(name).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Write a file beside its place and move it there, so that there is always a whole one.
    pub(super) async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let part = format!("{name}{PART}");
        let written = async {
            Held::open(&self.folder, &part).await?.write(0.0, bytes)?;
            if moved(&self.folder, &part, name).await.is_err() {
                // A browser that cannot move has the part to go on from until the file itself is whole.
                Held::open(&self.folder, name).await?.write(0.0, bytes)?;
                self.folder.remove(&part).await?;
            }
            Ok(())
        };
        written.await.map_err(|error| refused(&error))
    }

    /// A file of tensors that is whole: the file, or the one that was to take its place.
    pub(super) async fn whole(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let mut last = None;
        for file in [name.to_owned(), format!("{name}{PART}")] {
            let Ok(bytes) = self.read(&file).await else { continue };
            match checkpoint::decode_tensors(&file, &bytes) {
                Ok(_) => return Ok(bytes),
                Err(error) => last = Some(error.to_string()),
            }
        }
        Err(Fault::Refused(last.unwrap_or_else(|| format!("The run has no {name}: begin a new one."))))
    }

    /// Hold a file that lines are written to; no other tab can go on with the run meanwhile.
    pub(super) async fn hold(&self, name: &str) -> Result<Held, Fault> {
        Held::open(&self.folder, name).await.map_err(|error| refused(&error))
    }

    /// The model that the run began from.
    pub(super) async fn before(&self) -> Result<Vec<u8>, Fault> {
        self.whole(BEFORE).await
    }
}

async fn runs() -> Result<Folder, JsValue> {
    Folder::root().await?.folder(RUNS).await
}

/// Give a file another name, in place of the one that has it. Not every browser can.
async fn moved(folder: &Folder, from: &str, to: &str) -> Result<(), JsValue> {
    let file = folder.file(from).await?;
    let rename: js_sys::Function = js_sys::Reflect::get(&file, &"move".into())?.dyn_into()?;
    let promise: js_sys::Promise = rename.call1(&file, &to.into())?.dyn_into()?;
    JsFuture::from(promise).await.map(drop)
}

/// What to say when the browser refuses something.
pub(super) fn refused(error: &JsValue) -> Fault {
    Fault::Refused(storage::refused("The run", error))
}
