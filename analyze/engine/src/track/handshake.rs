//! How a connection began, and what its ends agreed on.

use super::event::FrameId;
use super::key::End;
use super::maybe::MaybeNs;
use super::tcp::resend::{Resend, Trigger, Verdict};
use crate::packet::{Packet, TcpFlags};
use crate::wire::tcp::TcpOptions;

/// What one end announced in its SYN.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hello {
    /// Initial sequence number; of datagrams, a sample of the first one's payload.
    pub(crate) isn: u32,
    /// TCP timestamp, where `stamped`.
    tsval: u32,
    /// Window and options that no router changes; of datagrams, the first one's length.
    pub(crate) shape: u32,
    /// 0 where none was announced.
    mss: u16,
    stamped: bool,
    /// Whether it is of a SYN.
    pub(crate) seen: bool,
}

/// In `Hello::shape`, where no window scale is announced.
const NO_SCALE: u8 = 0xff;
/// In `Hello::shape`: it takes selective acknowledgements; the capture cut its options.
const SACK: u32 = 1;
const CUT: u32 = 2;

impl Hello {
    /// A SYN's.
    pub(crate) fn of(packet: &Packet, options: &TcpOptions) -> Self {
        let scale = options.window_scale.unwrap_or(NO_SCALE);
        let sack = if options.sack_permitted { SACK } else { 0 };
        let cut = if packet.l4_caplen < packet.l4_header_len.into() { CUT } else { 0 };
        Self {
            isn: packet.seq,
            tsval: packet.tsval,
            shape: u32::from(packet.window) << 16 | u32::from(scale) << 8 | sack | cut,
            mss: options.mss.unwrap_or_default(),
            stamped: packet.bits.has_timestamps(),
            seen: true,
        }
    }

    /// The first datagram's.
    pub(crate) fn of_datagram(packet: &Packet) -> Self {
        Self { isn: packet.tsval, shape: packet.payload_len, ..Self::default() }
    }

    /// The largest segment it takes.
    pub(crate) fn mss(&self) -> Option<u16> {
        Some(self.mss).filter(|mss| *mss > 0)
    }

    /// TCP timestamp.
    pub(crate) fn tsval(&self) -> Option<u32> {
        self.stamped.then_some(self.tsval)
    }

    /// Bits by which its windows are to be shifted.
    pub(crate) fn window_scale(&self) -> Option<u8> {
        Some((self.shape >> 8) as u8).filter(|scale| self.seen && *scale != NO_SCALE)
    }

    /// Whether the capture cut its options, so that one which is not there may have been.
    pub(crate) fn is_cut(&self) -> bool {
        self.shape & CUT != 0
    }

    /// Whether it takes selective acknowledgements, so far as can be told: everybody does.
    fn may_sack(&self) -> bool {
        !self.seen || self.shape & (SACK | CUT) != 0
    }

    /// The window that a SYN announced.
    pub(crate) fn window(&self) -> u16 {
        (self.shape >> 16) as u16
    }
}

/// The last SYN or SYN-ACK of an end.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    ns: MaybeNs,
    frame: FrameId,
}

/// The opening of a connection. Times are those of the vantage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshake {
    pub(crate) orig: End,
    pub(crate) syn_ns: MaybeNs,
    pub(crate) syn_ack_ns: MaybeNs,
    pub(crate) ack_ns: MaybeNs,
    /// Whether that was the acknowledgement which ends the handshake, and not what came later without it in the capture.
    pub(crate) prompt: bool,
    pub(crate) hello: [Hello; 2],
    asked: [Asked; 2],
    /// Whether an end sent its SYN again, so that the time to its answer measures nothing (Karn).
    pub(crate) repeated: [bool; 2],
    /// SYN-ACKs that were sent again though the acknowledgement had passed.
    pub(crate) ignored: u32,
    /// Whether the SYN was sent again before the first SYN-ACK.
    pub(crate) waited: bool,
    /// When ICMP said last that a packet of the connection is too big for its way.
    pub(crate) too_big_ns: MaybeNs,
}

/// The first wait for an answer (RFC 6298 2.1); later ones are as long or twice as long (Linux since 6.5, and before).
const FIRST_WAIT_NS: i64 = 1_000_000_000;
/// The least that Linux waits for anything before it sends it again (`TCP_RTO_MIN`).
const LEAST_WAIT_NS: i64 = 200_000_000;
/// Payload of a segment on Ethernet with timestamps, where nobody announced another.
const USUAL_SEGMENT: u32 = 1448;

impl Handshake {
    /// A handshake that an end began.
    pub(crate) fn by(orig: End) -> Self {
        Self { orig, ..Self::default() }
    }

