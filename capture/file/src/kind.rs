//! What a file that is no pcap or pcapng is, told by its first bytes.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::bytes::Order;
use std::fmt;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $hint:expr;)*) => {
        /// Kinds of file that users take for captures.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum FileKind { $($(#[$doc])* $kind,)* }

        impl FileKind {
            /// How to get at the packets, if there are any in it.
            pub fn hint(self) -> &'static str {
                match self { $(Self::$kind => $hint,)* }
            }
        }

        impl fmt::Display for FileKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$kind => $name,)* })
            }
        }
    };
}

const EDITCAP: &str = "convert it with: editcap -F pcapng IN OUT.pcapng";
const UNPACK: &str = "unpack it first and name the captures that were in it";

kinds! {
    /// Endace extensible record format.
    Erf = "an ERF trace (Endace DAG)", "convert it with: editcap -T ether -F pcapng IN OUT.pcapng";
    /// Sun snoop.
    Snoop = "a Sun snoop capture", EDITCAP;
    /// Bluetooth snoop.
    BtSnoop = "a Bluetooth snoop log", "it holds Bluetooth, no network packets";
    /// Microsoft Network Monitor.
    NetMon = "a Microsoft Network Monitor capture", EDITCAP;
    /// Windows event trace.
    Etl = "a Windows event trace (ETL)", "convert it with: etl2pcapng IN.etl OUT.pcapng (github.com/microsoft/etl2pcapng)";
    /// DOS Sniffer.
    Sniffer = "a Network General Sniffer capture", EDITCAP;
    /// `NetXRay`.
    NetXRay = "a NetXRay or Windows Sniffer capture", EDITCAP;
    /// Observer.
    Observer = "a Network Instruments Observer capture", EDITCAP;
    /// AIX iptrace.
    IpTrace = "an AIX iptrace capture", EDITCAP;
    /// `OmniPeek`.
    Peek = "a Savvius OmniPeek capture", EDITCAP;
    /// What `tshark -T json` and `-T ek` print.
    Json = "JSON text", "dissected packets cannot be turned back into a capture: name the file that they were made from";
    /// PDML or PSML, most likely.
    Xml = "XML text (PDML?)", "dissected packets cannot be turned back into a capture: name the file that they were made from";
    /// tcpdump's printed lines.
    TcpdumpText = "the printed output of tcpdump", "take the capture again with: tcpdump -w OUT.pcap";
    /// Hex dump.
    HexDump = "a hex dump", "convert it with: text2pcap IN OUT.pcapng (xxd -r first, when it is the dump of a capture file)";
    /// A git LFS pointer.
    LfsPointer = "a Git LFS pointer, not the file itself", "fetch the file with: git lfs pull";
    /// HTML.
    Html = "a web page", "the download gave an error or log-in page instead of the capture";
    /// Other text.
    Text = "text", "take the capture again with tcpdump -w, or convert a hex dump with text2pcap";
    /// Parquet.
    Parquet = "a Parquet table", "tables are read by DuckDB, pandas or polars; name the capture that it was made from";
    /// Arrow IPC.
    Arrow = "an Arrow table", "tables are read by DuckDB, pandas or polars; name the capture that it was made from";
    /// gzip inside a compressed file.
    Gzip = "gzip data inside a compressed file", "it was compressed twice: decompress it once with gzip -d or zstd -d";
    /// zstd inside a compressed file.
    Zstd = "zstd data inside a compressed file", "it was compressed twice: decompress it once with gzip -d or zstd -d";
    /// xz.
    Xz = "xz-compressed", "decompress it with: xz -dk FILE (or: xz -dc FILE | kcap analyze -)";
    /// bzip2.
    Bzip2 = "bzip2-compressed", "decompress it with: bzip2 -dk FILE (or: bzip2 -dc FILE | kcap analyze -)";
    /// lz4.
    Lz4 = "lz4-compressed", "decompress it with: lz4 -d FILE OUT (or: lz4 -dc FILE | kcap analyze -)";
    /// compress(1).
    Compress = "compressed with compress(1)", "decompress it with: gzip -dk FILE";
    /// Zip.
    Zip = "a zip archive", "unpack it with: unzip FILE";
    /// 7-Zip.
    SevenZip = "a 7-Zip archive", "unpack it with: 7z x FILE";
    /// tar.
    Tar = "a tar archive", "unpack it with: tar -xf FILE";
    /// RAR.
    Rar = "a RAR archive", UNPACK;
    /// A program.
    Program = "a program (ELF)", "name a capture file";
    /// Nothing known.
    Unknown = "of an unknown kind", "if Wireshark opens it, convert it with: editcap -F pcapng IN OUT.pcapng";
}

