//! What can be wrong with the data a person hands over.

/// What can be wrong with the data a person hands over. The caller adds the file's name.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The bytes are not a file of the kind that they claim to be, or are cut short.
    #[error("{name}: {reason}")]
    Unreadable {
        /// File name as the user knows it.
        name: String,
        /// What is wrong and what to do about it, as one sentence.
        reason: String,
    },
    /// The file is sound, but of a kind that sonoseg does not read.
    #[error("{name}: {reason}")]
    Unsupported {
        /// File name as the user knows it.
        name: String,
        /// What is not supported and what to do instead.
        reason: String,
    },
    /// The files are readable but do not fit together (labels, splits, sizes).
    #[error("{0}")]
    Inconsistent(String),
}

impl DataError {
    /// The file `name` cannot be read, because of `reason`.
    pub fn unreadable(name: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable { name: name.into(), reason: reason.to_string() }
    }

    /// The file `name` is of a kind that is not supported, because of `reason`.
    pub fn unsupported(name: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Unsupported { name: name.into(), reason: reason.to_string() }
    }
}
