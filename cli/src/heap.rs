//! The one place of this program that needs `unsafe`: what the C library's allocator gives back.
#![expect(unsafe_code, reason = "mallopt(3) has no safe form")]

/// From this size on, a block is mapped for itself and unmapped when it is freed.
const MAPPED_BYTES: libc::c_int = 128 << 10;

/// Keeps [`MAPPED_BYTES`] where it is. By itself it grows to the largest block freed so far, and the holes that grown
/// vectors leave then stay in the heap: 8 MiB more at the peak of a 2 GB capture, with tables and without.
pub(crate) fn keep_small() {
    // SAFETY: it takes two numbers, sets one of the allocator's, and is called before there are other threads.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
    }
}
