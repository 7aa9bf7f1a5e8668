//! The flags, by tshark's names.

use std::fmt::Write as _;

/// Flags of one frame, as tshark's `tcp.analysis.*` fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(u32);

macro_rules! flags {
    ($($name:ident = $bit:literal $text:literal;)*) => {
        impl Flags {
            $(#[doc = concat!("`tcp.analysis.", $text, "`.")] pub const $name: Self = Self(1 << $bit);)*

            /// All of them and their names behind `tcp.analysis.`, in the order in which they are written.
            pub const NAMES: &[(Self, &str)] = &[$((Self::$name, $text),)*];
        }
    };
}

flags! {
    RETRANSMISSION = 0 "retransmission";
    FAST_RETRANSMISSION = 1 "fast_retransmission";
    SPURIOUS_RETRANSMISSION = 2 "spurious_retransmission";
    OUT_OF_ORDER = 3 "out_of_order";
    LOST_SEGMENT = 4 "lost_segment";
    ACK_LOST_SEGMENT = 5 "ack_lost_segment";
    DUPLICATE_ACK = 6 "duplicate_ack";
    ZERO_WINDOW = 7 "zero_window";
    ZERO_WINDOW_PROBE = 8 "zero_window_probe";
    ZERO_WINDOW_PROBE_ACK = 9 "zero_window_probe_ack";
    WINDOW_FULL = 10 "window_full";
    WINDOW_UPDATE = 11 "window_update";
    KEEP_ALIVE = 12 "keep_alive";
    KEEP_ALIVE_ACK = 13 "keep_alive_ack";
    REUSED_PORTS = 14 "reused_ports";
    TFO_SYN = 15 "tfo_syn";
    TFO_ACK = 16 "tfo_ack";
    TFO_IGNORED = 17 "tfo_ignored";
}

impl Flags {
    /// Adds flags.
    pub(super) fn add(&mut self, more: Self) {
        self.0 |= more.0;
    }

    /// Adds flags where a condition holds.
    pub(super) fn add_if(&mut self, holds: bool, more: Self) {
        if holds {
            self.add(more);
        }
    }

    /// Whether all of `those` are set.
    pub fn has(self, those: Self) -> bool {
        self.0 & those.0 == those.0
    }

    /// Whether none is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of those set, separated by commas.
    pub fn names(self) -> String {
        let mut names = String::new();
        for (flag, name) in Self::NAMES {
            if self.has(*flag) {
                let comma = if names.is_empty() { "" } else { "," };
                let _ = write!(names, "{comma}{name}");
            }
        }
        names
    }
}
