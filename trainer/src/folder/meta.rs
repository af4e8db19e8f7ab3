//! `meta.json` of a procedure: what is known about all of its frames.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sonoseg_imaging::DataError;
use sonoseg_imaging::geometry::Spacing;

use crate::files;

/// All keys of [`Meta`].
pub(crate) const KEYS: [&str; 10] =
    ["difficulty", "fps", "spacing", "origin", "group", "stills", "classes", "class", "stratum", "ingest"];

/// `meta.json` of a procedure. Every key may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Meta {
    /// `simple`, `medium` or `hard`, where somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) difficulty: Option<String>,
    /// Mean number of stored frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fps: Option<f64>,
    /// Size of a pixel, where it is known and the same everywhere in the frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spacing: Option<Spacing>,
    /// What made it, for example the simulator with its seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// Patient, where several procedures are of one: splits never cut a group. The procedure itself when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// Frames are single pictures, not neighbours in time: networks that read several frames leave them out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stills: bool,
    /// Names of the classes of the masks, by number; the first is the background.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) classes: Vec<String>,
    /// The one class, by name or number, that counts as foreground, where a recipe names no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    /// Its kind, for example `benign`: folds hold equal shares of every kind. The classes of its masks when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stratum: Option<String>,
    /// How `sonoseg ingest` made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ingest: Option<Ingested>,
}

/// What `sonoseg ingest` did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ingested {
    /// Hash of the source files' names and sizes and of the settings: another run with the same has nothing to do.
    pub(crate) signature: String,
    /// Frames that the source holds.
    pub(crate) frames_read: usize,
    /// Frames left out because they repeat the one before.
    pub(crate) frames_dropped: usize,
    /// `frames_dropped / frames_read`.
    pub(crate) drop_ratio: f64,
    /// Mean difference in grey levels up to which a frame counts as a repetition.
    pub(crate) tolerance: f64,
    /// The source went through a lossy codec.
    pub(crate) lossy: bool,
}

impl Meta {
    /// Read the `meta.json` of a procedure's folder.
    pub(crate) fn read(procedure: &Path) -> Result<Self> {
        let path = procedure.join("meta.json");
        let meta = serde_json::from_str(&files::read_text(&path)?);
        meta.map_err(|e| DataError::unreadable(files::absolute(&path), e).into())
    }

    /// The keys of a `meta.json` that nothing reads.
    pub(crate) fn unknown_keys(procedure: &Path) -> Result<Vec<String>> {
        let path = procedure.join("meta.json");
        let keys: BTreeMap<String, serde_json::Value> = serde_json::from_str(&files::read_text(&path)?)
            .map_err(|e| DataError::unreadable(files::absolute(&path), e))?;
        Ok(keys.into_keys().filter(|key| !KEYS.contains(&key.as_str())).collect())
    }

    /// The number of a class given by name or number. None when the masks have no such class.
    pub(crate) fn class_number(&self, wanted: &str) -> Option<u8> {
        let named = self.classes.iter().position(|name| name == wanted);
        let number = named.or_else(|| wanted.parse().ok())?;
        let known = self.classes.is_empty() || number < self.classes.len();
        u8::try_from(number).ok().filter(|&class| known && class > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_a_name_or_a_number_and_is_not_the_background() {
        let names = ["background", "nerve", "vessel"].map(str::to_owned);
        let meta = Meta { classes: names.into(), ..Meta::default() };
        assert_eq!(meta.class_number("vessel"), Some(2));
        assert_eq!(meta.class_number("1"), Some(1));
        assert_eq!(meta.class_number("3"), None);
        assert_eq!(meta.class_number("background"), None);
        assert_eq!(Meta::default().class_number("7"), Some(7), "without names every number may occur");
        assert_eq!(Meta::default().class_number("nerve"), None);
        assert_eq!(serde_json::to_string(&Meta::default()).unwrap(), "{}");
    }

    #[test]
    fn every_key_is_known() {
        let some = || Some("a".to_owned());
        let how = Ingested {
            signature: String::new(),
            frames_read: 1,
            frames_dropped: 0,
            drop_ratio: 0.0,
            tolerance: 0.0,
            lossy: false,
        };
        let meta = Meta {
            difficulty: some(),
            fps: Some(1.0),
            spacing: Some(Spacing { x_mm: 1.0, y_mm: 1.0 }),
            origin: some(),
            group: some(),
            stills: true,
            classes: vec![String::new()],
            class: some(),
            stratum: some(),
            ingest: Some(how),
        };
        let mut keys = KEYS.to_vec();
        keys.sort_unstable();
        let written = serde_json::to_value(meta).unwrap();
        assert!(written.as_object().unwrap().keys().eq(keys));
    }
}
