use crate::LinkType;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The file format.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Format {
    /// Classic libpcap, microseconds.
    #[default]
    Pcap,
    /// Classic libpcap, nanoseconds.
    PcapNanos,
    /// Alexey Kuznetsov's modified libpcap (magic `a1b2cd34`).
    PcapModified,
    /// pcapng.
    Pcapng,
}

/// How the file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, any number of members.
    Gzip,
    /// zstd, any number of frames.
    Zstd,
}

/// An interface of a capture file: an interface description block, or the one interface of a classic pcap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interface {
    /// Link type of its frames.
    pub link_type: LinkType,
    /// Bytes kept of each frame; 0 is no limit.
    pub snaplen: u32,
    /// `if_name`.
    pub name: Option<String>,
    /// `if_description`.
    pub description: Option<String>,
    /// `if_filter`, text form.
    pub filter: Option<String>,
    /// `if_os`.
    pub os: Option<String>,
    /// `if_hardware`.
    pub hardware: Option<String>,
    /// `if_IPv4addr` and `if_IPv6addr`.
    pub addresses: Vec<IpAddr>,
    /// `if_MACaddr`.
    pub mac: Option<[u8; 6]>,
    /// `if_speed`, bits a second.
    pub speed: Option<u64>,
    /// `opt_comment`s.
    pub comments: Vec<String>,
    /// Last statistics the file has of it. Complete in [`CaptureInfo::interfaces`] when the file is read; the copy in
    /// a batch is as old as the newest interface.
    pub stats: InterfaceStats,
}

/// Interface statistics block counters (the last one of each kind that the file has).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InterfaceStats {
    /// `isb_ifrecv`.
    pub received: Option<u64>,
    /// `isb_ifdrop`.
    pub dropped_by_interface: Option<u64>,
    /// `isb_filteraccept`.
    pub accepted_by_filter: Option<u64>,
    /// `isb_osdrop`.
    pub dropped_by_os: Option<u64>,
    /// `isb_usrdeliv`.
    pub delivered: Option<u64>,
}

/// A name resolution record: an address and its names.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct NameRecord {
    /// The address.
    pub address: IpAddr,
    /// Its names, in file order.
    pub names: Vec<String>,
}

/// Something in the file that is not as it should be. Reading went on where that was possible.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What it is.
    pub kind: ProblemKind,
    /// Byte offset in the (decompressed) file.
    pub offset: u64,
    /// The last good frame before it; 0 when there was none.
    pub after_frame: u64,
    /// Bytes left out because of it.
    pub skipped_bytes: u64,
}

/// The kinds of [`Problem`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProblemKind {
    /// The file ends in the middle of a record or block.
    TornTail,
    /// The compressed data ends early or is corrupt.
    CorruptCompression,
    /// A record is longer than the snap length the file declares; it is kept whole.
    LongerThanSnaplen,
    /// A record or block length cannot be; reading went on at the next plausible place.
    CorruptLength,
    /// A block's contents do not fit its length; the block is left out.
    MalformedBlock,
    /// A packet names an interface that the file does not describe.
    UnknownInterface,
    /// A pcapng section of a major version that is not known; its blocks are left out.
    UnknownVersion,
    /// Bytes that are no compressed data follow the compressed data.
    TrailingGarbage,
    /// The operating system could not read on.
    ReadFailed,
    /// What wrote the file did not end it, or its end was cut off.
    EndMissing,
}

impl ProblemKind {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::TornTail => "the file ends in the middle of a record",
            Self::CorruptCompression => "the compressed data is corrupt or ends early",
            Self::LongerThanSnaplen => "a record is longer than the snap length the file declares",
            Self::CorruptLength => "a length that cannot be",
            Self::MalformedBlock => "a malformed block was left out",
            Self::UnknownInterface => "a packet names an interface that the file does not describe",
            Self::UnknownVersion => "a section of an unknown version was left out",
            Self::TrailingGarbage => "other bytes follow the compressed data",
            Self::ReadFailed => "reading failed",
            Self::EndMissing => "the capture has no end: what wrote it was killed, or the file was cut",
        }
    }
}

/// What a capture file says about itself, filled while it is read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CaptureInfo {
    /// The file as the user named it; `-` is standard input.
    pub name: String,
    /// File format.
    pub format: Format,
    /// Compression.
    pub compression: Compression,
    /// Frames read.
    pub packets: u64,
    /// Bytes of frames on the wire.
    pub bytes: u64,
    /// Bytes of frames captured.
    pub captured_bytes: u64,
    /// Bytes of the (decompressed) file read.
    pub file_bytes: u64,
    /// Smallest time of a frame, nanoseconds since the epoch.
    pub first_ns: Option<i64>,
    /// Largest time of a frame.
    pub last_ns: Option<i64>,
    /// Interfaces in order of appearance over all sections.
    pub interfaces: Vec<Interface>,
    /// Names the file carries.
    pub names: Vec<NameRecord>,
    /// Section comments.
    pub comments: Vec<String>,
    /// `shb_hardware`, `shb_os`, `shb_userappl` of the first section.
    pub hardware: Option<String>,
    /// See `hardware`.
    pub os: Option<String>,
    /// See `hardware`.
    pub application: Option<String>,
    /// Frames longer than the snap length of their interface; they are kept whole.
    pub longer_than_snaplen: u64,
    /// Names, comments and custom blocks beyond what is kept of one file (16 MiB).
    pub metadata_left_out: u64,
    /// Sum of `epb_dropcount`: packets lost between packets of the file.
    pub dropped_between: u64,
    /// pcapng sections.
    pub sections: u32,
    /// Blocks without a frame that Wireshark numbers as if they were frames: custom blocks, systemd journal entries,
    /// sysdig events. Frame numbers leave theirs out.
    pub numbered_blocks: u64,
    /// Blocks of a type this crate does not know, which were left out.
    pub unknown_blocks: u64,
    /// Decryption secrets blocks (never kept).
    pub secrets_blocks: u64,
    /// Custom blocks: enterprise number and data, as far as they are kept (see `metadata_left_out`).
    pub custom_blocks: Vec<(u32, Vec<u8>)>,
    /// What was wrong, in file order; capped, the rest counted in `problems_left_out`.
    pub problems: Vec<Problem>,
    /// Problems beyond the cap.
    pub problems_left_out: u64,
    /// Why the file could not be read at all, or not to its end.
    pub failure: Option<String>,
}
