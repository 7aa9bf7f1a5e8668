//! A cluster of its own, and programs on its nodes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/cluster");

/// How packets get from node to node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Network {
    /// In VXLAN, as flannel does it.
    Vxlan,
    /// As they are.
    Routed,
}

/// A cluster, which ends with this process, however that ends: its standard input does.
pub(crate) struct Cluster {
    pub(crate) network: Network,
    running: Child,
    folder: tempfile::TempDir,
}

/// A pod, and the node it is on.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) address: String,
}

/// A program on a node. What runs there is a child of what runs here, which no signal passes.
pub(crate) struct OnNode {
    pub(crate) child: Child,
    pub(crate) log: PathBuf,
}

impl Cluster {
    pub(crate) fn new(network: Network) -> Option<Self> {
        if env::var_os("KCAP_E2E").is_none() {
            eprintln!("skipped: `make e2e` runs this on a Kubernetes of its own");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let running = Command::new(SCRIPT)
            .arg("run")
            .arg(folder.path())
            .arg(if network == Network::Vxlan { "vxlan" } else { "routed" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut cluster = Self { network, running, folder };
        let (ready, log) = (cluster.path("ready"), cluster.path("log"));
        until(180, "the cluster runs", || {
            let ended = cluster.running.try_wait().unwrap();
            assert!(ended.is_none(), "the cluster ended: {}", fs::read_to_string(&log).unwrap_or_default());
            ready.exists()
        });
        Some(cluster)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn kubectl(&self, words: &str) -> String {
        self.kubectl_with(words, &[])
    }

    /// With arguments that may have spaces in them.
    pub(crate) fn kubectl_with(&self, words: &str, more: &[&str]) -> String {
        let mut command = Command::new(SCRIPT);
        let command = command.arg("kubectl").arg(self.folder.path()).args(words.split(' ')).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "kubectl {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The first pod of `demo` with that label.
    pub(crate) fn pod(&self, app: &str) -> Pod {
        let fields = "{.items[0].metadata.name},{.items[0].spec.nodeName},{.items[0].status.podIP}";
        let text = self.kubectl(&format!(
            "get pods -n demo -l app={app} --field-selector=status.phase=Running -o jsonpath={fields}"
        ));
        let fields: Vec<&str> = text.split(',').collect();
        let [name, node, address] = fields.as_slice() else { panic!("no pod of app={app}: {text}") };
        Pod { name: (*name).to_owned(), node: (*node).to_owned(), address: (*address).to_owned() }
    }

    pub(crate) fn command(&self, node: &str, program: &Path) -> Command {
        let pid = fs::read_to_string(self.path(&format!("{node}.pid"))).unwrap();
        let mut command = Command::new("nsenter");
        command.args(["-t", pid.trim(), "-m", "-n", "-u", "-p", "--"]).arg(program).stdin(Stdio::null());
        command
    }

    /// `kcap` on a node, until it ends.
    pub(crate) fn kcap(&self, node: &str, arguments: &[&str]) -> Output {
        self.command(node, &kcap_tests::program().unwrap()).args(arguments).output().unwrap()
    }

    /// A shell on a node.
    pub(crate) fn shell(&self, node: &str, script: &str) -> String {
        let output = self.command(node, Path::new("sh")).args(["-c", script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Starts a capture on a node and waits until its notes have that word.
    pub(crate) fn capture(&self, node: &str, word: &str, arguments: &[&str]) -> OnNode {
        self.start(node, &kcap_tests::program().unwrap(), word, &[arguments, &["--min-free", "1MB"]].concat())
    }

    pub(crate) fn start(&self, node: &str, program: &Path, word: &str, arguments: &[&str]) -> OnNode {
        let log = self.path(&format!("{}.log", program.file_name().unwrap().to_str().unwrap()));
        let mut command = self.command(node, program);
        command.args(arguments).stdout(fs::File::create(self.path("stdout")).unwrap());
        let child = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let running = OnNode { child, log };
        running.says(word);
        running
    }

    /// A file in the cluster's folder, by a path that is the same on nodes.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The process of the client's loop, as its node numbers it.
    pub(crate) fn client_process(&self, node: &str) -> String {
        self.shell(node, "pgrep -o -f '^sh -c while :; do timeout'")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.running.stdin.take());
        // It has ended, or ends.
        let _ = self.running.wait();
    }
}

impl OnNode {
    pub(crate) fn says(&self, word: &str) {
        until(60, word, || fs::read_to_string(&self.log).is_ok_and(|text| text.contains(word)));
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id();
        let inner = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        assert!(Command::new("kill").arg(signal).arg(inner.trim()).status().unwrap().success());
    }

    /// Exit code and notes.
    pub(crate) fn ends(&mut self) -> (i32, String) {
        let mut status = None;
        until(60, "it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap().code().unwrap_or(-1), fs::read_to_string(&self.log).unwrap())
    }
}

impl Drop for OnNode {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn until(seconds: u64, what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(seconds), "in time: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
