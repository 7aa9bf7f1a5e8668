//! What few connections show, noted once for each: who looks for them need not look at all.

use crate::track::event::{Flow, LegSeen, Side};

/// Marks of what somebody saw of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Signs(u16);

/// A handshake that takes this long is slow.
pub(crate) const SLOW_NS: i64 = 25_000_000;

impl Signs {
    /// A silence in which nothing was on its way.
    pub(crate) const IDLE: Self = Self(1);
    /// A silence of a second or more.
    pub(crate) const PAUSED: Self = Self(2);
    /// Segments sent again, out of order or doubled.
    pub(crate) const TROUBLED: Self = Self(4);
    /// A window of nothing.
    pub(crate) const CLOSED: Self = Self(8);
    /// Data or probes that were never answered.
    pub(crate) const UNANSWERED: Self = Self(16);
    /// A SYN or SYN-ACK sent again.
    pub(crate) const ASKED_AGAIN: Self = Self(32);
    /// A handshake of [`SLOW_NS`] or more.
    pub(crate) const SLOW: Self = Self(64);
    /// A place that both directions passed.
    pub(crate) const TWO_WAY: Self = Self(128);
    /// Several places in one capture.
    pub(crate) const PLACES: Self = Self(256);

    /// What one flow shows.
    pub(super) fn of(flow: &Flow) -> Self {
        let sides = [&flow.from_orig, &flow.from_resp];
        let any = |has: fn(&Side) -> bool| sides.into_iter().any(has);
        let shown = [
            (Self::IDLE, flow.idle().is_some()),
            (Self::PAUSED, flow.pause().is_some()),
            (Self::TROUBLED, any(|side| side.tcp.losses.is_some() || side.duplicates > 0)),
            (Self::CLOSED, any(|side| side.tcp.was_closed())),
            (Self::UNANSWERED, flow.stall.is_some() || any(|side| side.tcp.unanswered_probes > 0)),
            (Self::ASKED_AGAIN, flow.from_orig.syns > 1 || flow.ignored > 0),
            (Self::TWO_WAY, flow.legs().any(LegSeen::is_two_way)),
            (Self::PLACES, !flow.other_legs.is_empty()),
            (Self::SLOW, flow.trip_ns().is_some_and(|(trip_ns, _)| trip_ns >= SLOW_NS)),
        ];
        shown.into_iter().filter(|(_, is_shown)| *is_shown).fold(Self::default(), |all, (sign, _)| all.with(sign))
    }

    /// Both.
    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this sign is among them.
    pub(crate) fn has(self, sign: Self) -> bool {
        self.0 & sign.0 != 0
    }
}