    /// Takes a SYN or SYN-ACK at the first leg; a repeated one is something to tell.
    pub(crate) fn take_syn(&mut self, packet: &Packet, end: End, frame: FrameId) -> Option<Resend> {
        let asked = Asked { ns: Some(packet.ts_ns).into(), frame };
        let before = std::mem::replace(&mut self.asked[end as usize], asked);
        let gap_ns = packet.ts_ns.saturating_sub(before.ns.get()?);
        self.repeated[end as usize] = true;
        // Sooner than any timer: the network made two of one, or the end answers a repeated SYN.
        let by_timer = gap_ns >= LEAST_WAIT_NS;
        self.waited |= packet.flags.is_syn() && by_timer && !self.asked[end.other() as usize].ns.is_some();
        self.ignored += u32::from(packet.flags.is_syn_ack() && by_timer && self.ack_ns.is_some());
        let timer = if packet.flags.is_syn() { Trigger::SynRto } else { Trigger::SynAckRto };
        Some(Resend {
            ns: packet.ts_ns,
            frame,
            original: Some(before.frame),
            gap_ns: Some(gap_ns),
            start: packet.seq,
            end: packet.seq.wrapping_add(packet.payload_len + 1),
            trigger: if is_wait(gap_ns) { timer } else { Trigger::Unknown },
            verdict: Verdict::Unanswered,
            ..Resend::default()
        })
    }

    /// Takes what the originator acknowledges first. Where filters leave out bare acknowledgements that is its FIN, for
    /// which it took its time, or what follows an answer.
    pub(crate) fn take_ack(&mut self, packet: &Packet) {
        self.ack_ns.note(packet.ts_ns);
        let [own, peer] = [self.orig, self.orig.other()].map(|end| self.hello[end as usize]);
        let is_next = |hello: Hello, number: u32| !hello.seen || number == hello.isn.wrapping_add(1);
        self.prompt = !packet.flags.any(TcpFlags::FIN) && is_next(own, packet.seq) && is_next(peer, packet.ack);
    }

    /// From the SYN-ACK to the acknowledgement that ends the handshake.
    pub(crate) fn rtt_orig_ns(&self) -> Option<i64> {
        self.syn_ack_ns.until(self.ack_ns).filter(|_| self.prompt)
    }

    /// Whether both SYNs were seen.
    pub(crate) fn is_whole(&self) -> bool {
        self.hello.iter().all(|hello| hello.seen)
    }

    /// Whether both ends may acknowledge selectively; where a SYN or its options are missing, they may as everybody does.
    pub(crate) fn may_sack(&self) -> bool {
        self.hello.iter().all(Hello::may_sack)
    }

    /// The round trip from the vantage to who receives what `sender` sends.
    pub(crate) fn rtt_ns(&self, sender: End) -> Option<i64> {
        let rtt_ns = if sender == self.orig { self.syn_ns.until(self.syn_ack_ns) } else { self.rtt_orig_ns() };
        rtt_ns.filter(|_| !self.repeated[sender as usize])
    }

    /// When an end's SYN passed, and its timestamp, unless it was sent again.
    pub(crate) fn asked(&self, end: End) -> Option<(i64, u32)> {
        let ns = self.asked[end as usize].ns.get().filter(|_| !self.repeated[end as usize])?;
        Some((ns, self.hello[end as usize].tsval()?))
    }

    /// Payload of a full segment with the options that this one has.
    pub(crate) fn segment_len(&self, packet: &Packet) -> u32 {
        let announced = self.hello.iter().filter_map(Hello::mss).map(u32::from).min();
        let options = u32::from(packet.l4_header_len).saturating_sub(20);
        announced.map_or(USUAL_SEGMENT, |mss| mss.saturating_sub(options).max(64))
    }
}

/// Whether a SYN's timer waits so long: a second times a power of two.
fn is_wait(gap_ns: i64) -> bool {
    let mut wait_ns = FIRST_WAIT_NS;
    while wait_ns < gap_ns / 11 * 10 {
        wait_ns *= 2;
    }
    gap_ns >= wait_ns / 10 * 9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_of_linux_before_and_since_6_5() {
        for seconds in [1.01, 1.02, 2.02, 4.1, 8.19, 16.4, 33.0] {
            assert!(is_wait((seconds * 1e9) as i64), "{seconds}");
        }
        for seconds in [0.000_03, 0.5, 1.4, 3.0, 6.0] {
            assert!(!is_wait((seconds * 1e9) as i64), "{seconds}");
        }
        // Clocks may jump by as much as 64 bits hold.
        assert!(is_wait(i64::MAX) && !is_wait(i64::MIN));
    }
}
