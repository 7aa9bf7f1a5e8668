//! Files of other kinds, as people name them by mistake.

use super::File;
use super::talk::{ethernet, http_in};
use crate::file::classic::Classic;
use crate::file::gzip;

const CASE: &str = "not-a-capture";

pub(super) fn files() -> Vec<File> {
    let file = |name, bytes: &[u8]| File::new(CASE, name, bytes.to_vec());
    let twice = gzip(&[&Classic::new(1).file(&http_in(ethernet))]).and_then(|once| gzip(&[&once]));
    vec![
        file("empty.pcap", b""),
        file(
            "tshark.json",
            b"[\n  {\n    \"_index\": \"packets-2026-03-02\",\n    \"_source\": { \"layers\": {} }\n  }\n]\n",
        ),
        file(
            "printed.txt",
            b"09:00:00.000000 IP 10.1.0.2.40000 > 10.1.0.3.8080: Flags [S], seq 1000, win 64240, length 0\n",
        ),
        file("solaris.snoop", b"snoop\0\0\0\0\0\0\x02\0\0\0\x04\0\0\0\x4a\0\0\0\x4a\0\0\0\x64"),
        file("archive.zip", b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0"),
        file("packed.pcap.xz", b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01"),
        file("packed.pcap.lz4", b"\x04\x22\x4d\x18\x64\x40\xa7\0\0\0\0"),
        File::new(CASE, "twice.pcap.gz", twice.unwrap_or_default()),
    ]
}
