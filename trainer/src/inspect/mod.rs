//! `sonoseg inspect`: what a network answers to, and how it sees a data set.

mod embed;
mod filters;
mod map;

use anyhow::Result;

use crate::args::Inspect;

pub(crate) fn run(verb: &Inspect) -> Result<()> {
    match &verb.layer {
        Some(layer) => filters::run(verb, layer),
        None => embed::run(verb),
    }
}
