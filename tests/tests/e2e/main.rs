//! Captures on the nodes of a real Kubernetes, whose kubelets made the pods. `make e2e` runs them; they need root, some
//! minutes for the first time, and `tests/cluster`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "the set-up fails tests, and says what it skips"
)]

mod cluster;

use cluster::{Cluster, Network, OnNode, until};
use kcap_file::{Batch, CaptureInfo, Reader};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// A packet as a file has it: time, length on the wire, bytes.
type Stored = (i64, u32, Vec<u8>);

fn read(path: &str) -> (Vec<Stored>, CaptureInfo) {
    let mut reader = Reader::open(Path::new(path)).unwrap();
    let mut packets = Vec::new();
    let mut batch = Batch::default();
    while reader.next_batch(&mut batch) {
        packets.extend(batch.records.iter().map(|r| (r.ts_ns, r.orig_len, batch.frame(r).to_vec())));
    }
    (packets, reader.info().clone())
}

/// What holds, and what finds out.
type Check = (&'static str, fn(&Cluster));

#[test]
fn captures_on_a_real_cluster() {
    for network in [Network::Vxlan, Network::Routed] {
        captures_on(network);
    }
}

/// One after the other on one cluster: each leaves it as it found it.
fn captures_on(network: Network) {
    let Some(cluster) = Cluster::new(network) else { return };
    eprintln!("on a cluster whose packets go {network:?}");
    let checks: [Check; 10] = [
        ("targets are the pods that kubectl lists", targets),
        ("tcpdump in the same namespace sees the same", same_as_tcpdump),
        ("the report knows names, resolvers and endpoints", report),
        ("all containers of a pod share one network", sidecars),
        ("the node's network needs a word", host_network),
        ("a node sees pods on their way to other nodes", underlay),
        ("a pod that comes later is captured from its first packet", waits),
        ("a sandbox that is restarted is followed", restarts),
        ("a pod that is deleted ends the capture, with all of its packets", deleted),
        ("nothing is left after kill -9", killed),
    ];
    for (what, check) in checks {
        let started = Instant::now();
        check(&cluster);
        eprintln!("ok: {what} ({:.1} s)", started.elapsed().as_secs_f64());
    }
}

fn targets(cluster: &Cluster) {
    for node in ["node1", "node2"] {
        let listed = String::from_utf8(cluster.kcap(node, &["targets"]).stdout).unwrap();
        let fields =
            "{range .items[*]}{.metadata.namespace},{.metadata.name},{.status.podIP},{.spec.hostNetwork};{end}";
        let format = format!("jsonpath={fields}");
        let known = cluster.kubectl_with(&format!("get pods -A --field-selector=spec.nodeName={node} -o"), &[&format]);
        let pods: Vec<&str> = known.split(';').filter(|pod| !pod.is_empty()).collect();
        assert_eq!(listed.matches("pod/").count(), pods.len(), "{listed}\n{known}");
        for pod in pods {
            let fields: Vec<&str> = pod.split(',').collect();
            let [namespace, name, address, host] = fields.as_slice() else { panic!("{pod}") };
            let row = listed.lines().find(|row| row.contains(&format!("pod/{name} "))).unwrap();
            let expected = if *host == "true" { "node's network" } else { address };
            assert!(row.starts_with(namespace) && row.contains(expected), "{row}");
        }
    }
}

fn same_as_tcpdump(cluster: &Cluster) {
    let pod = cluster.pod("client");
    let (ours, theirs) = (cluster.file("same.pcapng"), cluster.file("same.pcap"));
    let process = cluster.client_process(&pod.node);
    let arguments = ["-t", &process, "-n", "tcpdump", "-i", "eth0", "-U", "-Z", "root", "-B", "32768", "-w", &theirs];
    let precise = ["--time-stamp-precision=nano", "tcp", "port", "80"];
    let arguments = [&arguments[..], &precise[..]].concat();
    let tcpdump = cluster.start(&pod.node, Path::new("nsenter"), "listening on", &arguments);
    let mut kcap = cluster.capture(
        &pod.node,
        "capturing on",
        &[&pod.name, "-n", "demo", "-i", "eth0", "-p", "tcp/80", "--no-inner", "-w", &ours],
    );
    thread::sleep(Duration::from_secs(6));
    kcap.signal("-INT");
    let (code, notes) = kcap.ends();
    assert_eq!(code, 0, "{notes}");
    thread::sleep(Duration::from_millis(1_500));
    tcpdump.signal("-INT");
    drop(tcpdump);
    let ((ours, info), (theirs, _)) = (read(&ours), read(&theirs));
    // tcpdump began before and ended later.
    let (first, last) = (ours.first().unwrap().0, ours.last().unwrap().0);
    assert!(ours.len() > 20, "{} packets", ours.len());
    // A packet that TCP paces keeps its departure time on its way through veth, and the kernel then stamps it for each
    // socket when that one's turn comes (`tpacket_rcv`): two tcpdumps differ as well.
    let same = |(ours, theirs): (&Stored, &Stored)| {
        (ours.1, &ours.2) == (theirs.1, &theirs.2) && (ours.0 - theirs.0).abs() < 1_000_000
    };
    let count = theirs.iter().filter(|packet| (first - 1_000_000..=last + 1_000_000).contains(&packet.0)).count();
    assert_eq!(ours.len(), count);
    let begin = theirs.iter().position(|packet| same((&ours[0], packet))).unwrap();
    assert!(ours.iter().zip(&theirs[begin..]).all(same), "bytes, lengths or times differ");
    assert_eq!(info.interfaces[0].name, Some(format!("demo/{}/eth0", pod.name)));
    assert!(info.names.iter().any(|record| record.address.to_string() == pod.address));
}

fn report(cluster: &Cluster) {
    let pod = cluster.pod("client");
    let file = cluster.file("report.pcapng");
    let output =
        cluster.kcap(&pod.node, &[&pod.name, "-n", "demo", "-d", "5s", "-w", &file, "-o", "json", "--min-free", "1MB"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let bad = ["warning", "error", "critical"];
    let findings = report["findings"].as_array().unwrap();
    let wrong: Vec<&Value> = findings.iter().filter(|f| bad.contains(&f["severity"].as_str().unwrap())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let tables = cluster.file("tables");
    let program = kcap_tests::program().unwrap();
    let mut analyze = Command::new(program);
    let analyze = analyze.args(["analyze", &file, "-O", &tables, "--format", "ndjson", "-q"]);
    assert!(analyze.output().unwrap().status.success());
    let rows = |table: &str| -> Vec<Value> {
        let text = fs::read_to_string(Path::new(&tables).join(format!("{table}.ndjson"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // The loop asks for `api`, and resolv.conf says the rest.
    let lookups = rows("dns_lookups");
    assert!(!lookups.is_empty() && lookups.iter().all(|row| row["stem"] == "api"), "{lookups:?}");
    assert_eq!(lookups[0]["suffix"], "demo.svc.cluster.local");
    // Behind the service's address is a pod, as the node tracks it.
    let endpoints =
        cluster.kubectl("get endpointslices -n demo -l kubernetes.io/service-name=api -o jsonpath={..addresses}");
    let bindings = rows("nat_bindings");
    let http: Vec<&Value> = bindings.iter().filter(|row| row["pre_resp_port"] == 80).collect();
    assert!(!http.is_empty());
    assert!(
        http.iter().all(|row| endpoints.contains(row["post_resp_addr"].as_str().unwrap())),
        "{endpoints}: {http:?}"
    );
}

fn sidecars(cluster: &Cluster) {
    let pod = cluster.pod("client");
    let run = |container: &str| {
        let arguments = [&pod.name, "-n", "demo", "-c", container, "-d", "1s", "--no-analyze", "--min-free", "1MB"];
        cluster.kcap(&pod.node, &[&arguments[..], &["-w", &cluster.file("sidecar.pcapng")]].concat())
    };
    assert_eq!(run("sidecar").status.code(), Some(0));
    let wrong = run("100");
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.status.code() == Some(1) && text.contains("there is loop, sidecar"), "{text}");
    assert!(text.contains("--count 100"), "{text}");
}

fn host_network(cluster: &Cluster) {
    let node = cluster.pod("hostnet").node;
    let refused = cluster.kcap(&node, &["hostnet", "-n", "demo"]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && text.contains("--host-network"), "{text}");
    let file = cluster.file("host.pcapng");
    let arguments =
        ["hostnet", "-n", "demo", "--host-network", "-d", "2s", "--no-analyze", "--min-free", "1MB", "-w", &file];
    let output = cluster.kcap(&node, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let (packets, info) = read(&file);
    assert!(!packets.is_empty());
    let names: Vec<&str> = info.interfaces.iter().filter_map(|interface| interface.name.as_deref()).collect();
    assert!(names.contains(&"demo/hostnet/eth0") && names.contains(&"demo/hostnet/cni0"), "{names:?}");
}

fn underlay(cluster: &Cluster) {
    let client = cluster.pod("client");
    let file = cluster.file("underlay.pcapng");
    let arguments = ["node", "-i", "eth0", "-p", "tcp/8080", "--count", "20", "-d", "60s", "--no-analyze", "-w", &file];
    let mut kcap = cluster.capture(&client.node, "capturing on", &arguments);
    assert_eq!(kcap.ends().0, 0);
    let (packets, _) = read(&file);
    assert_eq!(packets.len(), 20);
    // Ethernet, IPv4, then UDP to flannel's port, with the port asked for inside, or TCP with that port.
    let wanted = |data: &[u8]| match cluster.network {
        Network::Vxlan => data[23] == 17 && data[36..38] == 8472_u16.to_be_bytes(),
        Network::Routed => data[23] == 6 && data[34..38].chunks(2).any(|port| port == 8080_u16.to_be_bytes()),
    };
    assert!(packets.iter().all(|(_, _, data)| wanted(data)), "{:?}", cluster.network);
}

fn waits(cluster: &Cluster) {
    let file = cluster.file("late.pcapng");
    let arguments =
        ["late", "-n", "demo", "--wait", "-p", "udp/53", "-d", "60s", "--count", "2", "--no-analyze", "-w", &file];
    let kcap = |node: &str| {
        let mut command = cluster.command(node, &kcap_tests::program().unwrap());
        command.args(arguments).args(["--min-free", "1MB"]).stdout(Stdio::null());
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    let child = kcap("node1");
    let mut kcap = OnNode { child, log: cluster.path("none") };
    thread::sleep(Duration::from_secs(1));
    assert!(kcap.child.try_wait().unwrap().is_none(), "it waits");
    let spec = "{\"spec\":{\"nodeName\":\"node1\",\"terminationGracePeriodSeconds\":0}}";
    let image = "kcap.local/tools:1 --restart=Never --image-pull-policy=Never";
    cluster
        .kubectl(&format!("run late -n demo --image={image} --overrides={spec} -- wget -q -O /dev/null http://api/"));
    until(60, "it captures", || kcap.child.try_wait().unwrap().is_some());
    cluster.kubectl("delete pod late -n demo --now");
    let (packets, info) = read(&file);
    assert_eq!(packets.len(), 2, "the first question of the pod's first program");
    assert!(info.interfaces.iter().any(|interface| interface.name.as_deref() == Some("demo/late/eth0")));
}

fn restarts(cluster: &Cluster) {
    let pod = cluster.pod("client");
    let file = cluster.file("restart.pcapng");
    let arguments = [&pod.name, "-n", "demo", "-p", "tcp/80", "-w", &file, "--no-analyze", "-d", "120s"];
    let mut kcap = cluster.capture(&pod.node, "capturing on", &arguments);
    thread::sleep(Duration::from_secs(2));
    let process = cluster.client_process(&pod.node);
    let of_pod = format!("[ \"$(readlink /proc/$p/ns/net)\" = \"$(readlink /proc/{process}/ns/net)\" ]");
    cluster.shell(&pod.node, &format!("for p in $(pgrep -x pause); do {of_pod} && kill -9 $p; done"));
    kcap.says("now also on");
    let address = || cluster.pod("client").address;
    until(60, "the pod runs again", || address() != pod.address);
    thread::sleep(Duration::from_secs(4));
    kcap.signal("-INT");
    let (code, notes) = kcap.ends();
    assert_eq!(code, 0, "{notes}");
    let name = format!("demo/{}/eth0", pod.name);
    let (_, info) = read(&file);
    let received: Vec<u64> = info
        .interfaces
        .iter()
        .filter(|interface| interface.name.as_deref() == Some(&name))
        .filter_map(|interface| interface.stats.received)
        .collect();
    assert!(received.len() == 2 && received.iter().all(|count| *count > 0), "{received:?}: {notes}");
    cluster.kubectl("rollout status deploy/client -n demo --timeout=60s");
}

fn deleted(cluster: &Cluster) {
    let pod = cluster.pod("api");
    let file = cluster.file("deleted.pcapng");
    let arguments = [&pod.name, "-n", "demo", "-w", &file, "--no-analyze", "-d", "120s"];
    let mut kcap = cluster.capture(&pod.node, "capturing on", &arguments);
    thread::sleep(Duration::from_secs(2));
    cluster.kubectl(&format!("delete pod {} -n demo --wait=false", pod.name));
    let (code, notes) = kcap.ends();
    assert!(code == 0 && notes.contains("all of its interfaces went away"), "{notes}");
    let (packets, info) = read(&file);
    let received: u64 = info.interfaces.iter().filter_map(|interface| interface.stats.received).sum();
    assert_eq!(packets.len() as u64, received, "what the kernel accepted is written");
    cluster.kubectl("rollout status deploy/api -n demo --timeout=60s");
}

fn killed(cluster: &Cluster) {
    let pod = cluster.pod("client");
    let file = cluster.file("killed.pcapng");
    let mut kcap = cluster.capture(&pod.node, "capturing on", &[&pod.name, "-n", "demo", "-w", &file]);
    thread::sleep(Duration::from_secs(3));
    kcap.signal("-KILL");
    kcap.ends();
    assert!(!Path::new(&file).exists());
    let (packets, _) = read(&format!("{file}.part"));
    assert!(!packets.is_empty(), "what was captured can be read");
    assert_eq!(cluster.shell(&pod.node, "pgrep -x -r R,S,D,T 'kcap.*'"), "", "no process");
}
