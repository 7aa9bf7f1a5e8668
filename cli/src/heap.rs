//! The one place of this program that needs `unsafe`: what the C library's allocator asks of the kernel and gives back.
#![expect(unsafe_code, reason = "mallopt(3), sbrk(2) and madvise(2) have no safe form")]

use std::ffi::c_void;
use std::hint::black_box;

/// From this size on, a block is mapped for itself and unmapped when it is freed.
const MAPPED_BYTES: libc::c_int = 128 << 10;
/// Address space for what an analysis allocates first. Its pages take memory once they are used, and large blocks that
/// grow there leave holes: 256 MiB take 15 MiB more at the peak of a 2 GB capture, 48 MiB 3 MiB more.
const HEAP_BYTES: libc::c_int = 32 << 20;
/// What the heap grows by beyond that.
const STEP_BYTES: libc::c_int = 1 << 20;
/// No heap shrinks below this: what is given back is taken again, and then in small pages.
const KEPT_BYTES: libc::c_int = 1 << 30;

/// Keeps [`MAPPED_BYTES`] where it is. By itself it grows to the largest block freed so far, and the holes that grown
/// vectors leave then stay in the heap: 8 MiB more at the peak of a 2 GB capture, with tables and without.
pub(crate) fn keep_small() {
    set(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
}

/// Makes room for an analysis: the heap does not give back what the next chunk takes again (2,400 calls on a 2 GB
/// capture), and begins with huge pages where the system gives them to who asks: the facts of many connections lie on
/// more small pages than a processor remembers. A tenth less time, and half of the page faults.
pub(crate) fn make_room() {
    set(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    set(libc::M_TOP_PAD, HEAP_BYTES);
    let start = end();
    let blocks: Vec<*mut c_void> = (0..4).map(|_| block()).collect();
    set(libc::M_TOP_PAD, STEP_BYTES);
    // SAFETY: the range is this process' heap, which grew by it just now; the advice changes no content. The blocks are
    // the ones that were asked for above, and nobody uses them.
    unsafe {
        libc::madvise(start, end().addr().saturating_sub(start.addr()), libc::MADV_HUGEPAGE);
        for block in blocks {
            libc::free(black_box(block));
        }
    }
}

/// A block that is not mapped for itself: of some, one makes the heap grow.
fn block() -> *mut c_void {
    // SAFETY: any size may be asked for, and what comes back is not used.
    black_box(unsafe { libc::malloc(MAPPED_BYTES as usize / 2) })
}

/// The end of the heap.
fn end() -> *mut c_void {
    // SAFETY: nothing is moved.
    unsafe { libc::sbrk(0) }
}

fn set(what: libc::c_int, value: libc::c_int) {
    // SAFETY: it takes two numbers, sets one of the allocator's, and is called before there are other threads.
    unsafe {
        libc::mallopt(what, value);
    }
}
