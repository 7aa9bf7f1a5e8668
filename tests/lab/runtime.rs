//! A node of its own with containerd, and pods made on it by CRI, as the kubelet would.

use super::{PROGRAM, Running, has, tests, until};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(uint32, tag = "4")]
    attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
struct NamespaceOption {
    #[prost(int32, tag = "1")]
    network: i32,
    #[prost(int32, tag = "2")]
    pid: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SecurityContext {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Message)]
struct Linux {
    #[prost(message, optional, tag = "2")]
    security: Option<SecurityContext>,
}

#[derive(Clone, PartialEq, Message)]
struct Config {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    linux: Option<Linux>,
}

#[derive(Clone, PartialEq, Message)]
struct RunRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<Config>,
}

/// One text in the first field: identifiers in requests and answers.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<Id>,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainer {
    #[prost(string, tag = "1")]
    sandbox: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<Config>,
}

/// A node.
pub(crate) struct Node {
    /// Ends before its files are removed.
    _running: Running,
    folder: tempfile::TempDir,
    pid: String,
}

/// What a pod is made of.
#[derive(Clone, Default)]
pub(crate) struct Pod<'a> {
    pub(crate) name: &'a str,
    pub(crate) attempt: u32,
    pub(crate) host_network: bool,
    pub(crate) container: Option<&'a str>,
}

impl Node {
    /// Nothing, said aloud, where there is no containerd.
    pub(crate) fn new() -> Option<Self> {
        let wanted = ["containerd", "runc", "ctr", "python3", "ip", "nsenter"];
        if !nix::unistd::geteuid().is_root() || !wanted.iter().all(|program| has(program)) {
            eprintln!("skipped: needs root, {} and CNI's plugins", wanted.join(", "));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let script = tests().join("containerd/node.sh");
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let started =
            Command::new(script).arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let running = Running(started.unwrap());
        let ready = folder.path().join("ready");
        until("containerd runs", || ready.exists());
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap().trim().to_owned();
        Some(Self { _running: running, folder, pid })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process whose namespaces are the node's.
    pub(crate) fn pid(&self) -> &str {
        &self.pid
    }

    /// A command in the node's mounts, network and processes.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid, "-m", "-n", "-u", "-p", "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// A file in the node's folder, by a path that means the same inside: nsenter does not keep the working directory.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn capture(&self) -> Command {
        self.command(PROGRAM)
    }

    /// Makes a pod of the namespace `default` with the label `app`; the identifier of its sandbox.
    pub(crate) fn run(&self, pod: &Pod<'_>) -> String {
        let labels = [
            ("io.kubernetes.pod.name", pod.name),
            ("io.kubernetes.pod.namespace", "default"),
            ("app", pod.name.split('-').next().unwrap()),
        ];
        let namespaces = NamespaceOption { network: if pod.host_network { 2 } else { 0 }, pid: 1 };
        let security = Some(SecurityContext { namespaces: Some(namespaces) });
        let config = Config {
            metadata: Some(Metadata {
                name: pod.name.to_owned(),
                uid: format!("uid-{}", pod.name),
                namespace: "default".to_owned(),
                attempt: pod.attempt,
            }),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            linux: Some(Linux { security }),
        };
        let sandbox: Id = self.call("RunPodSandbox", &RunRequest { config: Some(config.clone()) });
        if let Some(name) = pod.container {
            let metadata = Some(ContainerMetadata { name: name.to_owned() });
            let image = Some(Id { id: "kcap.local/pause:1".to_owned() });
            let container = Some(ContainerConfig { metadata, image });
            let request =
                CreateContainer { sandbox: sandbox.id.clone(), config: container, sandbox_config: Some(config) };
            let created: Id = self.call("CreateContainer", &request);
            let _: Id = self.call("StartContainer", &created);
        }
        sandbox.id
    }

    pub(crate) fn stop(&self, sandbox: &str) {
        let _: Id = self.call("StopPodSandbox", &Id { id: sandbox.to_owned() });
    }

    /// The file of a pod's network namespace, as seen from outside the node.
    pub(crate) fn address(&self, sandbox: &str) -> String {
        let output = self.command("ctr").args(["-n", "k8s.io", "containers", "info", sandbox]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let start = text.find("/var/run/netns/").unwrap();
        let path: PathBuf = text[start..].split('"').next().unwrap().into();
        let net = format!("--net={}", path.display());
        let output =
            self.command("nsenter").args([&net, "ip", "-o", "-4", "address", "show", "eth0"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned()
    }

    /// One call of the runtime's service, over its socket as the node's files have it.
    fn call<A: Message, B: Message + Default>(&self, method: &str, request: &A) -> B {
        let socket = format!("/proc/{}/root/run/containerd/containerd.sock", self.pid);
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = executor.block_on(exchange(&socket, method, request.encode_to_vec()));
        B::decode(answer).unwrap()
    }
}

async fn exchange(socket: &str, method: &str, message: Vec<u8>) -> Bytes {
    let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut sending) = requests.ready().await.unwrap().send_request(request, false).unwrap();
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(message.len() as u32);
    body.extend_from_slice(&message);
    sending.send_data(body.freeze(), true).unwrap();
    let response = response.await.unwrap();
    let headers = response.headers().clone();
    let mut stream = response.into_body();
    let mut answer = BytesMut::new();
    while let Some(chunk) = stream.data().await {
        answer.extend_from_slice(&chunk.unwrap());
    }
    let trailers = stream.trailers().await.unwrap().unwrap_or(headers);
    assert_eq!(trailers.get("grpc-status").map(http::HeaderValue::as_bytes), Some(&b"0"[..]), "{method}: {trailers:?}");
    answer.freeze().slice(5..)
}
