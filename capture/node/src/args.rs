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
    #[arg(long, value_name = "SOCKET", env = "CONTAINER_RUNTIME_ENDPOINT", hide_env_values = true)]
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
    /// Begin a new file at this size or after this time, or both: 100MB, 5m
    #[arg(long, value_name = "SIZE|TIME", value_delimiter = ',', value_parser = rotation)]
    pub rotate: Vec<Rotate>,
    /// Keep only this many of the rotated files
    #[arg(long, value_name = "FILES", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Rotation in tcpdump's letters.
    #[command(flatten)]
    pub letters: LetterArgs,
    /// Room that stays free on the disk, instead of 1 GiB, or 15 % where the kubelet's files are
    #[arg(long, value_name = "SIZE")]
    pub min_free: Option<Size>,
    /// Compress with zstd
    #[arg(long)]
    pub compress: bool,
    /// Memory of the ring between kernel and kcap, for each interface; for node, for all together
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = ring)]
    pub buffer: Size,
    /// Write no context: links, routes, sockets and so on, before and after
    #[arg(long)]
    pub no_context: bool,
}

/// Rotation in tcpdump's letters.
#[derive(Clone, Debug, Default, Args)]
pub struct LetterArgs {
    /// As for tcpdump: --rotate by size, in millions of bytes
    #[arg(short = 'C', value_name = "MB", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "rotate")]
    pub megabytes: Option<u32>,
    /// As for tcpdump: --rotate by time, in seconds
    #[arg(short = 'G', value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "rotate")]
    pub seconds: Option<u32>,
    /// As for tcpdump: with -C --keep that many files, with -G alone end after that many
    #[arg(short = 'W', value_name = "FILES", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "keep")]
    pub files: Option<u32>,
}

/// How a capture is cut in parts.
struct Parts {
    rotate: Vec<Rotate>,
    keep: Option<u32>,
    duration: Option<Duration>,
}

/// A default size that a forgotten capture ends at.
const FORGOTTEN: Size = Size::GIB;

