//! DICOM files: the bytes after the preamble, so that the fuzzer does not have to find that first.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend(bytes);
    if let Ok(clip) = sonoseg_imaging::formats::open("fuzz.dcm", file) {
        let _ = clip.person();
        for frame in 0..clip.len().min(3) {
            let _ = clip.frame(frame);
        }
    }
});
