use super::{Label, Time};
use crate::Addr;

table! {
    /// One row a lookup: what an application asked for, put together from the queries its resolver made of it.
    "dns_lookups" => pub struct DnsLookupRow<'a> {
        /// File.
        pub capture: &'a Label,
        /// Capture point of the first query.
        pub point: &'a Label,
        /// Frame of the first query.
        pub first_frame: i64,
        /// Time of the first query, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time of the first query.
        pub ts: Time,
        /// First query to last answer, microseconds; to the last query where no answer came.
        pub duration_us: i64,
        /// Who asks.
        pub client_addr: Addr,
        /// Who is asked.
        pub server_addr: Addr,
        /// Namespace of the client, where its search list tells.
        pub client_namespace: Option<&'a str>,
        /// What the application asked for, as far as the queries tell.
        pub stem: &'a str,
        /// Kind of name: `svc`, `svc.ns`, `svc.ns.svc`, `cluster_name`, `external`, `bare_host`.
        pub kind: Label,
        /// Dots in the stem, which `ndots` is compared with.
        pub dots: i32,
        /// Order in which the name as it is and the suffixes were tried: `single`, `suffixes_first`, `name_first`.
        pub walk: Label,
        /// Names tried.
        pub candidates: i32,
        /// Name tried last.
        pub last_name: &'a str,
        /// Suffix of that name.
        pub suffix: Option<&'a str>,
        /// Queries, resends included.
        pub queries: i32,
        /// Resends among them.
        pub resent_queries: i32,
        /// Queries for names tried in vain before.
        pub wasted_queries: i32,
        /// First query to the first query for the last name, microseconds.
        pub wasted_us: i64,
        /// What came of the last name: `found`, `nodata`, `nxdomain`, `truncated`, `refused`, `servfail`, `rejected`,
        /// `timeout`, `open`.
        pub answer: Label,
        /// Whether begin and end were seen.
        pub complete: bool,
        /// Whether the server walked the search list itself (autopath).
        pub autopath: bool,
        /// Resolver: `glibc`, `musl`, `go`, `c-ares`, `dig`, `forwarder`, `unknown`.
        pub resolver: Label,
        /// How sure that is, 0 to 1.
        pub resolver_confidence: f64,
        /// `ndots` of the client is at least this, if this lookup tells.
        pub ndots_least: Option<i32>,
        /// `ndots` of the client is at most this, if this lookup tells.
        pub ndots_most: Option<i32>,
    }
}

table! {
    /// What the lookups of a client that were seen whole and found their name would have cost with other settings: one
    /// row a client and setting. Times are those of its lookups.
    "dns_what_if" => pub struct DnsWhatIfRow {
        /// File of its first lookup.
        pub capture: Label,
        /// Capture point of its first lookup.
        pub point: Label,
        /// Frame of the first query of that.
        pub first_frame: i64,
        /// Time of the first lookup, nanoseconds since the epoch.
        pub ts_ns: i64,
        /// Time of the first lookup.
        pub ts: Time,
        /// Who asks.
        pub client_addr: Addr,
        /// Search list of the client, suffixes parted by spaces; lists by commas where there are several.
        pub search: String,
        /// `ndots` of the client as far as it is known.
        pub ndots: String,
        /// Resolver of most of its lookups.
        pub resolver: Label,
        /// Setting: `ndots:1` to `ndots:5`, `trailing dot`.
        pub setting: Label,
        /// Lookups replayed.
        pub lookups: i64,
        /// Queries they took, without resends.
        pub queries: i64,
        /// Queries they would have taken.
        pub queries_then: i64,
        /// Lookups that would not have found their name.
        pub broken_lookups: i64,
    }
}
