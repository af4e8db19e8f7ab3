//! How the program's memory is handed out.

/// Keep freed memory for the next tensor. A step takes and frees the same big tensors over and over; glibc gives each back
/// to the system at once, and for a small network a fifth of the time went into getting the pages anew.
///
/// To be called before the first thread starts. Does nothing where the C library is another.
pub(crate) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "glibc has no other interface, and no safe crate wraps it")]
        // SAFETY: sets two numbers of the allocator while there is one thread; a refusal leaves the defaults.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
