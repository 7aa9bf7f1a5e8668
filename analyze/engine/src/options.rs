use crate::track::Endpoint;
use crate::{Addr, wire::DecodeConfig};
use crate::{Conntrack, Directory};
use kcap_file::LinkType;

/// A filter over whole frames, such as a compiled BPF program.
pub trait FrameFilter: Send {
    /// Whether the frame is to be analysed.
    fn accepts(&mut self, link: LinkType, frame: &[u8], orig_len: u32) -> bool;
}

/// Which packets to analyse; the default is all. The parts are combined by AND; `hosts` and `ports` match the innermost
/// packet, either direction, any of the list.
#[derive(Default)]
pub struct Restrict {
    /// From this time on, nanoseconds since the epoch.
    pub since_ns: Option<i64>,
    /// Up to this time, nanoseconds since the epoch.
    pub until_ns: Option<i64>,
    /// Addresses.
    pub hosts: Vec<Addr>,
    /// Ports.
    pub ports: Vec<u16>,
    /// One connection, whose story the report then tells.
    pub connection: Option<(Endpoint, Endpoint)>,
    /// A filter over the outer frame.
    pub frames: Option<Box<dyn FrameFilter>>,
}

impl Restrict {
    /// Whether anything is left out.
    pub fn is_any(&self) -> bool {
        self.since_ns.is_some()
            || self.until_ns.is_some()
            || !self.hosts.is_empty()
            || !self.ports.is_empty()
            || self.connection.is_some()
            || self.frames.is_some()
    }
}

/// Another program's judgement to show beside ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compat {
    /// The `tcp.analysis.*` flags of Wireshark 4.0: table `tcp_compat`.
    Wireshark40,
}

impl Compat {
    /// All there are.
    pub const ALL: &[Self] = &[Self::Wireshark40];

    /// Its name in arguments.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wireshark40 => "wireshark-4.0",
        }
    }
}

/// How to analyse.
pub struct Options {
    /// Threads; the result does not depend on it.
    pub threads: usize,
    /// Bytes that trackers may hold together.
    pub memory: u64,
    /// How to decode.
    pub decode: DecodeConfig,
    /// What to analyse.
    pub restrict: Restrict,
    /// Whose judgement of TCP to show as well.
    pub compat: Option<Compat>,
    /// Names of addresses.
    pub names: Directory,
    /// What the kernel said about translations.
    pub conntrack: Conntrack,
    /// Whether the process ends afterwards: memory is then left for the system to take back.
    pub is_last: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: 2,
            memory: 512 << 20,
            decode: DecodeConfig::default(),
            restrict: Restrict::default(),
            compat: None,
            names: Directory::default(),
            conntrack: Conntrack::default(),
            is_last: false,
        }
    }
}
