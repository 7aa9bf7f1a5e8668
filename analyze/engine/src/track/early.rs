//! Segments that came before those in front of them, until these come; bounded.

/// Segments that wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Early {
    segments: Vec<(u32, Vec<u8>)>,
}

/// Segments kept.
const SEGMENTS: usize = 8;
/// Bytes kept of all together: two of the largest segments that the kernel puts together.
const BYTES: usize = 128 * 1024;

impl Early {
    /// Keeps a segment, where there is room.
    pub(crate) fn push(&mut self, seq: u32, bytes: &[u8]) -> bool {
        let fits = self.segments.len() < SEGMENTS && self.held() + bytes.len() <= BYTES;
        if fits {
            self.segments.push((seq, bytes.to_vec()));
        }
        fits
    }

    /// What goes on at `next`.
    pub(crate) fn pop(&mut self, next: u32) -> Option<Vec<u8>> {
        while let Some(at) = self.segments.iter().position(|(seq, _)| seq.wrapping_sub(next) as i32 <= 0) {
            let (seq, mut bytes) = self.segments.swap_remove(at);
            let old = next.wrapping_sub(seq) as usize;
            if old < bytes.len() {
                return Some(bytes.split_off(old));
            }
        }
        None
    }

    /// Bytes that wait.
    pub(crate) fn held(&self) -> usize {
        self.segments.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}
