//! What training programs put in front of the names of weights, taken off: `module.` of several devices, `_orig_mod.` of
//! `torch.compile`, the attribute that a network has in a Lightning module, averaged copies.

use std::collections::{BTreeMap, BTreeSet};

use super::numbers::{Numbers, Tensors, short};

/// Parts of names that wrappers of single modules leave, wherever they stand.
const WRAPPERS: [&str; 4] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];

/// What all names may begin with, and no network of a layout does.
const FRONTS: [&str; 9] =
    ["module", "model", "net", "network", "ema_model", "model_ema", "ema", "online_model", "averaged_model"];

/// Counters that averaging keeps beside the weights.
const COUNTERS: [&str; 5] = ["n_averaged", "initted", "step", "num_updates", "decay"];

/// The weights under the names that the network itself gives them. With a `key` those alone whose names begin with it.
///
/// The error is what is wrong: two networks in one file, or nothing under the key.
pub(super) fn unwrapped(tensors: Tensors, key: Option<&str>) -> Result<Tensors, String> {
    let mut tensors = renamed(tensors, |name| {
        let parts = name.split('.').filter(|part| !WRAPPERS.contains(part));
        parts.collect::<Vec<_>>().join(".")
    })?;
    if let Some(key) = key {
        let start = format!("{key}.");
        let fronts = fronts(&tensors).into_keys().take(10).map(|front| format!("`{front}`")).collect::<Vec<_>>();
        tensors.retain(|name, _| name.starts_with(&start));
        if tensors.is_empty() {
            return Err(format!(
                "holds nothing under `{}`; its names begin with {}: give one of them as --key, or leave --key out",
                short(key),
                fronts.join(", ")
            ));
        }
        tensors = renamed(tensors, |name| name[start.len()..].to_owned())?;
    }
    loop {
        let found = fronts(&tensors);
        let known: Vec<&str> = found.keys().map(String::as_str).filter(|front| FRONTS.contains(front)).collect();
        let twice = known.iter().enumerate().find_map(|(at, one)| {
            known[at + 1..].iter().find(|other| found[**other] == found[*one]).map(|other| (*one, *other))
        });
        if let Some((one, other)) = twice {
            return Err(format!(
                "holds a network twice, under `{one}` and `{other}`, for example as trained and averaged: say which with \
                 --key {one} or --key {other}"
            ));
        }
        let [front] = found.keys().collect::<Vec<_>>()[..] else { return Ok(tensors) };
        if !FRONTS.contains(&front.as_str()) {
            return Ok(tensors);
        }
        let start = format!("{front}.");
        tensors.retain(|name, _| name.starts_with(&start));
        tensors = renamed(tensors, |name| name[start.len()..].to_owned())?;
    }
}

/// Names by their first part, each with what follows it. Counters of an average count only where nothing else is there.
fn fronts(tensors: &Tensors) -> BTreeMap<String, BTreeSet<&str>> {
    let mut fronts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let counter = |name: &str, numbers: &Numbers| COUNTERS.contains(&name) && numbers.len() <= 1;
    for name in tensors.iter().filter(|(name, (_, numbers))| !counter(name, numbers)).map(|(name, _)| name) {
        let (front, rest) = name.split_once('.').unwrap_or((name, ""));
        fronts.entry(front.to_owned()).or_default().insert(rest);
    }
    fronts
}

/// Tensors under new names, none of which may be there twice.
fn renamed(tensors: Tensors, name: impl Fn(&str) -> String) -> Result<Tensors, String> {
    let mut renamed = Tensors::new();
    for (old, tensor) in tensors {
        let new = name(&old);
        if renamed.insert(new.clone(), tensor).is_some() {
            return Err(format!(
                "holds {} more than once when what wraps it is taken off: save the weights of one network alone",
                short(&new)
            ));
        }
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str], key: Option<&str>) -> Result<Vec<String>, String> {
        let tensor = || (vec![1], Numbers::Real(vec![0.0]));
        let tensors = names.iter().map(|name| ((*name).to_owned(), tensor())).collect();
        unwrapped(tensors, key).map(|tensors| tensors.into_keys().collect())
    }

    #[test]
    fn wrappers_come_off_in_any_order() {
        for front in [
            "module.",
            "_orig_mod.",
            "module._orig_mod.",
            "_orig_mod.module.",
            "model.",
            "net._orig_mod.",
            "model.module._orig_mod.",
            "ema_model.module.",
            "model_ema.",
            "_fsdp_wrapped_module.module.",
            "",
        ] {
            let wrapped = [format!("{front}blocks.0.norm.bias"), format!("{front}cls_token")];
            let found = names(&wrapped.each_ref().map(String::as_str), None).unwrap();
            assert_eq!(found, ["blocks.0.norm.bias", "cls_token"], "{front}");
        }
        assert_eq!(names(&["blocks.0._orig_mod.a", "b"], None).unwrap(), ["b", "blocks.0.a"], "one block compiled");
        assert_eq!(names(&["n_averaged", "module.a.b", "module.c"], None).unwrap(), ["a.b", "c"], "AveragedModel");
        assert_eq!(
            names(&["backbone.a", "backbone.b"], None).unwrap(),
            ["backbone.a", "backbone.b"],
            "not ours to judge"
        );
        assert_eq!(names(&["model.a", "loss.b"], None).unwrap(), ["loss.b", "model.a"]);
        assert!(names(&["module.a", "module._orig_mod.a"], None).unwrap_err().contains("more than once"));
    }

    #[test]
    fn of_two_networks_one_has_to_be_chosen() {
        let both = ["model.a", "model.b.c", "ema_model.a", "ema_model.b.c", "step"];
        let error = names(&both, None).unwrap_err();
        assert!(error.contains("--key ema_model or --key model"), "{error}");
        assert_eq!(names(&both, Some("model")).unwrap(), ["a", "b.c"]);
        assert_eq!(names(&["teacher.backbone.a", "student.a"], Some("teacher.backbone")).unwrap(), ["a"]);
        let error = names(&both, Some("encoder")).unwrap_err();
        assert!(error.contains("`ema_model`, `model`"), "{error}");
    }
}