impl CaptureArgs {
    /// The plan of a capture; its targets are to be set.
    pub fn plan(&self, filter: &FilterArgs, program: &str) -> Result<Plan, CaptureError> {
        let destination = destination(self.write.as_deref())?;
        let parts = self.parts()?;
        let bounded = self.max_size.is_some() || parts.keep.is_some() || destination == Destination::Stdout;
        let limits = Limits {
            duration: parts.duration,
            count: self.count,
            size: if bounded { self.max_size } else { Some(FORGOTTEN) },
            min_free: self.min_free,
            stdin: false,
        };
        if destination == Destination::Stdout && !parts.rotate.is_empty() {
            return Err(CaptureError::Usage("standard output cannot be rotated"));
        }
        let output = Output {
            destination,
            name: String::new(),
            rotate: parts.rotate,
            keep: parts.keep.map(|keep| keep as usize),
            compress: self.compress,
        };
        Ok(Plan {
            targets: Vec::new(),
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

impl CaptureArgs {
    /// tcpdump's letters in the words of kcap, where they were used.
    pub fn translation(&self) -> Option<String> {
        let LetterArgs { megabytes, seconds, files } = &self.letters;
        let typed = [("-C", megabytes), ("-G", seconds), ("-W", files)];
        let typed: Vec<String> =
            typed.iter().filter_map(|(letter, value)| value.map(|value| format!("{letter} {value}"))).collect();
        let rotate: Vec<String> = megabytes
            .map(|megabytes| format!("{megabytes}MB"))
            .into_iter()
            .chain(seconds.map(|seconds| format!("{seconds}s")))
            .collect();
        let rest = match (megabytes, seconds, files) {
            (Some(_), _, Some(files)) => format!(" --keep {files}"),
            (None, Some(seconds), Some(files)) => format!(" --duration {}s", u64::from(*seconds) * u64::from(*files)),
            _ => String::new(),
        };
        (!rotate.is_empty()).then(|| format!("{} is --rotate {}{rest}", typed.join(" "), rotate.join(",")))
    }

    fn parts(&self) -> Result<Parts, CaptureError> {
        let LetterArgs { megabytes, seconds, files } = self.letters;
        let size = megabytes.map(|megabytes| Rotate::Size(Size(u64::from(megabytes) * 1_000_000)));
        let time = seconds.map(|seconds| Rotate::Time(Duration::from_secs(seconds.into())));
        let rotate: Vec<Rotate> = self.rotate.iter().copied().chain(size).chain(time).collect();
        let mut parts = Parts { rotate, keep: self.keep, duration: self.duration };
        match (megabytes, seconds, files) {
            (None, None, Some(_)) => return Err(CaptureError::Usage("-W goes with -C or -G")),
            (None, Some(seconds), Some(files)) => {
                let all = Duration::from_secs(u64::from(seconds) * u64::from(files));
                parts.duration = Some(self.duration.map_or(all, |duration| duration.min(all)));
            }
            _ => parts.keep = parts.keep.or(files),
        }
        if parts.keep.is_some() && parts.rotate.is_empty() {
            return Err(CaptureError::Usage("--keep goes with --rotate: it says how many files stay"));
        }
        Ok(parts)
    }
}

fn destination(path: Option<&Path>) -> Result<Destination, CaptureError> {
    match path {
        None => Ok(Destination::Folder(PathBuf::new())),
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
        Some(path) if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            Ok(Destination::Folder(path.to_owned()))
        }
        Some(path) => Ok(Destination::File(path.to_owned())),
    }
}

/// Largest ring. It is memory of the kernel's that is never swapped.
const MAX_RING: Size = Size::GIB;

fn ring(text: &str) -> Result<Size, String> {
    match text.parse() {
        Ok(size) if size > MAX_RING => Err(format!("a ring takes {MAX_RING} of the kernel's memory at most")),
        parsed => parsed.map_err(|error: crate::UnitError| error.to_string()),
    }
}

fn rotation(text: &str) -> Result<Rotate, String> {
    let by_time = text.ends_with(['s', 'h', 'd']) || text.ends_with('m');
    let parsed = if by_time { duration(text).map(Rotate::Time) } else { text.parse().map(Rotate::Size) };
    match parsed {
        Ok(Rotate::Size(Size(0))) => Err("a file of no bytes holds no packet".to_owned()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_by_size_or_time() {
        assert_eq!(rotation("100MB"), Ok(Rotate::Size(Size(100_000_000))));
        assert_eq!(rotation("5m"), Ok(Rotate::Time(Duration::from_mins(5))));
        assert_eq!(rotation("10M"), Ok(Rotate::Size(Size(10 << 20))));
        assert!(rotation("often").is_err() && rotation("0").is_err());
        assert!(ring("1GiB").is_ok() && ring("2GiB").is_err());
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        capture: CaptureArgs,
    }

    fn parts(line: &str) -> (CaptureArgs, Result<Parts, CaptureError>) {
        let args = <Line as clap::Parser>::try_parse_from(line.split(' ')).unwrap().capture;
        let parts = args.parts();
        (args, parts)
    }

    #[test]
    fn tcpdump_s_letters_are_understood() {
        let (args, found) = parts("kcap -C 100 -W 5");
        let found = found.unwrap();
        assert_eq!((found.rotate, found.keep), (vec![Rotate::Size(Size(100_000_000))], Some(5)));
        assert_eq!(args.translation().unwrap(), "-C 100 -W 5 is --rotate 100MB --keep 5");
        // With -G alone, -W is when to end.
        let (args, found) = parts("kcap -G 60 -W 5");
        let found = found.unwrap();
        assert_eq!(found.rotate, [Rotate::Time(Duration::from_mins(1))]);
        assert_eq!((found.keep, found.duration), (None, Some(Duration::from_mins(5))));
        assert_eq!(args.translation().unwrap(), "-G 60 -W 5 is --rotate 60s --duration 300s");
        let (_, found) = parts("kcap -C 1 -G 60 -W 2");
        assert_eq!(found.map(|found| (found.rotate.len(), found.keep)).unwrap(), (2, Some(2)));
        assert!(parts("kcap -W 5").1.is_err_and(|error| error.is_usage()));
        assert!(parts("kcap --keep 5").1.is_err_and(|error| error.is_usage()));
        let (args, found) = parts("kcap --rotate 100MB,5m --keep 3");
        assert_eq!((args.translation(), found.unwrap().rotate.len()), (None, 2));
    }
}
