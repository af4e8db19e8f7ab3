//! A report as a list of blocks, which `markdown.rs` and `html.rs` write down.

use crate::table::Table;

/// A report.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

/// A part of a report. Files that a block names lie beside the report.
#[derive(Debug)]
pub(crate) enum Block {
    Heading(String),
    Text(String),
    /// What nobody should overlook.
    Note(String),
    Table(Table),
    /// A long table under a line that opens it.
    Folded(String, Table),
    /// Colours, red, green and blue, and what they mean.
    Legend(Vec<([u8; 3], String)>),
    /// Commands to type, one a line.
    Commands(Vec<String>),
    /// A plot; HTML holds it, Markdown shows the file.
    Plot {
        file: String,
        alt: String,
        svg: String,
    },
    /// A picture; HTML holds it, Markdown shows the file.
    Picture {
        file: String,
        alt: String,
        png: Vec<u8>,
    },
    /// Pictures with captions; HTML holds them, Markdown shows the file with all of them, from left to right and from top
    /// to bottom.
    Gallery {
        file: String,
        alt: String,
        /// The PNG that holds all of them.
        sheet: Vec<u8>,
        pictures: Vec<Captioned>,
    },
}

/// A picture of a gallery.
#[derive(Clone, Debug)]
pub(crate) struct Captioned {
    pub(crate) png: Vec<u8>,
    pub(crate) caption: String,
}

/// A colour as pages write it.
pub(super) fn hexadecimal([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
