use std::io;

/// Why the container runtime does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No runtime's socket is where they usually are.
    #[error("no container runtime found")]
    NotFound {
        /// Sockets that were tried.
        tried: Vec<String>,
    },
    /// The socket cannot be used.
    #[error("cannot connect to the container runtime at {socket}")]
    Connect {
        /// The socket.
        socket: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An endpoint of a kind that a node does not have.
    #[error("{0:?} is no socket of a container runtime: unix:///run/containerd/containerd.sock")]
    Endpoint(String),
    /// The connection broke, or is none of HTTP/2.
    #[error("the container runtime at {socket} does not speak CRI: {reason}")]
    Protocol {
        /// The socket.
        socket: String,
        /// What is wrong.
        reason: String,
    },
    /// The runtime answered with an error.
    #[error("the container runtime refuses {method} with code {code}: {message}")]
    Refused {
        /// What was asked for.
        method: &'static str,
        /// gRPC status.
        code: u32,
        /// The runtime's words.
        message: String,
    },
    /// No answer in time.
    #[error("the container runtime did not answer {method} in time")]
    Timeout {
        /// What was asked for.
        method: &'static str,
    },
    /// `crictl` cannot be run, or failed.
    #[error("crictl {arguments} failed: {reason}")]
    Crictl {
        /// Its arguments.
        arguments: String,
        /// What it says.
        reason: String,
    },
    /// `crictl` printed something else.
    #[error("cannot read what crictl {arguments} prints")]
    CrictlOutput {
        /// Its arguments.
        arguments: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl RuntimeError {
    /// Whether a permission is missing.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// gRPC's `NOT_FOUND`: a sandbox or container that has just gone.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { code: 5, .. })
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { tried } => format!(
                "name its socket with --runtime-endpoint; tried {}. Without a runtime, netns/PATH and pid/N work",
                tried.join(", ")
            ),
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "the runtime's socket is open to root only: run as root".to_owned(),
                io::ErrorKind::ConnectionRefused => "the socket is left over: the runtime is not running".to_owned(),
                io::ErrorKind::NotFound => "there is no such socket; in a container, mount it".to_owned(),
                _ => return None,
            },
            // UNIMPLEMENTED: the socket is a containerd's whose CRI plugin is off, or a runtime of before 2021.
            Self::Refused { code: 12, .. } => {
                "its CRI plugin is off (disabled_plugins in containerd's config.toml) or \
                                               it is older than CRI v1"
                    .to_owned()
            }
            Self::Timeout { .. } => "the runtime hangs; netns/PATH and pid/N work without it".to_owned(),
            _ => return None,
        })
    }
}
