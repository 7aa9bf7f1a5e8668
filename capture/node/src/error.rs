use crate::units::UnitError;
use kcap_file::WriteError;
use kcap_filter::{ProgramError, SpecError};
use std::io;
use std::path::PathBuf;

/// Why nothing, or nothing more, is captured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file that stands for a network namespace cannot be opened.
    #[error("cannot open the network namespace {}", path.display())]
    OpenNamespace {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The namespace cannot be entered.
    #[error("cannot enter the network namespace {}", path.display())]
    EnterNamespace {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The thread that works in a namespace could not be had.
    #[error("cannot start a thread for the network namespace")]
    Thread(#[source] io::Error),
    /// The process whose namespace was asked for is not there.
    #[error("there is no process {pid}")]
    NoProcess {
        /// Its number.
        pid: u32,
    },
    /// The kernel did not tell the interfaces, addresses or routes.
    #[error("cannot list the {what}")]
    Netlink {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// None of the interfaces asked for is there.
    #[error("{place} has no interface {name:?}; it has {}", known.join(", "))]
    NoInterface {
        /// The target.
        place: String,
        /// The interface asked for.
        name: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// All interfaces are down.
    #[error("no interface is up")]
    NothingUp,
    /// libpcap did not open the interface.
    #[error("cannot capture on {interface}")]
    Open {
        /// The interface.
        interface: String,
        /// Why.
        #[source]
        source: pcap::Error,
    },
    /// A filter expression that libpcap does not understand.
    #[error("filter {expression:?}{}", rest.as_ref().map_or(String::new(), |rest| format!(", from {rest:?} on")))]
    Compile {
        /// The expression.
        expression: String,
        /// Its end that is not understood, where that can be told.
        rest: Option<String>,
        /// What libpcap says.
        #[source]
        source: pcap::Error,
    },
    /// An option of the filter means nothing.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// There is no program for the filter.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The kernel does not take the filter.
    #[error("the kernel refuses the filter of {instructions} instructions on {interface}")]
    Attach {
        /// The interface.
        interface: String,
        /// Length of the program.
        instructions: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An option's value.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The output cannot be made.
    #[error("cannot create {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another capture writes the file.
    #[error("another capture writes {}", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// The finished file cannot get its name.
    #[error("cannot rename {} to {}", from.display(), to.display())]
    Rename {
        /// Where the packets are.
        from: PathBuf,
        /// Where they should be.
        to: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard output is a terminal.
    #[error("packets do not go to a terminal")]
    Terminal,
    /// Too little room where the capture would be written.
    #[error("only {free} are free on the file system of {}, and {floor} have to stay free", path.display())]
    NoRoom {
        /// The output.
        path: PathBuf,
        /// Bytes free.
        free: crate::Size,
        /// Bytes that have to stay free.
        floor: crate::Size,
    },
    /// Room cannot be determined.
    #[error("cannot tell how much room there is at {}", path.display())]
    Room {
        /// The output.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Something of the operating system that always works did not.
    #[error("cannot {operation}")]
    System {
        /// What.
        operation: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The target is not what it should be.
    #[error(transparent)]
    Target(#[from] crate::TargetError),
    /// The container runtime does not help.
    #[error(transparent)]
    Runtime(#[from] kcap_cri::RuntimeError),
    /// Options that exclude each other, or make no sense.
    #[error("{0}")]
    Usage(&'static str),
}

impl CaptureError {
    pub(crate) fn system(operation: &'static str) -> impl FnOnce(nix::Error) -> Self {
        move |source| Self::System { operation, source: source.into() }
    }

    /// Whether a permission is missing.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::OpenNamespace { source, .. }
            | Self::EnterNamespace { source, .. }
            | Self::Create { source, .. }
            | Self::Netlink { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::Open { source, .. } => crate::tap::is_permission(source),
            Self::Runtime(error) => error.is_permission(),
            _ => false,
        }
    }

    /// Whether this host runs no container runtime.
    pub fn is_no_runtime(&self) -> bool {
        matches!(self, Self::Runtime(kcap_cri::RuntimeError::NotFound { .. }))
    }

    /// Whether what is missing may come with time.
    pub fn may_pass(&self) -> bool {
        use crate::TargetError::{NoContainer, NoMatch, NoNamespace, NoPod, NotRunning};
        match self {
            Self::Target(error) => {
                matches!(error, NoPod { .. } | NoMatch(_) | NotRunning(_) | NoNamespace(_) | NoContainer { .. })
            }
            Self::OpenNamespace { .. } => true,
            Self::Runtime(error) => error.is_gone(),
            _ => false,
        }
    }

    /// Whether the command line is to blame.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Spec(_) | Self::Unit(_) | Self::Usage(_) | Self::Terminal | Self::Compile { .. })
            || matches!(self, Self::Target(error) if error.is_usage())
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OpenNamespace { source, path } => namespace_hint(source, path)?,
            Self::EnterNamespace { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "entering a network namespace needs CAP_SYS_ADMIN: run as root, or add the capability".to_owned()
            }
            Self::EnterNamespace { source, .. } if source.raw_os_error() == Some(libc::EINVAL) => {
                "the file is there but the namespace is not mounted on it here: in a container, mount /run/netns with \
                 mountPropagation HostToContainer; else the pod is gone"
                    .to_owned()
            }
            Self::Open { source, .. } if crate::tap::is_permission(source) => {
                "capturing needs CAP_NET_RAW: run as root, or add the capability".to_owned()
            }
            Self::Compile { .. } => "the expression is in the language of pcap-filter(7); kcap filter explain shows \
                                     what -p, --host, --net and --proto become"
                .to_owned(),
            Self::Program(ProgramError::TooLong { .. }) => {
                "ask for fewer ports, hosts or networks: ranges and networks take less than lists".to_owned()
            }
            Self::NoRoom { .. } => {
                "where the kubelet's files are, 15 % stay free: at 10 % it evicts pods. Free some, write \
                                    elsewhere with -w, or set --min-free"
                    .to_owned()
            }
            Self::Create { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "the folder does not exist: create it first".to_owned()
            }
            Self::Taken { .. } => {
                "name another file with -w, or a folder, where each gets a name of its own".to_owned()
            }
            Self::NoInterface { name, .. } if name == "any" => "without -i, all interfaces are captured".to_owned(),
            Self::NothingUp => "-i names one that is down".to_owned(),
            Self::Terminal => "pipe it, as in `kcap pod/api -w - | wireshark -k -i -`, or name a file".to_owned(),
            Self::Target(error) => return error.hint(),
            Self::Runtime(error) => return error.hint(),
            _ => return None,
        })
    }
}

fn namespace_hint(source: &io::Error, path: &std::path::Path) -> Option<String> {
    let of_process = path.starts_with("/proc");
    Some(match source.kind() {
        io::ErrorKind::PermissionDenied if of_process => {
            "the namespace of a process needs CAP_SYS_PTRACE; netns/PATH of the pod's mount does not".to_owned()
        }
        io::ErrorKind::PermissionDenied => "run as root: the folder of namespaces is open to root only".to_owned(),
        io::ErrorKind::NotFound if of_process => "the process has ended".to_owned(),
        io::ErrorKind::NotFound => "`ip netns` and `kcap targets` list the namespaces there are".to_owned(),
        _ => return None,
    })
}
