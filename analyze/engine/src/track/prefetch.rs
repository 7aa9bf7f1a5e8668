//! The one place of the engine that needs `unsafe`: telling the processor what will be read next.
#![expect(unsafe_code, reason = "prefetch has no safe form")]

/// Asks for the first cache line of a value. Changes nothing but time.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    prefetch_line(std::ptr::from_ref(value).cast());
}

/// Asks for all cache lines of a value at once, so that their misses overlap.
#[inline]
pub(crate) fn prefetch_all<T>(value: &T) {
    prefetch_first(value, size_of::<T>());
}

/// Asks for the cache lines of the first bytes of a value.
#[inline]
pub(crate) fn prefetch_first<T>(value: &T, bytes: usize) {
    const LINE: usize = 64;
    let first = std::ptr::from_ref(value).cast::<i8>();
    for line in 0..bytes.div_ceil(LINE) {
        prefetch_line(first.wrapping_add(line * LINE));
    }
}

#[inline(always)]
fn prefetch_line(address: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults and has no effect that the program can see, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
