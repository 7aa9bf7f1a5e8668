//! What ICMP says of packets that are too big.

use super::FEW;
use crate::Addr;
use crate::time::widen;
use crate::track::{FrameId, IcmpError};
use crate::wire::TunnelKind;
use std::collections::{BTreeMap, BTreeSet};

/// ICMP errors that packets of one path are too big.
#[derive(Clone, Debug, Default)]
pub(crate) struct TooBig {
    /// Smallest next-hop MTU named, bytes; 0 where none was.
    pub(crate) mtu: u32,
    /// Bytes of the biggest packet quoted.
    pub(crate) largest: u32,
    /// Who says so, a few.
    pub(crate) hops: BTreeSet<Addr>,
    /// To whom, a few.
    pub(crate) told: BTreeSet<Addr>,
    /// Kind of tunnel whose outer packets are meant.
    pub(crate) tunnel: Option<TunnelKind>,
    /// Errors by unit: one error may be seen by several.
    by_unit: BTreeMap<u32, u64>,
    pub(crate) frames: Vec<FrameId>,
    pub(crate) span_ns: Option<(i64, i64)>,
}

impl TooBig {
    /// Errors, as many as one capture saw at least.
    pub(crate) fn errors(&self) -> u64 {
        self.by_unit.values().copied().max().unwrap_or_default()
    }

    pub(super) fn add(&mut self, error: &IcmpError) {
        *self.by_unit.entry(error.unit).or_default() += 1;
        self.largest = self.largest.max(error.quoted_len);
        self.tunnel = self.tunnel.or(error.quoted_tunnel);
        let mtu = error.mtu.unwrap_or_default();
        self.mtu = if self.mtu == 0 || mtu > 0 && mtu < self.mtu { mtu } else { self.mtu };
        for (set, addr) in [(&mut self.hops, error.from), (&mut self.told, error.to)] {
            if set.len() < FEW {
                set.insert(addr);
            }
        }
        if self.frames.len() < FEW {
            self.frames.push(error.frame);
        }
        widen(&mut self.span_ns, error.ns, error.ns);
    }
}
