//! The runtime, whichever way it is asked.

use crate::client::Client;
use crate::crictl::Crictl;
use crate::info::Info;
use crate::message::{
    ContainerMessage, ContainerStatusResponse, Empty, ListContainersResponse, ListPodSandboxResponse, PodSandbox,
    PodSandboxStatusResponse, StatusRequest, VersionRequest, VersionResponse,
};
use crate::{RuntimeError, endpoints};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// The namespace mode of CRI that means the node's own.
const MODE_NODE: i32 = 2;
const CONTAINER_RUNNING: i32 = 1;
const SANDBOX_READY: i32 = 0;

/// A pod's sandbox: what holds its network namespace. A pod that was restarted has several.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sandbox {
    /// Identifier.
    pub id: String,
    /// Name of the pod.
    pub name: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod's identifier in the cluster; of a static pod, the hash of its file.
    pub uid: String,
    /// Which sandbox of the pod it is, from 0.
    pub attempt: u32,
    /// Whether it runs.
    pub ready: bool,
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
}

/// A container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Container {
    /// Identifier.
    pub id: String,
    /// Name in its pod.
    pub name: String,
    /// The sandbox it is in.
    pub sandbox: String,
    /// Whether it runs.
    pub running: bool,
}

/// The network of a sandbox.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Network {
    /// Addresses; none when it is the node's.
    pub addresses: Vec<IpAddr>,
    /// Whether it is the node's.
    pub host: bool,
    /// The file of its namespace.
    pub netns: Option<PathBuf>,
    /// The process that holds it.
    pub pid: Option<u32>,
    /// Whether the sandbox runs.
    pub ready: bool,
}

/// Which runtime it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Version {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// The container runtime of this node.
#[derive(Debug)]
pub struct Runtime {
    way: Way,
    version: Version,
}

#[derive(Debug)]
enum Way {
    Socket(Client),
    Crictl(Crictl),
}

impl Runtime {
    /// Connects to the socket asked for, or the first that is there. Where none can be used, `crictl` is asked.
    pub fn connect(asked: Option<&str>) -> Result<Self, RuntimeError> {
        let sockets = endpoints(asked)?;
        let mut worst = None;
        for socket in &sockets {
            match Self::at(socket) {
                Ok(runtime) => return Ok(runtime),
                Err(error) if asked.is_none() && is_missing(&error) => {}
                Err(error) => worst = worst.or(Some(error)),
            }
        }
        let tried = || sockets.iter().map(|socket| socket.display().to_string()).collect();
        let error = worst.unwrap_or_else(|| RuntimeError::NotFound { tried: tried() });
        // What crictl says is worth less than why the socket did not do.
        Crictl::find(asked).and_then(|crictl| Self::through(crictl).ok()).ok_or(error)
    }

    fn at(socket: &std::path::Path) -> Result<Self, RuntimeError> {
        let client = Client::connect(socket)?;
        let request = VersionRequest { version: "v1".to_owned() };
        let found: VersionResponse = client.call("Version", &request)?;
        let version = Version { name: found.runtime_name, version: found.runtime_version };
        Ok(Self { way: Way::Socket(client), version })
    }

    fn through(crictl: Crictl) -> Result<Self, RuntimeError> {
        let version = crictl.version()?;
        Ok(Self { way: Way::Crictl(crictl), version })
    }

    /// Which runtime it is.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// All sandboxes, those of ended pods included.
    pub fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeError> {
        match &self.way {
            Way::Socket(client) => {
                let found: ListPodSandboxResponse = client.call("ListPodSandbox", &Empty {})?;
                Ok(found.items.into_iter().map(Sandbox::from).collect())
            }
            Way::Crictl(crictl) => crictl.sandboxes(),
        }
    }

    /// All containers, ended ones included.
    pub fn containers(&self) -> Result<Vec<Container>, RuntimeError> {
        match &self.way {
            Way::Socket(client) => {
                let found: ListContainersResponse = client.call("ListContainers", &Empty {})?;
                Ok(found.containers.into_iter().map(Container::from).collect())
            }
            Way::Crictl(crictl) => crictl.containers(),
        }
    }

    /// Where the network of a sandbox is.
    pub fn network(&self, sandbox: &str) -> Result<Network, RuntimeError> {
        match &self.way {
            Way::Socket(client) => {
                let request = StatusRequest { id: sandbox.to_owned(), verbose: true };
                client.call("PodSandboxStatus", &request).map(|found: PodSandboxStatusResponse| Network::from(found))
            }
            Way::Crictl(crictl) => crictl.network(sandbox),
        }
    }

    /// The process of a container, where the runtime says it.
    pub fn pid(&self, container: &str) -> Result<Option<u32>, RuntimeError> {
        match &self.way {
            Way::Socket(client) => {
                let request = StatusRequest { id: container.to_owned(), verbose: true };
                let found: ContainerStatusResponse = client.call("ContainerStatus", &request)?;
                Ok(Info::of(found.info.get("info")).pid())
            }
            Way::Crictl(crictl) => crictl.pid(container),
        }
    }
}

/// Whether there simply is no such runtime: no socket, or one that was left behind.
fn is_missing(error: &RuntimeError) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    matches!(error, RuntimeError::Connect { source, .. } if matches!(source.kind(), NotFound | ConnectionRefused))
}

impl From<PodSandbox> for Sandbox {
    fn from(found: PodSandbox) -> Self {
        let metadata = found.metadata.unwrap_or_default();
        Self {
            id: found.id,
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            attempt: metadata.attempt,
            ready: found.state == SANDBOX_READY,
            created_ns: found.created_at,
            labels: found.labels.into_iter().collect(),
        }
    }
}

impl From<ContainerMessage> for Container {
    fn from(found: ContainerMessage) -> Self {
        Self {
            id: found.id,
            name: found.metadata.unwrap_or_default().name,
            sandbox: found.pod_sandbox_id,
            running: found.state == CONTAINER_RUNNING,
        }
    }
}

impl From<PodSandboxStatusResponse> for Network {
    fn from(found: PodSandboxStatusResponse) -> Self {
        let info = Info::of(found.info.get("info"));
        let status = found.status.unwrap_or_default();
        let options = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
        let network = status.network.unwrap_or_default();
        let additional = network.additional_ips.iter().map(|additional| additional.ip.as_str());
        Self {
            addresses: std::iter::once(network.ip.as_str())
                .chain(additional)
                .filter_map(|ip| ip.parse().ok())
                .collect(),
            host: options.is_some_and(|options| options.network == MODE_NODE),
            netns: info.netns(),
            pid: info.pid(),
            ready: status.state == SANDBOX_READY,
        }
    }
}
