use super::ReportArgs;
use super::value::{Connection, Moment, bytes, compat, decode_as, host};
use clap::{Args, builder::PossibleValuesParser};
use kcap_analyze::{Addr, Compat, wire::DecodeAs};
use std::path::PathBuf;

/// Say what is wrong in capture files
///
/// Reads pcap and pcapng files, plain, gzip or zstd, and folders of them; parts of a rotated capture are joined. What is
/// inside VXLAN, Geneve, GRE, IPIP and other tunnels is analysed at any depth.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but part of the input is missing (torn or unreadable files,
/// memory limits), 4 found what --fail-on names, 65 no input is a capture, 77 not permitted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kcap analyze trace.pcapng
  kcap analyze client.pcap server.pcap.gz --host 10.244.1.10
  tcpdump -i any -w - | kcap analyze -
  kcap analyze rotated/ -O tables -- tcp port 5432")]
pub(crate) struct AnalyzeArgs {
    /// Capture files, folders of them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    /// Also say which files of a folder were passed over
    #[arg(short, long, conflicts_with = "quiet", help_heading = "Output")]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) restrict: RestrictArgs,
    /// Take a UDP port for a tunnel, as in udp/8473=vxlan (repeatable)
    #[arg(long, value_name = "udp/PORT=TUNNEL", value_parser = decode_as, help_heading = "Analysis")]
    pub(crate) decode_as: Vec<DecodeAs>,
    /// Name addresses by what kubectl get nodes,pods,services,endpoints,endpointslices -A -o json says
    #[arg(long, value_name = "FILE", help_heading = "Analysis")]
    pub(crate) kube_objects: Option<PathBuf>,
    /// Believe what conntrack -L, -E or -S, or /proc/net/nf_conntrack, says about translations (repeatable)
    #[arg(long, value_name = "FILE", help_heading = "Analysis")]
    pub(crate) conntrack: Vec<PathBuf>,
    /// Threads, by default two where there are two processors; the result does not depend on it
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        help_heading = "Analysis"
    )]
    pub(crate) threads: Option<u16>,
    /// Memory that connections and fragments may take; what does not fit is counted
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "512M", help_heading = "Analysis")]
    pub(crate) memory: u64,
}

/// Tables.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct TableArgs {
    /// Write tables to this folder, which is new or empty
    #[arg(short = 'O', long = "tables", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Format of the tables
    #[arg(long, requires = "dir", value_name = "FORMAT", default_value = kcap_report::FORMATS[0].name,
        value_parser = PossibleValuesParser::new(kcap_report::FORMATS.iter().map(table_format)))]
    pub(crate) format: String,
    /// Replace the tables that are in the folder
    #[arg(long, requires = "dir")]
    pub(crate) overwrite: bool,
    /// Also write a row for every packet; takes about twice the time
    #[arg(long, requires = "dir")]
    pub(crate) packets: bool,
    /// Also write tcp.analysis flags as another program sets them (table tcp_compat)
    #[arg(long, requires = "dir", value_name = "PROGRAM", value_parser = compat())]
    pub(crate) compat: Option<Compat>,
}

fn table_format(format: &kcap_report::Format) -> clap::builder::PossibleValue {
    clap::builder::PossibleValue::new(format.name).help(format.doc)
}

/// Which packets.
#[derive(Debug, Args)]
#[command(next_help_heading = "Packets to analyse (all that are given must hold)")]
pub(crate) struct RestrictArgs {
    /// From this time on: RFC 3339, or +30s after the first packet
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Innermost source or destination address, any of these
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',', value_parser = host)]
    pub(crate) host: Vec<Addr>,
    /// Innermost source or destination port, any of these
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Vec<u16>,
    /// One connection, told packet by packet: `10.0.0.1:4000-10.0.0.2:80`, IPv6 as `[fd00::1]:4000-[fd00::2]:80`
    #[arg(long, value_name = "A:PORT-B:PORT", value_parser = str::parse::<Connection>)]
    pub(crate) connection: Option<Connection>,
    /// Filter expression as for tcpdump, on the outer packet
    #[arg(last = true, value_name = "BPF")]
    pub(crate) bpf: Vec<String>,
}
