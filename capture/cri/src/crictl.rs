//! The same answers from `crictl … -o json`.

use crate::RuntimeError;
use crate::info::Info;
use crate::runtime::{Container, Network, Sandbox, Version};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// `crictl` on this node.
#[derive(Debug)]
pub(crate) struct Crictl {
    program: PathBuf,
    endpoint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionOutput {
    runtime_name: String,
    runtime_version: String,
}

#[derive(Deserialize)]
struct PodsOutput {
    items: Vec<PodOutput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodOutput {
    id: String,
    metadata: MetadataOutput,
    state: String,
    created_at: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MetadataOutput {
    name: String,
    namespace: String,
    uid: String,
    attempt: u32,
}

#[derive(Deserialize)]
struct ContainersOutput {
    containers: Vec<ContainerOutput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerOutput {
    id: String,
    pod_sandbox_id: String,
    metadata: MetadataOutput,
    state: String,
}

#[derive(Deserialize)]
struct StatusOutput {
    #[serde(default)]
    status: Status,
    #[serde(default)]
    info: Info,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    state: String,
    network: Addresses,
    linux: LinuxStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Addresses {
    ip: String,
    additional_ips: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    ip: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LinuxStatus {
    namespaces: Namespaces,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Namespaces {
    options: Options,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Options {
    network: String,
}

impl Crictl {
    /// The program, when there is one on the path.
    pub(crate) fn find(endpoint: Option<&str>) -> Option<Self> {
        let folders = std::env::var_os("PATH")?;
        let program =
            std::env::split_paths(&folders).map(|folder| folder.join("crictl")).find(|path| path.is_file())?;
        Some(Self { program, endpoint: endpoint.map(str::to_owned) })
    }

    pub(crate) fn version(&self) -> Result<Version, RuntimeError> {
        let found: VersionOutput = self.ask(&["version"])?;
        Ok(Version { name: found.runtime_name, version: found.runtime_version })
    }

    pub(crate) fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeError> {
        self.ask(&["pods"]).map(sandboxes)
    }

    pub(crate) fn containers(&self) -> Result<Vec<Container>, RuntimeError> {
        self.ask(&["ps", "-a"]).map(containers)
    }

    pub(crate) fn network(&self, sandbox: &str) -> Result<Network, RuntimeError> {
        self.ask(&["inspectp", sandbox]).map(network)
    }

    pub(crate) fn pid(&self, container: &str) -> Result<Option<u32>, RuntimeError> {
        self.ask(&["inspect", container]).map(|found: StatusOutput| found.info.pid())
    }

    fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, RuntimeError> {
        let shown = || arguments.join(" ");
        let endpoint = self.endpoint.iter().flat_map(|endpoint| ["--runtime-endpoint", endpoint]);
        let output = Command::new(&self.program).args(endpoint).args(arguments).args(["-o", "json"]).output();
        let output = output.map_err(|e| RuntimeError::Crictl { arguments: shown(), reason: e.to_string() })?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(RuntimeError::Crictl { arguments: shown(), reason });
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|source| RuntimeError::CrictlOutput { arguments: shown(), source })
    }
}

fn sandboxes(output: PodsOutput) -> Vec<Sandbox> {
    let sandbox = |found: PodOutput| Sandbox {
        id: found.id,
        name: found.metadata.name,
        namespace: found.metadata.namespace,
        uid: found.metadata.uid,
        attempt: found.metadata.attempt,
        ready: found.state == "SANDBOX_READY",
        created_ns: found.created_at.parse().unwrap_or_default(),
        labels: found.labels.unwrap_or_default(),
    };
    output.items.into_iter().map(sandbox).collect()
}

fn containers(output: ContainersOutput) -> Vec<Container> {
    let container = |found: ContainerOutput| Container {
        id: found.id,
        name: found.metadata.name,
        sandbox: found.pod_sandbox_id,
        running: found.state == "CONTAINER_RUNNING",
    };
    output.containers.into_iter().map(container).collect()
}

fn network(output: StatusOutput) -> Network {
    let Status { state, network, linux } = output.status;
    let additional = network.additional_ips.iter().map(|address| address.ip.as_str());
    Network {
        addresses: std::iter::once(network.ip.as_str()).chain(additional).filter_map(|ip| ip.parse().ok()).collect(),
        host: linux.namespaces.options.network == "NODE",
        netns: output.info.netns(),
        pid: output.info.pid(),
        ready: state == "SANDBOX_READY",
    }
}

#[cfg(test)]
mod tests;
