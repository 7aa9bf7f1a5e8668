//! On what `crictl` printed on real nodes: containerd 1.6 and 2.2, CRI-O 1.34.

use super::*;
use serde_json::Value;

/// A recorded answer; `tests/crictl` says how they were taken.
fn recorded<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/crictl/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn pods_are_listed() {
    for name in ["crictl_pods", "crictl_pods_containerd2", "crictl_pods_crio"] {
        let found = sandboxes(recorded(name));
        let raw: Value = recorded(name);
        assert_eq!(found.len(), raw["items"].as_array().unwrap().len(), "{name}");
        for sandbox in &found {
            assert_eq!(sandbox.labels["io.kubernetes.pod.name"], sandbox.name, "{name}");
            assert_eq!(sandbox.labels["io.kubernetes.pod.namespace"], sandbox.namespace, "{name}");
            assert!(sandbox.created_ns > 1_700_000_000_000_000_000, "{name}");
        }
        assert!(found.iter().any(|sandbox| sandbox.ready), "{name}");
    }
}

#[test]
fn a_pod_s_namespace_is_found_on_every_runtime() {
    for (name, has_pid, addresses) in [
        ("crictl_inspectp", true, 1),
        ("crictl_inspectp_containerd2", true, 1),
        ("crictl_inspectp_dual", true, 2),
        // CRI-O runs no process for the sandbox alone.
        ("crictl_inspectp_crio", false, 1),
    ] {
        let found = network(recorded(name));
        assert!(found.ready && !found.host, "{name}");
        assert!(found.netns.as_ref().unwrap().starts_with("/var/run/netns"), "{name}");
        assert_eq!(found.pid.is_some(), has_pid, "{name}");
        assert_eq!(found.addresses.len(), addresses, "{name}");
    }
}

#[test]
fn a_pod_on_the_node_s_network_is_known_by_its_options() {
    // CRI-O names a network namespace in the specification of such a pod too: it is not the one that is used.
    for name in ["crictl_inspectp_hostnet", "crictl_inspectp_crio_hostnet"] {
        assert!(network(recorded(name)).host, "{name}");
    }
}

#[test]
fn containers_have_names_and_processes() {
    for name in ["crictl_ps", "crictl_ps_crio"] {
        let found = containers(recorded(name));
        assert!(!found.is_empty() && found.iter().all(|c| !c.name.is_empty() && c.sandbox.len() == 64), "{name}");
        assert!(found.iter().any(|container| container.running), "{name}");
    }
    for name in ["crictl_inspect", "crictl_inspect_containerd2", "crictl_inspect_crio", "crictl_inspect_ephemeral"] {
        let found: StatusOutput = recorded(name);
        assert!(found.info.pid().is_some(), "{name}");
    }
}

#[test]
fn a_sandbox_that_died_has_no_namespace() {
    // As containerd says it when the sandbox's process was killed: the path is still in the specification.
    let dead = serde_json::json!({
        "status": {"state": "SANDBOX_NOTREADY", "network": {"ip": "10.0.0.7", "additionalIps": []}},
        "info": {"pid": 0, "processStatus": "deleted", "netNamespaceClosed": true, "runtimeSpec": {"linux":
            {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/var/run/netns/cni-gone"}]}}}
    });
    let found = network(serde_json::from_value(dead).unwrap());
    assert_eq!((found.ready, found.pid, found.netns), (false, None, None));
}

#[test]
fn what_is_missing_is_not_made_up() {
    let found = network(serde_json::from_str("{\"status\": {}, \"info\": {}}").unwrap());
    assert_eq!(found, Network::default());
}
