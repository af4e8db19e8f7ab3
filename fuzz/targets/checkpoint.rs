//! Checkpoints of others and model files of ours.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonoseg_core::import::{ImportOptions, Layout, import};
use sonoseg_core::inference::ModelHeader;

fuzz_target!(|bytes: &[u8]| {
    let _ = ModelHeader::read("fuzz.safetensors", bytes).map(|(_, state)| state.len());
    for layout in Layout::ALL {
        let _ = import("fuzz.pth", bytes, layout, &ImportOptions::default());
    }
});
