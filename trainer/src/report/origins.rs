//! Where every value of a resolved recipe comes from: the defaults, the recipe's file, or `--set`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// Nobody said anything.
    #[serde(rename = "default")]
    Default,
    /// The recipe's file.
    #[serde(rename = "file")]
    File,
    /// The command line.
    #[serde(rename = "--set")]
    Setting,
}

impl Origin {
    /// As it stands in `origins.json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Setting => "--set",
        }
    }
}

/// The origin of every dotted key of `resolved`, for `origins.json`. `file` is the recipe as it was read, `settings` are
/// the `key=value` pairs of `--set` in their order; a later one overrides an earlier one, as a table that is set
/// overrides all that the file says below its key.
pub(crate) fn origins(resolved: &Table, file: &Table, settings: &[String]) -> BTreeMap<String, Origin> {
    let mut said: BTreeMap<String, Origin> = leaves(file).into_keys().map(|key| (key, Origin::File)).collect();
    for setting in settings {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        let key = key.trim();
        said.retain(|other, _| !(other == key || below(other, key)));
        let value = format!("v = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
        match value {
            Some(Value::Table(table)) => {
                said.extend(leaves(&table).into_keys().map(|rest| (format!("{key}.{rest}"), Origin::Setting)));
            }
            _ => {
                said.insert(key.to_owned(), Origin::Setting);
            }
        }
    }
    // A value may be written in two forms, for example as a word and as a table with a `kind`: then one key lies below
    // the other.
    let origin = |key: &str| {
        let same = |(other, _): &(&String, &Origin)| *other == key || below(other, key) || below(key, other);
        let found = said.iter().filter(same).map(|(_, &origin)| origin);
        found.max_by_key(|&origin| origin == Origin::Setting).unwrap_or(Origin::Default)
    };
    leaves(resolved).into_keys().map(|key| (key.clone(), origin(&key))).collect()
}

/// The values of a recipe by dotted key.
pub(crate) fn leaves(table: &Table) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                found.extend(leaves(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            value => {
                found.insert(key.clone(), value.clone());
            }
        }
    }
    found
}

/// True when `key` lies below `table`.
fn below(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOLVED: &str = "name = 'a'\nseed = 0\n[train]\nepochs = 3\nbatch = 8\n[train.schedule]\nkind = 'cosine'\nwarmup = 0.1\n[network]\ntaps = [1, 2, 3]\n";

    fn of(file: &str, settings: &[&str]) -> BTreeMap<String, Origin> {
        let settings: Vec<String> = settings.iter().map(|&s| s.into()).collect();
        origins(&RESOLVED.parse().unwrap(), &file.parse().unwrap(), &settings)
    }

    #[test]
    fn every_value_has_one_origin() {
        let found = of("name = 'a'\n[train]\nepochs = 20\n[network]\ntaps = [1, 2, 3]", &["train.epochs=3"]);
        let expected = [
            ("name", Origin::File),
            ("network.taps", Origin::File),
            ("seed", Origin::Default),
            ("train.batch", Origin::Default),
            ("train.epochs", Origin::Setting),
            ("train.schedule.kind", Origin::Default),
            ("train.schedule.warmup", Origin::Default),
        ];
        assert_eq!(found, expected.into_iter().map(|(key, origin)| (key.to_owned(), origin)).collect());
        let json = serde_json::to_string(&found).unwrap();
        assert!(json.contains("\"train.epochs\":\"--set\"") && json.contains("\"seed\":\"default\""), "{json}");
        assert_eq!(serde_json::from_str::<BTreeMap<String, Origin>>(&json).unwrap(), found);
        assert!([Origin::Default, Origin::File, Origin::Setting].iter().all(|o| json.contains(o.name())));
    }

    #[test]
    fn a_table_that_is_set_replaces_that_of_the_file() {
        let file = "[train.schedule]\nkind = 'linear'\nwarmup = 0.2";
        let found = of(file, &["train.schedule={ kind = 'cosine' }"]);
        assert_eq!((found["train.schedule.kind"], found["train.schedule.warmup"]), (Origin::Setting, Origin::Default));
        let found = of(file, &["train.schedule.kind = cosine"]);
        assert_eq!((found["train.schedule.kind"], found["train.schedule.warmup"]), (Origin::Setting, Origin::File));
    }

    #[test]
    fn a_value_written_in_another_form_keeps_its_origin() {
        assert_eq!(of("[train]\nschedule = 'cosine'", &[])["train.schedule.kind"], Origin::File);
        assert_eq!(of("", &["train.schedule=cosine"])["train.schedule.warmup"], Origin::Setting);
        assert_eq!(of("[trains]\nbatch = 1", &[])["train.batch"], Origin::Default);
    }
}
