//! A network namespace that is captured, and what is known of it.

use crate::links::{Link, links};
use crate::{CaptureError, Netns, Target};
use kcap_file::NameRecord;
use kcap_file::note::{PlaceNote, PodNote};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// What is captured.
#[derive(Clone, Debug)]
pub struct Place {
    /// What users know it by; the interfaces of several places are told apart by it.
    pub name: String,
    /// Its network namespace.
    pub netns: Netns,
    /// Whether it is the node's.
    pub node: bool,
    /// The pod it is of.
    pub pod: Option<PodNote>,
    /// The file that is its processes' `/etc/resolv.conf`.
    pub resolv_conf: Option<PathBuf>,
}

impl Place {
    /// The node itself.
    pub fn node() -> Result<Self, CaptureError> {
        // As seen by a container that shares the host's processes, the node's is that of process 1.
        let netns = Netns::of_process(1).or_else(|_| Netns::own())?;
        Ok(Self { name: "node".to_owned(), netns, node: true, pod: None, resolv_conf: Some("/etc/resolv.conf".into()) })
    }

    /// A namespace by its file.
    pub fn of_file(target: &Target, path: PathBuf) -> Result<Self, CaptureError> {
        let node = Netns::own()?.inode();
        let netns = Netns::open(path)?;
        let name = target.to_string().trim_start_matches("netns/").to_owned();
        // `ip netns exec` shows its programs such a file, where there is one.
        let own = PathBuf::from("/etc/netns").join(&name).join("resolv.conf");
        let resolv_conf = if own.exists() { Some(own) } else { process_in(netns.inode()).map(resolv_conf_of) };
        Ok(Self { node: netns.inode() == node, name, netns, pod: None, resolv_conf })
    }

    /// That of a process.
    pub fn of_process(pid: u32) -> Result<Self, CaptureError> {
        let started = process_start(pid);
        let netns = Netns::of_process(pid)?;
        // The number may have gone to another process between the two looks.
        if started.is_none() || process_start(pid) != started {
            return Err(CaptureError::NoProcess { pid });
        }
        let node = Netns::own()?.inode() == netns.inode();
        Ok(Self { name: format!("pid/{pid}"), netns, node, pod: None, resolv_conf: Some(resolv_conf_of(pid)) })
    }

    /// Interfaces to capture: those asked for, or of a pod `eth0` and the like and `lo`, of a node all that are up.
    pub(crate) fn choose(&self, asked: &[String]) -> Result<Vec<Link>, CaptureError> {
        let all = self.netns.run(links)??;
        if asked.is_empty() {
            return Ok(all.into_iter().filter(|link| link.up).collect());
        }
        let find = |name: &String| {
            let found = all.iter().find(|link| link.name == *name);
            found.cloned().ok_or_else(|| CaptureError::NoInterface {
                place: self.name.clone(),
                name: name.clone(),
                known: all.iter().map(|link| link.name.clone()).collect(),
            })
        };
        asked.iter().map(find).collect()
    }

    /// Whether its network namespace is what its file stands for still. Those of processes outlive them.
    pub(crate) fn is_there(&self) -> bool {
        self.netns.path().starts_with("/proc") || self.netns.is_there()
    }

    /// The sandbox it is the network of.
    pub(crate) fn sandbox(&self) -> Option<&str> {
        self.pod.as_ref().map(|pod| pod.sandbox.as_str())
    }

    /// Names of its addresses, where it is a pod's.
    pub(crate) fn names(&self) -> Vec<NameRecord> {
        let Some(pod) = &self.pod else { return Vec::new() };
        let name = pod_name(&pod.namespace, &pod.name);
        pod.addresses.iter().map(|&address| NameRecord { address, names: vec![name.clone()] }).collect()
    }

    pub(crate) fn note(&self) -> PlaceNote {
        PlaceNote { name: self.name.clone(), netns: self.netns.inode(), node: self.node, pod: self.pod.clone() }
    }
}

/// A pod as names of addresses have it.
pub(crate) fn pod_name(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}.pod")
}

/// The `resolv.conf` that a process sees.
pub(crate) fn resolv_conf_of(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root/etc/resolv.conf"))
}

/// A process in the network namespace with that inode, as far as it may be looked at.
fn process_in(inode: u64) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.find(|pid| std::fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|found| found.ino() == inode))
}

/// When the process began, in ticks since boot: field 22 of `/proc/PID/stat`, counted behind the name, which may hold
/// anything.
fn process_start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}
