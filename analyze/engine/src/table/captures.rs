use super::{Label, Time};

table! {
    /// One row a capture file.
    "captures" => pub struct CaptureRow {
        /// File as named by the user; `-` is standard input.
        pub capture: Label,
        /// Unit of the inputs: files of one unit are parts of one rotated capture.
        pub unit: i32,
        /// Format: pcap, pcap-ns, pcap-modified or pcapng.
        pub format: &'static str,
        /// Compression: gzip or zstd; absent when there is none.
        pub compression: Option<&'static str>,
        /// Frames in the file.
        pub packets: i64,
        /// Bytes of its frames on the wire.
        pub bytes: i64,
        /// Bytes of its frames that were captured.
        pub captured_bytes: i64,
        /// Bytes of the file, decompressed.
        pub file_bytes: i64,
        /// Time of the first frame, nanoseconds since the epoch.
        pub first_ts_ns: Option<i64>,
        /// Time of the first frame.
        pub first_ts: Option<Time>,
        /// Time of the last frame, nanoseconds since the epoch.
        pub last_ts_ns: Option<i64>,
        /// Time of the last frame.
        pub last_ts: Option<Time>,
        /// Interfaces that the file describes.
        pub interfaces: i32,
        /// pcapng sections.
        pub sections: i32,
        /// Operating system that captured, as the file says.
        pub os: Option<String>,
        /// Program that captured, as the file says.
        pub application: Option<String>,
        /// Frames that the kernel or the interface dropped while capturing, as the file says.
        pub dropped: Option<i64>,
        /// Blocks of unknown types that were left out.
        pub unknown_blocks: i64,
        /// Whether the file was read to its proper end.
        pub complete: bool,
        /// What was wrong with the file, separated by semicolons.
        pub problems: Option<String>,
    }
}
