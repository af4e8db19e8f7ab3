//! `meta.json` of a procedure: what is known about all of its frames.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::geometry::Spacing;

/// All keys of [`Meta`].
pub const KEYS: [&str; 12] = [
    "difficulty",
    "fps",
    "spacing",
    "origin",
    "tissue",
    "group",
    "stills",
    "classes",
    "class",
    "ignore",
    "stratum",
    "ingest",
];

/// `meta.json` of a procedure. Every key may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// `simple`, `medium` or `hard`, where somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<String>,
    /// Mean number of stored frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Size of a pixel, where it is known and the same everywhere in the frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<Spacing>,
    /// What made it, for example the simulator with its seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Name of the folder that its real tissue comes from, where only the needle is simulated. `group` names the file, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tissue: Option<String>,
    /// Patient, where several procedures are of one: splits never cut a group. The procedure itself when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Frames are single pictures, not neighbours in time: networks that read several frames leave them out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stills: bool,
    /// Names of the classes of the masks, by number; the first is the background.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The one class, by name or number, that counts as foreground, where a recipe names no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The value of mask pixels that nobody judged: they are neither learned nor counted. `sonoseg ingest` writes 255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<u8>,
    /// Its kind, for example `benign`: folds hold equal shares of every kind. The classes of its masks when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stratum: Option<String>,
    /// How `sonoseg ingest` made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingest: Option<Ingested>,
}

/// What `sonoseg ingest` did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ingested {
    /// Hash of the source files' names and sizes and of the settings: another run with the same has nothing to do.
    pub signature: String,
    /// Frames that the source holds.
    pub frames_read: usize,
    /// Frames left out because they repeat the one before.
    pub frames_dropped: usize,
    /// `frames_dropped / frames_read`.
    pub drop_ratio: f64,
    /// Mean difference in grey levels up to which a frame counts as a repetition.
    pub tolerance: f64,
    /// The source went through a lossy codec.
    pub lossy: bool,
}

impl Meta {
    /// Read the text of the file `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self, DataError> {
        serde_json::from_str(text).map_err(|e| DataError::unreadable(name, e))
    }

    /// The keys of the text that nothing reads.
    pub fn unknown_keys(name: &str, text: &str) -> Result<Vec<String>, DataError> {
        let keys: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|e| DataError::unreadable(name, e))?;
        Ok(keys.into_keys().filter(|key| !KEYS.contains(&key.as_str())).collect())
    }

    /// The number of a class given by name or number. None when the masks have no such class.
    pub fn class_number(&self, wanted: &str) -> Option<u8> {
        let named = self.classes.iter().position(|name| name == wanted);
        let number = named.or_else(|| wanted.parse().ok())?;
        let known = self.classes.is_empty() || number < self.classes.len();
        u8::try_from(number).ok().filter(|&class| known && class > 0 && Some(class) != self.ignore)
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
        assert_eq!(Meta { ignore: Some(2), ..meta }.class_number("vessel"), None, "nobody judged it");
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
            tissue: some(),
            group: some(),
            stills: true,
            classes: vec![String::new()],
            class: some(),
            ignore: Some(255),
            stratum: some(),
            ingest: Some(how),
        };
        let mut keys = KEYS.to_vec();
        keys.sort_unstable();
        let written = serde_json::to_value(meta).unwrap();
        assert!(written.as_object().unwrap().keys().eq(keys));
    }
}
