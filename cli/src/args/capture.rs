use super::ReportArgs;
use super::value::code;
use clap::{Args, Subcommand};
use kcap_node::{CaptureArgs, FilterArgs, PodArgs, duration};
use std::time::Duration;

/// Capture packets on this node, then say what is wrong; `kcap TARGET` for short
///
/// Needs root, or CAP_SYS_ADMIN and CAP_NET_RAW.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but packets are missing, 4 found what --fail-on names, 77 not
/// permitted, 130 interrupted before the first packet.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kcap pod/api-7d9f -n prod -p 5432
  kcap -l app=api -d 30s -w captures/
  kcap pod/api-7d9f -w - | wireshark -k -i -
  kcap node -p 4789 --rotate 100MB --keep 10
  kcap pod/api-7d9f --stop-on connect-timeout,DNS004 --rotate 1m --keep 5
  kcap netns/blue pid/4711 -- icmp or port 53")]
pub(crate) struct CaptureCommand {
    /// pod/NAME, NAME, container/ID, netns/NAME, netns/PATH, pid/N, node
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Do not analyse what was captured
    #[arg(long, help_heading = "Capture")]
    pub(crate) no_analyze: bool,
    /// End when one of these is found in what was captured, by code or name; looks at each finished file, every 30s
    /// unless --rotate says otherwise
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = code, help_heading = "Capture")]
    pub(crate) stop_on: Vec<&'static str>,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    #[command(flatten)]
    pub(crate) pods: PodArgs,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) capture: CaptureArgs,
}

/// List what can be captured on this node: its pods, itself, its network namespaces with names.
#[derive(Debug, Args)]
pub(crate) struct TargetsArgs {
    /// Only pods of this namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Of all namespaces; the default
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    #[allow(dead_code, reason = "typed out of habit, and what happens anyway")]
    pub(crate) all_namespaces: bool,
    /// Socket of the container runtime
    #[arg(long, value_name = "SOCKET", env = "CONTAINER_RUNTIME_ENDPOINT", hide_env_values = true)]
    pub(crate) runtime_endpoint: Option<String>,
}

/// What the filter of a capture becomes.
#[derive(Debug, Args)]
pub(crate) struct FilterCommand {
    #[command(subcommand)]
    pub(crate) what: FilterWhat,
}

/// What is done with a filter.
#[derive(Debug, Subcommand)]
pub(crate) enum FilterWhat {
    /// Print the program that the kernel would run
    Explain(Box<ExplainFilterArgs>),
}

/// Print the program that the kernel would run.
#[derive(Debug, Args)]
pub(crate) struct ExplainFilterArgs {
    /// For an interface without Ethernet headers, as tun and ipip are
    #[arg(long)]
    pub(crate) no_ethernet: bool,
    /// For a loopback interface
    #[arg(long)]
    pub(crate) loopback: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Show the connections that the node tracks for a target, and its counters.
#[derive(Debug, Args)]
pub(crate) struct ConntrackArgs {
    /// pod/NAME, NAME, container/ID, netns/NAME, netns/PATH, pid/N, node
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Show what changes in this time as well: 10s, 1m
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    #[command(flatten)]
    pub(crate) pods: PodArgs,
}
