//! Link addresses inside tunnels that carry Ethernet.

use crate::track::FrameId;
use crate::track::few::Few;
use crate::wire::{Outer, TunnelKind};

/// What frames say of link addresses, by end of the tunnel: SYNs and datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Macs {
    /// Of `a`.
    pub a: EndMacs,
    /// Of `b`.
    pub b: EndMacs,
}

/// Link addresses of one end of a tunnel. Where packets are routed into the tunnel, as Flannel, Calico and Cilium do, an
/// end has one: it sends from it and takes what is for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndMacs {
    /// The one it sent from last.
    pub own: Option<Mac>,
    /// Times that it sent from another than before.
    pub changes: u32,
    /// The one that was sent to last.
    pub wanted: Option<Mac>,
    /// Frames since that is so, and when it began, nanoseconds since the epoch.
    pub frames: u64,
    /// When that began.
    pub since_ns: i64,
    /// Their frames, a few.
    pub evidence: Few<FrameId, 8>,
}

/// A link address.
pub type Mac = [u8; 6];

const UDP: usize = 8;
/// VXLAN's header, and Geneve's without options.
const HEADER: usize = 8;

/// Where a tunnel's packet has an Ethernet frame inside, its two addresses: to and from.
fn inside(outer: &Outer, frame: &[u8]) -> Option<(Mac, Mac)> {
    let header = frame.get(outer.l4_offset as usize + UDP..)?;
    let options = match outer.kind {
        TunnelKind::Vxlan => 0,
        TunnelKind::Geneve => usize::from(header.first()? & 0x3f) * 4,
        _ => return None,
    };
    let (to, rest) = header.get(HEADER + options..)?.split_first_chunk()?;
    Some((*to, *rest.first_chunk()?))
}

impl Macs {
    /// Takes a frame that passed the tunnel, sent by `a` or not.
    pub(super) fn take(&mut self, outer: &Outer, frame: &[u8], from_a: bool, ns: i64, at: FrameId) {
        let Some((to, from)) = inside(outer, frame) else { return };
        let (sender, receiver) = if from_a { (&mut self.a, &mut self.b) } else { (&mut self.b, &mut self.a) };
        sender.changes += u32::from(sender.own.is_some_and(|own| own != from));
        sender.own = Some(from);
        receiver.want(to, ns, at);
    }
}

impl EndMacs {
    fn want(&mut self, mac: Mac, ns: i64, at: FrameId) {
        if self.wanted != Some(mac) {
            (self.wanted, self.frames, self.since_ns, self.evidence) = (Some(mac), 0, ns, Few::default());
        }
        self.frames += 1;
        self.evidence.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: u8, from: u8, options: u8) -> Vec<u8> {
        let mut frame = vec![0; UDP + HEADER];
        frame[UDP] = options;
        frame.extend(vec![0; usize::from(options) * 4]);
        frame.extend([[to; 6], [from; 6]].concat());
        frame
    }

    #[test]
    fn an_end_has_what_it_sends_from_and_what_it_is_sent_to() {
        let outer = Outer { kind: TunnelKind::Geneve, ..Outer::default() };
        let mut macs = Macs::default();
        let at = FrameId::new(0, 1);
        for (to, from, from_a) in [(2, 1, true), (1, 2, false), (2, 1, true)] {
            macs.take(&outer, &frame(to, from, 3), from_a, 0, at);
        }
        assert_eq!([macs.a.own, macs.a.wanted, macs.b.own, macs.b.wanted], [[1; 6], [1; 6], [2; 6], [2; 6]].map(Some));
        macs.take(&outer, &frame(9, 2, 0), false, 7, at);
        assert_eq!((macs.a.wanted, macs.a.frames, macs.a.since_ns, macs.a.changes), (Some([9; 6]), 1, 7, 0));
        assert_eq!(inside(&outer, &[0; 20]), None);
    }
}
