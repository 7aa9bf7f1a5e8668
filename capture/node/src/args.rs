//! The options of a capture, for whichever program takes them.

use crate::filter::Wanted;
use crate::record::{Destination, Output, Rotate};
use crate::session::{Limits, Plan};
use crate::{CaptureError, Size, duration};
use clap::Args;
use kcap_filter::{Net, PortRange, Protocol, Spec};
use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// libpcap's own limit.
const SNAPLEN: u32 = 262_144;
/// Enough for the headers of a packet in a tunnel: Ethernet, IPv6, UDP, VXLAN, Ethernet, IPv6, TCP with options.
const HEADERS: u32 = 192;

/// Which packets.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Packets")]
pub struct FilterArgs {
    /// Only these ports, also inside tunnels: 5432, 80,443, 8000-8100, udp/53
    #[arg(short, long = "port", value_name = "PORT", value_delimiter = ',')]
    pub ports: Vec<PortRange>,
    /// Only packets from or to this address, also inside tunnels
    #[arg(long = "host", value_name = "ADDRESS", value_delimiter = ',')]
    pub hosts: Vec<IpAddr>,
    /// Only packets from or to this network, as in 10.0.0.0/8
    #[arg(long = "net", value_name = "NETWORK", value_delimiter = ',')]
    pub nets: Vec<Net>,
    /// Only this protocol: tcp, udp, sctp, icmp, icmp6, arp or a number
    #[arg(long = "proto", value_name = "PROTOCOL", value_delimiter = ',')]
    pub protocols: Vec<Protocol>,
    /// Do not look inside VXLAN, Geneve, GRE, IP in IP and ICMP errors
    #[arg(long)]
    pub no_inner: bool,
    /// Filter expression in tcpdump's language; also as -- EXPRESSION at the end
    #[arg(short = 'f', long = "filter", value_name = "EXPRESSION")]
    pub expression: Option<String>,
    /// Bytes to keep of each packet
    #[arg(short, long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=i64::from(SNAPLEN)))]
    pub snaplen: Option<u32>,
    /// Keep headers only: the first 192 bytes
    #[arg(long, conflicts_with = "snaplen")]
    pub headers_only: bool,
    /// Filter expression in tcpdump's language
    #[arg(last = true, value_name = "EXPRESSION", conflicts_with = "expression")]
    pub bpf: Vec<String>,
}

impl FilterArgs {
    /// What they ask for.
    pub fn wanted(&self) -> Wanted {
        let trailing = (!self.bpf.is_empty()).then(|| self.bpf.join(" "));
        Wanted {
            spec: Spec {
                ports: self.ports.clone(),
                hosts: self.hosts.clone(),
                nets: self.nets.clone(),
                protocols: self.protocols.clone(),
                except: Vec::new(),
            },
            expression: self.expression.clone().or(trailing).filter(|text| !text.trim().is_empty()),
            snaplen: self.snaplen.unwrap_or(if self.headers_only { HEADERS } else { SNAPLEN }),
            inside: !self.no_inner,
        }
    }
}

/// Which pods, on which runtime.
#[allow(clippy::struct_excessive_bools, reason = "switches of the command line")]
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Pods")]
pub struct PodArgs {
    /// Namespace of the pods
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Labels of the pods, as in app=api,tier=web
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// The pod that has this container
    #[arg(short, long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// Take all pods whose names begin with the name
    #[arg(long, conflicts_with = "first")]
    pub all_pods: bool,
    /// Take the first of several pods
    #[arg(long)]
    pub first: bool,
    /// Capture pods that share the node's network: all of the node's traffic
    #[arg(long)]
    pub host_network: bool,
    /// Wait for pods that have not started, and capture from their first packet on
    #[arg(long)]
    pub wait: bool,
    /// Socket of the container runtime
    #[arg(long, value_name = "SOCKET", env = "CONTAINER_RUNTIME_ENDPOINT")]
    pub runtime_endpoint: Option<String>,
}

