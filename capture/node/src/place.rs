//! A network namespace that is captured, and what is known of it.

use crate::links::{Link, links};
use crate::{CaptureError, Netns, Target};
use kcap_file::note::{PlaceNote, PodNote};
use std::path::PathBuf;

/// What is captured.
#[derive(Debug)]
pub struct Place {
    /// What users know it by; the interfaces of several places are told apart by it.
    pub name: String,
    /// Its network namespace.
    pub netns: Netns,
    /// Whether it is the node's.
    pub node: bool,
    /// The pod it is of.
    pub pod: Option<PodNote>,
    /// The root of a file system whose `etc/resolv.conf` is the place's.
    pub root: Option<PathBuf>,
}

impl Place {
    /// The node itself.
    pub fn node() -> Result<Self, CaptureError> {
        // As seen by a container that shares the host's processes, the node's is that of process 1.
        let netns = Netns::of_process(1).or_else(|_| Netns::own())?;
        Ok(Self { name: "node".to_owned(), netns, node: true, pod: None, root: Some(PathBuf::from("/")) })
    }

    /// A namespace by its file.
    pub fn of_file(target: &Target, path: PathBuf) -> Result<Self, CaptureError> {
        let node = Netns::own()?.inode();
        let netns = Netns::open(path)?;
        let name = target.to_string().trim_start_matches("netns/").to_owned();
        Ok(Self { node: netns.inode() == node, name, netns, pod: None, root: None })
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
        let root = Some(PathBuf::from(format!("/proc/{pid}/root")));
        Ok(Self { name: format!("pid/{pid}"), netns, node, pod: None, root })
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

    pub(crate) fn note(&self) -> PlaceNote {
        PlaceNote { name: self.name.clone(), netns: self.netns.inode(), node: self.node, pod: self.pod.clone() }
    }
}

/// When the process began, in ticks since boot: field 22 of `/proc/PID/stat`, counted behind the name, which may hold
/// anything.
fn process_start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}
