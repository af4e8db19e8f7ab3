//! Circles of imports among the modules of a crate, read off the text of its files.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::Source;

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Sibling modules that use each other, directly or by way of others, as a sentence's subject: `a, b`. A module stands
/// for everything below it; what a file uses of its parents is no circle, because they only hold it together.
pub(crate) fn find(root: &str, sources: &[Source]) -> Vec<String> {
    let of = |source: &Source| module(source.path.trim_start_matches(root).trim_start_matches('/'));
    let known: BTreeSet<Vec<String>> = sources.iter().map(of).collect();
    let mut graphs: BTreeMap<Vec<String>, Graph> = BTreeMap::new();
    for source in sources {
        let from = of(source);
        let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
        for path in paths(&code) {
            let Some(to) = absolute(&from, &path, &known) else { continue };
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if shared < from.len() && shared < to.len() {
                let graph = graphs.entry(from[..shared].to_vec()).or_default();
                graph.entry(from[shared].clone()).or_default().insert(to[shared].clone());
            }
        }
    }
    let mut found = Vec::new();
    for (parent, graph) in &graphs {
        let circular: BTreeSet<BTreeSet<&str>> = graph.keys().map(|start| circle(graph, start)).collect();
        for members in circular.iter().filter(|members| members.len() > 1) {
            let name =
                |member: &&str| parent.iter().map(String::as_str).chain([*member]).collect::<Vec<_>>().join("::");
            found.push(members.iter().map(name).collect::<Vec<_>>().join(", "));
        }
    }
    found
}

/// `a/b.rs` is `a::b`, `a/mod.rs` is `a`; `lib.rs`, `main.rs` and the files of `bin/` are the crate itself.
fn module(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// Everything after `use`, one path for each name in braces, and every `crate::` or `super::` in an expression.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (start, head) in ["crate::", "super::", "self::"].iter().flat_map(|head| {
        code.match_indices(head).filter(|(at, _)| !code[..*at].ends_with("::")).map(|(at, _)| (at, *head))
    }) {
        expand(&[head.trim_end_matches(':').to_owned()], &code[start + head.len()..], &mut found);
    }
    found
}

/// Follow a path from `before` on; gives back what is left behind it.
fn expand<'a>(before: &[String], text: &'a str, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = expand(before, rest, found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                Some(more) => return more.trim_start().strip_prefix('}').unwrap_or_default(),
                None => return rest.strip_prefix('}').unwrap_or_default(),
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let mut path = before.to_vec();
    path.push(text[..end].to_owned());
    match text[end..].strip_prefix("::") {
        Some(rest) if !rest.starts_with('<') => expand(&path, rest, found),
        _ => {
            found.push(path);
            let rest = text[end..].trim_start();
            match rest.strip_prefix("as ") {
                Some(renamed) => renamed.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
                None => rest,
            }
        }
    }
}

/// The module that a path leads to from `from`; none where it leaves the crate.
fn absolute(from: &[String], path: &[String], known: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let mut place = if path[0] == "crate" { Vec::new() } else { from.to_vec() };
    for part in &path[usize::from(path[0] != "super")..] {
        if part == "super" {
            place.pop()?;
        } else {
            place.push(part.clone());
            if !known.iter().any(|module| module.starts_with(&place)) {
                place.pop();
                break;
            }
        }
    }
    (!place.is_empty()).then_some(place)
}

/// All that `start` reaches and that reaches it.
fn circle<'a>(graph: &'a Graph, start: &'a str) -> BTreeSet<&'a str> {
    let reached = |from: &'a str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(next) = open.pop() {
            for to in graph.get(next).into_iter().flatten() {
                if seen.insert(to.as_str()) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let there = reached(start);
    there.into_iter().filter(|&other| other == start || reached(other).contains(start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(format!("x/src/{path}"), text.to_owned())
    }

    #[test]
    fn circles_are_found_through_braces_supers_and_third_modules() {
        let sources = [
            source("lib.rs", "mod a; mod b; mod c;"),
            source("a/mod.rs", "mod one; mod two;"),
            source("a/one.rs", "use super::two::{Thing, other as renamed};\nuse crate::c;"),
            source("a/two.rs", "fn f() { super::one::g() }"),
            source("b.rs", "use crate::{a::one::Thing, std};"),
            source("c.rs", "use crate::b::Thing;"),
        ];
        assert_eq!(find("x/src", &sources), ["a, b, c", "a::one, a::two"]);
        let sound =
            [source("a.rs", "use crate::b::{c, d};"), source("b.rs", "mod c;"), source("b/c.rs", "use super::T;")];
        assert!(find("x/src", &sound).is_empty());
    }
}
