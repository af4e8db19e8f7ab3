//! DICOM files: the bytes after the preamble, so that the fuzzer does not have to find that first; what stands in the preamble
//! must not matter, so it is the header of a TIFF.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = vec![0; 128];
    file[..8].copy_from_slice(b"II*\0\x08\0\0\0");
    file.extend(b"DICM");
    file.extend(bytes);
    let _ = sonoseg_imaging::formats::dicom_video("fuzz.dcm", &file);
    if let Ok(clip) = sonoseg_imaging::formats::open("fuzz.dcm", file) {
        let _ = clip.person();
        for frame in 0..clip.len().min(3) {
            let _ = clip.frame(frame);
        }
    }
});
