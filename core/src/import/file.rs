//! The file that an import writes: safetensors with our names, and a header that says where every tensor came from.

use serde::{Deserialize, Serialize};

use super::{Imported, Layout, Sizes};
use crate::checkpoint::{self, CheckpointError, State, Storage};

/// What an imported file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportHeader {
    /// Always `import`.
    pub kind: String,
    /// Version of this header.
    pub format: u32,
    /// How the source was understood.
    #[serde(rename = "as")]
    pub layout: Layout,
    /// Name of the file that the weights are from.
    pub source: String,
    /// SHA-256 of that file, in hexadecimal.
    pub sha256: String,
    /// Sizes of the network.
    pub config: Sizes,
    /// Tensors of the source that became weights, by their names there.
    pub loaded: Vec<String>,
    /// Tensors of the source that a rule left out.
    pub ignored: Vec<String>,
    /// Weights that the source does not have, by our names; they have their initial values.
    pub missing: Vec<String>,
    /// Whose the weights are.
    pub note: String,
}

impl ImportHeader {
    /// Version that this code writes and reads.
    pub const FORMAT: u32 = 1;
    /// What sets these files apart from models.
    pub const KIND: &'static str = checkpoint::IMPORT;
}

impl Imported {
    /// The file of these weights. `source` and `sha256` are name and checksum of the file that they are from.
    pub fn to_bytes(&self, source: &str, sha256: &str, storage: Storage) -> Result<Vec<u8>, CheckpointError> {
        let header = ImportHeader {
            kind: ImportHeader::KIND.into(),
            format: ImportHeader::FORMAT,
            layout: self.layout,
            source: source.to_owned(),
            sha256: sha256.to_owned(),
            config: self.sizes.clone(),
            loaded: self.loaded.clone(),
            ignored: self.ignored.clone(),
            missing: self.missing.clone(),
            note: self.layout.note().into(),
        };
        checkpoint::encode_as(source, &header, &self.state, storage)
    }
}

/// Read a file that an import wrote: its header and all its weights.
pub fn read_import(name: &str, bytes: &[u8]) -> Result<(ImportHeader, State), CheckpointError> {
    let (header, state): (ImportHeader, State) = checkpoint::decode(name, bytes)?;
    if header.kind != ImportHeader::KIND || header.format != ImportHeader::FORMAT {
        let reason = format!(
            "holds `{}` in format {}, and this version of sonoseg reads `{}` in format {}; import the weights again",
            header.kind,
            header.format,
            ImportHeader::KIND,
            ImportHeader::FORMAT
        );
        return Err(CheckpointError::Foreign { name: name.to_owned(), reason });
    }
    Ok((header, state))
}
