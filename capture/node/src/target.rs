//! What to capture, as people say it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where `ip netns` keeps its names.
pub(crate) const NETNS_FOLDER: &str = "/run/netns";

/// A target of the command line.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// A pod of this node by its exact name.
    Pod(String),
    /// A container by its identifier, or the beginning of it.
    Container(String),
    /// The node itself.
    Node,
    /// A network namespace by the file that stands for it.
    Netns(PathBuf),
    /// The network namespace of a process.
    Process(u32),
}

/// Why a target is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not one of the forms.
    #[error("{0:?} is no target: NAME, pod/NAME, container/ID, netns/NAME, pid/N or node")]
    Form(String),
    /// A type that is none, or not one that a node knows.
    #[error("unknown target type {kind:?} in {text:?}")]
    Type {
        /// What stands before the slash.
        kind: String,
        /// All of it.
        text: String,
    },
    /// A namespace that cannot be one.
    #[error("{0:?} is no namespace")]
    Namespace(String),
    /// No pod of that name runs on this node.
    #[error("no pod {name:?} in namespace {namespace:?} on this node")]
    NoPod {
        /// The name asked for.
        name: String,
        /// The namespace.
        namespace: String,
        /// Pods that may have been meant, as `namespace/name`.
        candidates: Vec<String>,
    },
    /// No pod has the labels.
    #[error("no pod on this node has the labels {0:?}")]
    NoMatch(String),
    /// Labels that cannot be asked for.
    #[error("{0:?} is no list of labels: app=api,tier=web")]
    Selector(String),
    /// Several pods fit.
    #[error("{asked} fits {} pods: {}", pods.len(), pods.join(", "))]
    Several {
        /// What was asked for.
        asked: String,
        /// The pods.
        pods: Vec<String>,
    },
    /// No container of that identifier or name.
    #[error("no container {name:?}{}", known(candidates))]
    NoContainer {
        /// What was asked for.
        name: String,
        /// Containers there are.
        candidates: Vec<String>,
    },
    /// The pod has the node's network.
    #[error("pod {0} has no network of its own: it shares the node's")]
    HostNetwork(String),
    /// The pod's sandbox is not running.
    #[error("pod {0} is not running")]
    NotRunning(String),
    /// The runtime does not say where the namespace is.
    #[error("the container runtime does not say where the network namespace of pod {0} is")]
    NoNamespace(String),
}

fn known(candidates: &[String]) -> String {
    if candidates.is_empty() { String::new() } else { format!("; there is {}", candidates.join(", ")) }
}

impl TargetError {
    /// Whether what was typed cannot be right, whatever runs.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Type { .. } | Self::Namespace(_) | Self::Selector(_))
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Type { kind, text } => type_hint(kind, text),
            Self::Namespace(name) if name == "n" => "kcap never does reverse DNS; -n is the namespace".to_owned(),
            Self::Namespace(name) if name.contains('/') => {
                "kcap never does reverse DNS; -n is the namespace, as in -n prod pod/api".to_owned()
            }
            Self::NoPod { candidates, .. } if candidates.is_empty() => {
                "`kcap targets` lists the pods of this node; --wait waits until it starts".to_owned()
            }
            Self::NoPod { candidates, .. } => format!(
                "did you mean {}? a part of a name is never taken for it; --all-pods takes all of these, --first the first",
                candidates.join(", ")
            ),
            Self::Several { .. } => "name one, or take all with --all-pods or the first with --first".to_owned(),
            Self::HostNetwork(_) => {
                "--host-network captures all of the node's traffic; narrow it with -p or --host".to_owned()
            }
            Self::Selector(_) => "a node's runtime knows labels by equality only: no !=, in or exists".to_owned(),
            Self::NotRunning(_) => "--wait captures from its first packet on".to_owned(),
            Self::NoNamespace(_) => "a running container of the pod has it: pid/N with its process".to_owned(),
            Self::NoContainer { name, .. } if name.bytes().all(|b| b.is_ascii_digit()) => {
                format!("-c is the container; to stop after {name} packets use --count {name}")
            }
            Self::NoContainer { candidates, .. } if candidates.is_empty() => "-c is a container of a pod".to_owned(),
            _ => return None,
        })
    }
}

fn type_hint(kind: &str, text: &str) -> String {
    let name = text.split_once('/').map_or("", |(_, name)| name);
    match kind {
        "deploy" | "deployment" | "sts" | "statefulset" | "ds" | "daemonset" | "job" | "rs" | "replicaset" | "svc"
        | "service" => {
            format!("a node knows pods only: name one, or take all of its labels with -l, as in -l app={name}")
        }
        _ => format!("did you mean -n {kind} pod/{name}?"),
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form(text.to_owned());
        let Some((kind, name)) = text.split_once('/') else { return bare(text).ok_or_else(form) };
        match kind {
            "pod" | "po" | "pods" if is_name(name) => Ok(Self::Pod(name.to_owned())),
            "container" if is_name(name) => Ok(Self::Container(name.to_owned())),
            "netns" if name.starts_with('/') => Ok(Self::Netns(name.into())),
            "netns" if !name.is_empty() && !name.contains('/') && name != ".." => {
                Ok(Self::Netns(PathBuf::from(NETNS_FOLDER).join(name)))
            }
            "pid" => name.parse().map(Self::Process).map_err(|_| form()),
            "pod" | "po" | "pods" | "container" | "netns" => Err(form()),
            _ => Err(TargetError::Type { kind: kind.to_owned(), text: text.to_owned() }),
        }
    }
}

fn bare(text: &str) -> Option<Target> {
    match text {
        "node" => Some(Target::Node),
        name => is_name(name).then(|| Target::Pod(name.to_owned())),
    }
}

/// A DNS-1123 subdomain, as names of pods are. Identifiers of containers are too.
pub(crate) fn is_name(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(fine)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => write!(f, "pod/{name}"),
            Self::Container(id) => write!(f, "container/{id}"),
            Self::Node => f.write_str("node"),
            Self::Netns(path) => match path.strip_prefix(NETNS_FOLDER) {
                Ok(name) => write!(f, "netns/{}", name.display()),
                Err(_) => write!(f, "netns/{}", path.display()),
            },
            Self::Process(pid) => write!(f, "pid/{pid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_shown() {
        for text in ["pod/api-7d9", "container/ab12", "node", "netns/blue", "netns//var/run/x/net", "pid/17"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("api".parse(), Ok(Target::Pod("api".to_owned())));
        assert_eq!("po/api".parse(), Ok(Target::Pod("api".to_owned())));
        assert_eq!("netns/blue".parse(), Ok(Target::Netns("/run/netns/blue".into())));
    }

    #[test]
    fn nonsense_is_refused_with_what_was_meant() {
        for text in ["", "/", "pod/", "pod/a/b", "netns/", "netns/..", "netns/a/b", "pid/x", "pid/-1", "API", "a b"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        let error = "kube-system/coredns".parse::<Target>().unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean -n kube-system pod/coredns?");
        assert!("deploy/api".parse::<Target>().unwrap_err().hint().unwrap().contains("-l app=api"));
    }
}
