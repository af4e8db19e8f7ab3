//! Pictures of all kinds, told by their first bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(clip) = sonoseg_imaging::formats::open("fuzz", bytes.to_vec()) {
        for frame in 0..clip.len().min(3) {
            let _ = clip.frame(frame);
        }
    }
});