/// First bytes, at offset 0.
const MAGICS: &[(&[u8], FileKind)] = &[
    (b"snoop\0\0\0", FileKind::Snoop),
    (b"btsnoop\0", FileKind::BtSnoop),
    (b"RTSS", FileKind::NetMon),
    (b"GMBU", FileKind::NetMon),
    (b"TRSNIFF data", FileKind::Sniffer),
    (b"XCP\0", FileKind::NetXRay),
    (b"ObserverPktBuffe", FileKind::Observer),
    (b"iptrace 1.0", FileKind::IpTrace),
    (b"iptrace 2.0", FileKind::IpTrace),
    (b"\x7fver", FileKind::Peek),
    (b"\x1f\x8b", FileKind::Gzip),
    (b"\x28\xb5\x2f\xfd", FileKind::Zstd),
    (b"\xfd7zXZ\0", FileKind::Xz),
    (b"BZh", FileKind::Bzip2),
    (b"\x04\x22\x4d\x18", FileKind::Lz4),
    (b"\x02\x21\x4c\x18", FileKind::Lz4),
    (b"\x1f\x9d", FileKind::Compress),
    (b"PK\x03\x04", FileKind::Zip),
    (b"PK\x05\x06", FileKind::Zip),
    (b"7z\xbc\xaf\x27\x1c", FileKind::SevenZip),
    (b"Rar!", FileKind::Rar),
    (b"PAR1", FileKind::Parquet),
    (b"ARROW1", FileKind::Arrow),
    (b"\x7fELF", FileKind::Program),
    (b"version https://git-lfs", FileKind::LfsPointer),
];

impl FileKind {
    /// What a file that starts with these bytes is.
    pub fn of(head: &[u8]) -> Self {
        let magic = MAGICS.iter().find(|(magic, _)| head.starts_with(magic));
        magic.map(|&(_, kind)| kind).or_else(|| binary(head)).or_else(|| text(head)).unwrap_or(Self::Unknown)
    }
}

fn binary(head: &[u8]) -> Option<FileKind> {
    if head.get(257..262) == Some(b"ustar") {
        Some(FileKind::Tar)
    } else if is_etl(head) {
        Some(FileKind::Etl)
    } else if is_erf(head) {
        Some(FileKind::Erf)
    } else {
        None
    }
}

/// `WMI_BUFFER_HEADER`, then a `SYSTEM_TRACE_HEADER` of version 2, 32 or 64 bits wide.
fn is_etl(head: &[u8]) -> bool {
    let size = Order::Little.u32_at(head, 0).unwrap_or_default();
    size.is_power_of_two()
        && (0x400..=0x0100_0000).contains(&size)
        && matches!(head.get(0x48..0x4c), Some([2, 0, 1 | 2, 0xc0]))
}

/// ERF has no magic: two records in a row, each of a 16-byte header (64-bit time, type, flags, length, …) whose length
/// leads to the next, whose type is known and whose times ascend.
fn is_erf(head: &[u8]) -> bool {
    let Some((first, len)) = erf_record(head) else { return false };
    let second = head.get(len..).and_then(erf_record);
    second.is_some_and(|(second, _)| second >= first && second.saturating_sub(first) < 86_400)
}

fn erf_record(bytes: &[u8]) -> Option<(u32, usize)> {
    let seconds = Order::Little.u32_at(bytes, 4)?;
    let kind = bytes.get(8)? & 0x7f;
    let (record, wire) = (Order::Big.u16_at(bytes, 10)?, Order::Big.u16_at(bytes, 14)?);
    // From 1990 on; types 1 to 27 are assigned.
    let good = seconds > 631_152_000 && (1..=27).contains(&kind) && record >= 16 && wire > 0;
    good.then_some((seconds, usize::from(record)))
}

fn text(head: &[u8]) -> Option<FileKind> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let printable = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    if head.is_empty() || !head.iter().all(printable) {
        return None;
    }
    let line = head.trim_ascii_start().split(|&b| b == b'\n').next().unwrap_or_default().to_ascii_lowercase();
    Some(if line.starts_with(b"{") || line.starts_with(b"[") {
        FileKind::Json
    } else if line.starts_with(b"<!doctype html") || line.starts_with(b"<html") {
        FileKind::Html
    } else if line.starts_with(b"<") {
        FileKind::Xml
    } else if is_hex_dump(&line) {
        FileKind::HexDump
    } else if is_tcpdump(&line) {
        FileKind::TcpdumpText
    } else {
        FileKind::Text
    })
}

/// An offset of four or more hex digits, then bytes or pairs of bytes.
fn is_hex_dump(line: &[u8]) -> bool {
    let mut words = line.split(|b| b" :".contains(b)).filter(|word| !word.is_empty());
    let hex = |word: &[u8]| word.iter().all(u8::is_ascii_hexdigit);
    words.next().is_some_and(|w| w.len() >= 4 && hex(w))
        && words.take(2).filter(|w| w.len() <= 4 && hex(w)).count() == 2
}

/// `12:34:56.789012 IP …`, with or without a date or an interface, or the banner.
fn is_tcpdump(line: &[u8]) -> bool {
    let time = |word: &[u8]| matches!(word, [_, _, b':', _, _, b':', _, _, b'.', ..]);
    let mut words = line.split(|&b| b == b' ');
    line.starts_with(b"tcpdump:") || words.by_ref().take(2).any(time)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests may panic")]
mod tests;
