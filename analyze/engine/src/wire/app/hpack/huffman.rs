//! The Huffman code of HPACK (RFC 7541 appendix B). It is canonical: codes of one length are consecutive, in the order of
//! their symbols, so that the lengths alone give the code.

/// Length of each byte's code, bits.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26,
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// The code, by length.
struct Code {
    /// First code of each length.
    first: [u32; LONGEST + 1],
    /// Codes of each length.
    count: [u32; LONGEST + 1],
    /// Where the symbols of each length start.
    start: [usize; LONGEST + 1],
    /// All bytes, by length and value.
    symbols: [u8; 256],
}

static CODE: Code = Code::new();

impl Code {
    #[allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "the compiler evaluates it, and would say so"
    )]
    const fn new() -> Self {
        let mut code =
            Self { first: [0; LONGEST + 1], count: [0; LONGEST + 1], start: [0; LONGEST + 1], symbols: [0; 256] };
        let (mut length, mut next, mut at) = (SHORTEST, 0, 0);
        while length <= LONGEST {
            (code.first[length], code.start[length]) = (next, at);
            let mut byte = 0;
            while byte < 256 {
                if LENGTHS[byte] as usize == length {
                    code.symbols[at] = byte as u8;
                    at += 1;
                }
                byte += 1;
            }
            code.count[length] = (at - code.start[length]) as u32;
            next = (next + code.count[length]) << 1;
            length += 1;
        }
        code
    }

    /// The byte whose code `bits` is.
    fn symbol(&self, bits: u32, length: usize) -> Option<u8> {
        let nth = bits.checked_sub(*self.first.get(length)?)?;
        let start = *self.start.get(length).filter(|_| self.count.get(length).is_some_and(|count| nth < *count))?;
        self.symbols.get(start.checked_add(nth as usize)?).copied()
    }
}

/// Hands on each byte of a coded text; none where it is wrong. What is left over at the end are the first bits of the
/// code for the end, which are ones, and less than a byte (RFC 7541 5.2).
pub(super) fn decode(bytes: &[u8], mut each: impl FnMut(u8)) -> Option<()> {
    let (mut bits, mut length) = (0u32, 0usize);
    for byte in bytes {
        for shift in (0..8).rev() {
            bits = bits << 1 | u32::from(byte >> shift & 1);
            length = length.saturating_add(1);
            if length < SHORTEST {
                continue;
            }
            if let Some(symbol) = CODE.symbol(bits, length) {
                each(symbol);
                (bits, length) = (0, 0);
            } else if length >= LONGEST {
                return None;
            }
        }
    }
    (length < 8 && bits.count_ones() as usize == length).then_some(())
}
