//! The report: what analysis says about captures. Its JSON form is a contract, `kcap.report/1`.

mod summary;

pub use summary::{Between, Cluster, ConnectionCounts, Range, Summary, Talker, TunnelSummary};

use serde::Serialize;
use std::collections::BTreeMap;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Severity {
    /// Good to know.
    Info,
    /// Costs time or will cost it.
    Warning,
    /// Something does not work.
    Error,
    /// Nothing of its kind works.
    Critical,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// Name in reports and arguments.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl Role {
    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Service => "service",
            Self::Endpoint => "endpoint",
            Self::Node => "node",
            Self::Resolver => "resolver",
            Self::Vtep => "vtep",
            Self::Hop => "hop",
        }
    }
}

/// What part somebody plays in a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Role {
    /// Who asks.
    Client,
    /// Who answers.
    Server,
    /// A virtual address in front of endpoints.
    Service,
    /// One of a service's servers.
    Endpoint,
    /// A machine of the cluster.
    Node,
    /// A DNS server.
    Resolver,
    /// An end of a tunnel.
    Vtep,
    /// A router or other box on the way.
    Hop,
}

/// Somebody a finding is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subject {
    /// Part played.
    pub role: Role,
    /// Address, with the port where it matters.
    pub address: String,
    /// Name, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Frames that show it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// Capture file.
    pub file: String,
    /// Frame numbers as Wireshark shows them, ascending, a few.
    pub frames: Vec<u64>,
    /// Wireshark display filter that shows all of them.
    pub filter: String,
}

/// Another explanation and why it is not this one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RuledOut {
    /// Code of the other finding.
    pub code: String,
    /// The test that excluded it.
    pub because: String,
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fix {
    /// In words.
    pub text: String,
    /// Commands to run, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// A manifest to apply or adapt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yaml: Option<String>,
}

/// A judgement with its evidence.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// Code of the catalogue, never reused.
    pub code: &'static str,
    /// Code in words.
    pub slug: &'static str,
    /// How bad it is here.
    pub severity: Severity,
    /// How sure, 0 to 1.
    pub confidence: f64,
    /// One line.
    pub title: String,
    /// Whom it is about.
    pub subjects: Vec<Subject>,
    /// First frame's time, RFC 3339.
    pub first: String,
    /// Last frame's time, RFC 3339.
    pub last: String,
    /// What was counted, by name.
    pub counts: BTreeMap<&'static str, i64>,
    /// Frames.
    pub evidence: Vec<Evidence>,
    /// What happened and how that follows from the packets.
    pub explanation: String,
    /// Alternatives excluded.
    pub ruled_out: Vec<RuledOut>,
    /// What of the capture weakens the judgement.
    pub limits: Vec<String>,
    /// What to do.
    pub fix: Fix,
    /// Where to capture next, when this vantage cannot decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_next: Option<String>,
}

/// A capture file in the report.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CaptureSummary {
    /// File as named by the user.
    pub file: String,
    /// `pcap`, `pcap-ns`, `pcap-modified`, `pcapng`.
    pub format: String,
    /// `gzip`, `zstd` or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Frames.
    pub packets: i64,
    /// Bytes of frames on the wire.
    pub bytes: i64,
    /// Time of the first frame, RFC 3339.
    pub first: Option<String>,
    /// Time of the last frame.
    pub last: Option<String>,
    /// Capture points.
    pub points: Vec<String>,
    /// Whether the file was read to its proper end.
    pub complete: bool,
    /// What was wrong with the file.
    pub problems: Vec<String>,
}

/// State of one rung of the ladder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Rung {
    /// Seen, and it works.
    Ok,
    /// Works in part.
    Degraded,
    /// Does not work.
    Broken,
    /// Nothing in the capture tells.
    #[default]
    NotSeen,
}

/// The order in which to look for trouble.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ladder {
    /// Names resolve.
    pub dns: Rung,
    /// Services have live endpoints.
    pub endpoints: Rung,
    /// Pods reach pods by address.
    pub pod_ip: Rung,
    /// Policies let it pass.
    pub policy: Rung,
    /// Nodes reach nodes through the overlay.
    pub overlay: Rung,
    /// Full-size packets pass.
    pub mtu: Rung,
    /// TCP connections work.
    pub tcp: Rung,
}

/// How much of a table was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TableSummary {
    /// Rows.
    pub rows: i64,
}

/// One packet of the connection asked for.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoryLine {
    /// Capture file.
    pub file: String,
    /// Frame number.
    pub frame: u64,
    /// RFC 3339.
    pub time: String,
    /// Seconds since the connection's first packet.
    pub offset_s: f64,
    /// Sender, address and port.
    pub from: String,
    /// What the packet says and what it means for the connection.
    pub text: String,
}

/// Everything analysis says, the object that `-o json` prints.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// `kcap.report/1`.
    pub schema: &'static str,
    /// Files read.
    pub captures: Vec<CaptureSummary>,
    /// Findings, worst first.
    pub findings: Vec<Finding>,
    /// What was captured.
    pub summary: Summary,
    /// DNS, endpoints, pod address, policy, overlay, MTU, TCP.
    pub ladder: Ladder,
    /// The connection asked for, packet by packet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub story: Vec<StoryLine>,
    /// What these captures cannot tell.
    pub not_judged: Vec<String>,
    /// Tables by name.
    pub tables: BTreeMap<&'static str, TableSummary>,
    /// Caps that were reached: what is partial, and by how much.
    pub limits_hit: Vec<String>,
}

/// A noun for several: "packets", "queries", "addresses".
pub fn plural(noun: &str) -> String {
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o']) => format!("{stem}ies"),
        _ if noun.ends_with('s') => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

impl Report {
    /// Version of the JSON contract.
    pub const SCHEMA: &'static str = "kcap.report/1";
}
