//! Masks of classes, those of ours and those to ingest.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = sonoseg_imaging::formats::mask::read_class_mask("fuzz.png", bytes, bytes.last().copied().filter(|last| last % 2 == 0));
    let _ = sonoseg_imaging::formats::mask::read_mask("fuzz.png", bytes.to_vec());
});
