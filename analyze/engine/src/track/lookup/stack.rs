//! Which resolver asked, told from how it pairs its questions. Measured on glibc 2.36, musl 1.2.3, Go 1.19, Node 20 and
//! Java 17; what one pair says is a hint, three pairs decide.

use super::candidate::Candidate;
use super::query::{A, AAAA};

/// A resolver implementation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Stack {
    /// Not told.
    #[default]
    Unknown,
    /// glibc, which Java, Python and Node's `dns.lookup` use.
    Glibc,
    /// musl: Alpine, static Rust and C programs.
    Musl,
    /// Go's own resolver.
    Go,
    /// c-ares: Node's `dns.resolve`, Envoy, curl in some builds.
    CAres,
    /// dig and its kin.
    Dig,
    /// No application: a DNS server that asks on behalf of others.
    Forwarder,
}

impl Stack {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Unknown, Self::Glibc, Self::Musl, Self::Go, Self::CAres, Self::Dig, Self::Forwarder];

    /// Name in tables and texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Glibc => "glibc",
            Self::Musl => "musl",
            Self::Go => "go",
            Self::CAres => "c-ares",
            Self::Dig => "dig",
            Self::Forwarder => "forwarder",
        }
    }

    /// Whether it gives a name up at this answer instead of trying the next suffix: musl goes on only after NXDOMAIN.
    pub(crate) fn stops_unless_nxdomain(self) -> bool {
        self == Self::Musl
    }
}

/// What pairs of questions told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Votes {
    /// A and AAAA from one port, and how many of them have identifications as musl's clock makes them.
    same_port: u32,
    musl_like: u32,
    /// Of those from one port, how many share the low byte as glibc's generator makes them.
    glibc_like: u32,
    /// A and AAAA from two ports, with EDNS.
    two_ports_edns: u32,
    /// AD and EDNS in the question.
    authentic: u32,
    /// The same identification from another port after a pause.
    kept_id: u32,
}

/// musl numbers its questions by the clock: AAAA comes 0x7a to 0x3ac after A in 45 of 45 pairs measured; room is left
/// for slower machines.
const MUSL_STEP: std::ops::RangeInclusive<u16> = 0x30..=0x500;
/// glibc's two identifications are far apart, but their low bytes differ by at most 16 in 39 of 43 pairs.
const GLIBC_LOW: u8 = 16;

impl Votes {
    pub(crate) fn add(&mut self, candidate: &Candidate) {
        self.authentic += u32::from(candidate.authentic && candidate.edns > 0);
        self.kept_id += u32::from(candidate.kept_id);
        let (Some(a), Some(aaaa)) = (candidate.asked_as(A), candidate.asked_as(AAAA)) else { return };
        if a.port == aaaa.port {
            let step = aaaa.id.wrapping_sub(a.id);
            let low = (aaaa.id as u8).wrapping_sub(a.id as u8) as i8;
            self.same_port += 1;
            self.musl_like += u32::from(MUSL_STEP.contains(&step));
            self.glibc_like += u32::from(low.unsigned_abs() <= GLIBC_LOW);
        } else {
            self.two_ports_edns += u32::from(candidate.edns > 0);
        }
    }

    /// The resolver, and how sure that is, 0 to 1.
    pub(crate) fn decide(self) -> (Stack, f64) {
        if self.authentic > 0 {
            return (Stack::Dig, 0.9);
        }
        if self.two_ports_edns > self.same_port {
            return (Stack::Go, sure(self.two_ports_edns, 0.85));
        }
        if self.same_port > 0 {
            return self.one_socket();
        }
        if self.kept_id > 0 { (Stack::CAres, sure(self.kept_id, 0.7)) } else { (Stack::Unknown, 0.0) }
    }

    /// A step as musl's comes by chance in 2 of 100 of glibc's pairs; where it comes in some of many, both resolvers ask.
    fn one_socket(self) -> (Stack, f64) {
        let (musl, pairs) = (self.musl_like * 10, self.same_port);
        let both = pairs >= 10 && musl >= pairs;
        let low = self.glibc_like * 2 >= pairs;
        match () {
            () if musl >= pairs * 9 => (Stack::Musl, sure(pairs, 0.8)),
            () if both || !low => (Stack::Glibc, 0.6),
            () => (Stack::Glibc, sure(pairs, 0.85)),
        }
    }
}

impl std::ops::AddAssign for Votes {
    fn add_assign(&mut self, more: Self) {
        self.same_port += more.same_port;
        self.musl_like += more.musl_like;
        self.glibc_like += more.glibc_like;
        self.two_ports_edns += more.two_ports_edns;
        self.authentic += more.authentic;
        self.kept_id += more.kept_id;
    }
}

/// Three pairs and more are as sure as it gets.
fn sure(pairs: u32, one: f64) -> f64 {
    if pairs >= 3 { 0.97 } else { one + 0.05 * f64::from(pairs - 1) }
}
