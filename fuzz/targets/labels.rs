//! Tables of end points.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = sonoseg_imaging::dataset::labels::read_labels(bytes);
});
