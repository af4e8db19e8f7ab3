//! Tables that are taken apart before they are read: serde reads a tag and its arm with the lines of the text forgotten,
//! and parts of one table only when it may pass over unknown keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Error, IgnoredAny};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

/// A table of a recipe's text, or of the JSON in a model file.
pub(super) trait Table<'de>: Clone {
    type Error: Error;

    /// Take an entry out.
    fn take<T: Deserialize<'de>>(&mut self, key: &str) -> Result<Option<T>, Self::Error>;

    /// Take a table out.
    fn take_table(&mut self, key: &str) -> Result<Option<Self>, Self::Error>;

    /// Read all that is left.
    fn read<T: Deserialize<'de>>(self) -> Result<T, Self::Error>;
}

impl<'de> Table<'de> for Spanned<DeTable<'de>> {
    type Error = toml::de::Error;

    fn take<T: Deserialize<'de>>(&mut self, key: &str) -> Result<Option<T>, Self::Error> {
        self.get_mut().remove(key).map(|value| T::deserialize(ValueDeserializer::from(value))).transpose()
    }

    fn take_table(&mut self, key: &str) -> Result<Option<Self>, Self::Error> {
        let Some(value) = self.get_mut().remove(key) else { return Ok(None) };
        let span = value.span();
        match value.get_ref() {
            DeValue::Table(table) => Ok(Some(Self::new(span, table.clone()))),
            // What is no table cannot be read as one: the error says so, and where.
            _ => BTreeMap::<String, IgnoredAny>::deserialize(ValueDeserializer::from(value)).map(|_| None),
        }
    }

    fn read<T: Deserialize<'de>>(self) -> Result<T, Self::Error> {
        T::deserialize(Deserializer::from(self))
    }
}

impl<'de> Table<'de> for serde_json::Map<String, serde_json::Value> {
    type Error = serde_json::Error;

    fn take<T: Deserialize<'de>>(&mut self, key: &str) -> Result<Option<T>, Self::Error> {
        self.remove(key).map(T::deserialize).transpose()
    }

    fn take_table(&mut self, key: &str) -> Result<Option<Self>, Self::Error> {
        self.take(key)
    }

    fn read<T: Deserialize<'de>>(self) -> Result<T, Self::Error> {
        T::deserialize(serde_json::Value::Object(self))
    }
}
