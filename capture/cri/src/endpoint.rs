//! Where the runtime's socket is.

use crate::RuntimeError;
use std::path::{Path, PathBuf};

/// Sockets of the runtimes of Kubernetes' distributions, most common first.
pub const KNOWN_SOCKETS: [&str; 6] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
];
/// What `crictl` reads.
const CRICTL_CONFIG: &str = "/etc/crictl.yaml";

/// Sockets to try, in order: the one asked for alone, else the one that `crictl` is set up for alone, else those known.
pub fn endpoints(asked: Option<&str>) -> Result<Vec<PathBuf>, RuntimeError> {
    let configured = || std::fs::read_to_string(CRICTL_CONFIG).ok().and_then(|text| configured(&text));
    match asked.map(str::to_owned).or_else(configured) {
        Some(endpoint) => Ok(vec![socket(&endpoint)?]),
        None => Ok(KNOWN_SOCKETS.iter().map(PathBuf::from).collect()),
    }
}

/// The path of `unix:///path`, `unix:/path` or `/path`.
fn socket(endpoint: &str) -> Result<PathBuf, RuntimeError> {
    let path = endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix("unix:")).unwrap_or(endpoint);
    if Path::new(path).is_absolute() { Ok(path.into()) } else { Err(RuntimeError::Endpoint(endpoint.to_owned())) }
}

/// `runtime-endpoint` of a `crictl.yaml`, which is flat.
fn configured(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.trim().strip_prefix("runtime-endpoint:")?;
        let value = value.split(" #").next()?.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_sockets() {
        for text in ["unix:///run/x.sock", "unix:/run/x.sock", "/run/x.sock"] {
            assert_eq!(endpoints(Some(text)).unwrap(), [PathBuf::from("/run/x.sock")]);
        }
        for text in ["tcp://localhost:1", "run/x.sock", "npipe:////./pipe/x", ""] {
            assert!(matches!(endpoints(Some(text)), Err(RuntimeError::Endpoint(_))), "{text}");
        }
    }

    #[test]
    fn crictl_s_setting_is_found() {
        let text =
            "# x\nimage-endpoint: unix:///a\nruntime-endpoint: \"unix:///run/crio/crio.sock\" # CRI-O\ntimeout: 2\n";
        assert_eq!(configured(text).as_deref(), Some("unix:///run/crio/crio.sock"));
        assert_eq!(configured("runtime-endpoint: \"\"\n"), None);
        assert_eq!(configured(""), None);
    }
}