/// Where packets go and when it ends.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Capture")]
pub struct CaptureArgs {
    /// Interface; all that are up when left out
    #[arg(short, long = "interface", value_name = "INTERFACE", value_delimiter = ',')]
    pub interfaces: Vec<String>,
    /// File or folder to write to, or - for standard output
    #[arg(short, long, value_name = "FILE|DIR|-")]
    pub write: Option<PathBuf>,
    /// End after this time: 30s, 5m
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// End after this many packets
    #[arg(long, value_name = "PACKETS", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End at this size; 1GiB when neither this nor --rotate with --keep is given and a file is written
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// Begin a new file at this size or after this time: 100MB, 5m
    #[arg(long, value_name = "SIZE|TIME", value_parser = rotation)]
    pub rotate: Option<Rotate>,
    /// Keep only this many of the rotated files
    #[arg(long, value_name = "FILES", requires = "rotate", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Room that stays free on the disk, instead of 1 GiB, or 15 % where the kubelet's files are
    #[arg(long, value_name = "SIZE")]
    pub min_free: Option<Size>,
    /// Compress with zstd
    #[arg(long)]
    pub compress: bool,
    /// Memory of the ring between kernel and kcap, for each interface; for node, for all together
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub buffer: Size,
    /// Write no context: links, routes, sockets and so on, before and after
    #[arg(long)]
    pub no_context: bool,
}

/// A default size that a forgotten capture ends at.
const FORGOTTEN: Size = Size::GIB;

impl CaptureArgs {
    /// The plan for a capture of these targets.
    pub fn plan(&self, targets: Vec<String>, filter: &FilterArgs, program: &str) -> Result<Plan, CaptureError> {
        let destination = destination(self.write.as_deref())?;
        let bounded = self.max_size.is_some() || self.keep.is_some() || destination == Destination::Stdout;
        let limits = Limits {
            duration: self.duration,
            count: self.count,
            size: if bounded { self.max_size } else { Some(FORGOTTEN) },
            min_free: self.min_free,
            stdin: false,
        };
        if destination == Destination::Stdout && self.rotate.is_some() {
            return Err(CaptureError::Usage("standard output cannot be rotated"));
        }
        let output = Output {
            destination,
            name: file_stem(&targets),
            rotate: self.rotate,
            keep: self.keep.map(|keep| keep as usize),
            compress: self.compress,
        };
        Ok(Plan {
            targets,
            interfaces: self.interfaces.clone(),
            wanted: filter.wanted(),
            buffer: self.buffer,
            output,
            limits,
            context: !self.no_context,
            drop_privileges: true,
            names: Vec::new(),
            program: program.to_owned(),
        })
    }
}

fn destination(path: Option<&Path>) -> Result<Destination, CaptureError> {
    match path {
        None => Ok(Destination::Folder(PathBuf::from("."))),
        Some(path) if path == Path::new("-") => {
            if std::io::stdout().is_terminal() {
                Err(CaptureError::Terminal)
            } else {
                Ok(Destination::Stdout)
            }
        }
        Some(path) if path.extension().is_some_and(|end| end == "json" || end == "html") => {
            Err(CaptureError::Usage("packets go to -w, as pcapng; reports go to -o"))
        }
        Some(path) if path.is_dir() => Ok(Destination::Folder(path.to_owned())),
        Some(path) => Ok(Destination::File(path.to_owned())),
    }
}

/// A file name of what is captured.
fn file_stem(targets: &[String]) -> String {
    let first = targets.first().map_or("kcap", String::as_str);
    let name = first.strip_prefix("pod/").unwrap_or(first).trim_matches('/');
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' }).collect();
    let plain = plain.trim_start_matches(['.', '-']).to_owned();
    if targets.len() > 1 { format!("{plain}-and-{}-more", targets.len() - 1) } else { plain }
}

fn rotation(text: &str) -> Result<Rotate, String> {
    let by_time = text.ends_with(['s', 'h', 'd']) || text.ends_with('m');
    let parsed = if by_time { duration(text).map(Rotate::Time) } else { text.parse().map(Rotate::Size) };
    parsed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_by_size_or_time() {
        assert_eq!(rotation("100MB"), Ok(Rotate::Size(Size(100_000_000))));
        assert_eq!(rotation("5m"), Ok(Rotate::Time(Duration::from_mins(5))));
        assert_eq!(rotation("10M"), Ok(Rotate::Size(Size(10 << 20))));
        assert!(rotation("often").is_err());
    }

    #[test]
    fn files_are_named_after_targets() {
        assert_eq!(file_stem(&["pod/api-1".to_owned()]), "api-1");
        assert_eq!(file_stem(&["netns//var/run/x".to_owned()]), "netns--var-run-x");
        assert_eq!(file_stem(&["node".to_owned(), "pid/3".to_owned()]), "node-and-1-more");
    }
}
