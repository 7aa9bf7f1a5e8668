//! Pods of a real containerd with CNI.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "the set-up fails tests")]

#[path = "../../../tests/lab/mod.rs"]
mod lab;

use kcap_file::note::Note;
use lab::runtime::{Node, Pod};
use lab::{Running, read, until};
use std::process::Stdio;

/// Sends datagrams to an address from the node.
fn send(node: &Node, address: &str, count: u32) {
    let script = format!("for i in $(seq {count}); do echo $i >/dev/udp/{address}/4242; done");
    assert!(node.command("bash").args(["-c", &script]).status().unwrap().success());
}

/// Starts a capture and waits until it runs. `kill` of nsenter does not reach the agent, so it ends with a time or count.
fn start(node: &Node, arguments: &[&str]) -> Running {
    let log = node.folder().join("capture.log");
    let mut command = node.capture();
    command.args(["--min-free", "1MB"]).args(arguments).stdout(Stdio::null());
    let running = Running(command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap());
    until("the agent captures", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("capturing on")));
    running
}

/// Exit code and standard error of a command that ends by itself.
fn fails(node: &Node, arguments: &[&str]) -> (i32, String) {
    let ends = ["-w", node.folder().to_str().unwrap(), "-d", "1s", "--min-free", "1MB"];
    let output = node.capture().args(arguments).args(ends).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_pod_is_captured_by_its_name() {
    let Some(node) = Node::new() else { return };
    let sandbox = node.run(&Pod { name: "api-7d9f", container: Some("app"), ..Pod::default() });
    let other = node.run(&Pod { name: "db-0", ..Pod::default() });
    let address = node.address(&sandbox);
    let arguments =
        ["pod/api-7d9f", "-i", "eth0", "-p", "udp/4242", "--no-inner", "--count", "50", "-w", &node.file("api.pcapng")];
    let mut agent = start(&node, &arguments);
    send(&node, &address, 50);
    assert_eq!(agent.ends(), 0);
    let path = node.folder().join("api.pcapng");
    let (packets, info) = read(&path);
    assert_eq!(packets.len(), 50);
    assert_eq!(info.interfaces[0].name.as_deref(), Some("default/api-7d9f/eth0"));
    let names: Vec<&str> = info.names.iter().flat_map(|record| &record.names).map(String::as_str).collect();
    assert_eq!(names, ["api-7d9f.default.pod", "db-0.default.pod"]);
    assert!(info.names.iter().any(|record| record.address.to_string() == address));
    let notes: Vec<Note> = info.custom_blocks.iter().filter_map(|(pen, data)| Note::decode(*pen, data)).collect();
    let Some(Note::Capture(head)) = notes.first() else { panic!("no note") };
    let pod = head.places[0].pod.as_ref().unwrap();
    assert_eq!((pod.sandbox.as_str(), pod.containers.as_slice()), (sandbox.as_str(), &["app".to_owned()][..]));
    assert!(pod.runtime.starts_with("containerd "));
    let Some(Note::Context(context)) = notes.get(1) else { panic!("no context") };
    assert_eq!(context.links.iter().find(|link| link.name == "eth0").unwrap().mtu, 1450);
    assert!(context.routes.iter().any(|route| route.to.is_none() && route.via.is_some()), "{:?}", context.routes);
    assert!(context.resolv_conf.is_some(), "{:?}", context.missing);
    assert!(notes.iter().any(|note| matches!(note, Note::Context(c) if c.when == kcap_file::note::When::After)));

    // What is no exact name is never guessed.
    let (code, text) = fails(&node, &["api"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("no pod \"api\"") && text.contains("did you mean default/api-7d9f?"), "{text}");
    let (code, text) = fails(&node, &["api-7d9f", "-c", "sidecar"]);
    assert!(code == 1 && text.contains("no container \"sidecar\"; there is app"), "{text}");
    assert_eq!(fails(&node, &["-l", "app=api"]).0, 0);
    assert_eq!(fails(&node, &[&format!("container/{}", "f".repeat(64))]).0, 1);
    node.stop(&other);
    let (code, text) = fails(&node, &["db-0"]);
    assert!(code == 1 && text.contains("pod default/db-0 is not running"), "{text}");
}

#[test]
fn pods_of_the_node_s_network_need_a_word() {
    let Some(node) = Node::new() else { return };
    node.run(&Pod { name: "proxy", host_network: true, ..Pod::default() });
    let (code, text) = fails(&node, &["proxy"]);
    assert!(code == 1 && text.contains("shares the node's") && text.contains("--host-network"), "{text}");
    let (code, text) = fails(&node, &["proxy", "--host-network"]);
    assert!(code == 0 && text.contains("default/proxy/lo"), "{text}");
}

#[test]
fn a_deleted_pod_s_last_packets_are_kept() {
    let Some(node) = Node::new() else { return };
    let sandbox = node.run(&Pod { name: "job", ..Pod::default() });
    let address = node.address(&sandbox);
    // It ends by itself: what is left of the namespace is its loopback interface.
    let arguments = ["job", "-p", "udp/4242", "--no-inner", "-w", &node.file("job.pcapng"), "-d", "60s"];
    let mut agent = start(&node, &arguments);
    send(&node, &address, 30);
    node.stop(&sandbox);
    assert_eq!(agent.ends(), 0);
    let (packets, info) = read(&node.folder().join("job.pcapng"));
    assert_eq!(packets.len(), 30);
    let ethernet = info.interfaces.iter().find(|interface| interface.name.as_deref() == Some("default/job/eth0"));
    assert_eq!(ethernet.unwrap().stats.received, Some(30));
}

#[test]
fn a_pod_that_comes_later_is_waited_for() {
    let Some(node) = Node::new() else { return };
    let arguments = [
        "late",
        "--wait",
        "-i",
        "eth0",
        "-p",
        "udp/4242",
        "--no-inner",
        "--count",
        "5",
        "-w",
        &node.file("late.pcapng"),
    ];
    let log = node.folder().join("capture.log");
    let mut command = node.capture();
    command.args(["--min-free", "1MB"]).args(arguments).stdout(Stdio::null());
    let mut agent = Running(command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(agent.0.try_wait().unwrap().is_none(), "it waits");
    let sandbox = node.run(&Pod { name: "late", ..Pod::default() });
    until("it captures", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("capturing on")));
    send(&node, &node.address(&sandbox), 5);
    assert_eq!(agent.ends(), 0);
    assert_eq!(read(&node.folder().join("late.pcapng")).0.len(), 5);
}

#[test]
fn a_restarted_pod_is_followed() {
    let Some(node) = Node::new() else { return };
    let first = node.run(&Pod { name: "web-0", ..Pod::default() });
    let path = node.file("web.pcapng");
    let arguments = ["-l", "app=web", "-p", "udp/4242", "--no-inner", "--count", "60", "-w", &path, "-d", "60s"];
    let mut agent = start(&node, &arguments);
    send(&node, &node.address(&first), 20);
    node.stop(&first);
    let log = node.folder().join("capture.log");
    let joined = |count| std::fs::read_to_string(&log).is_ok_and(|text| text.matches("now also on").count() == count);
    let second = node.run(&Pod { name: "web-0", attempt: 1, ..Pod::default() });
    until("it follows", || joined(1));
    send(&node, &node.address(&second), 20);
    // Another pod with the label joins.
    let other = node.run(&Pod { name: "web-1", ..Pod::default() });
    until("it joins", || joined(2));
    send(&node, &node.address(&other), 20);
    assert_eq!(agent.ends(), 0);
    let (packets, info) = read(&node.folder().join("web.pcapng"));
    assert_eq!(packets.len(), 60);
    let received = |name: &str| -> Vec<u64> {
        let named = info.interfaces.iter().filter(|interface| interface.name.as_deref() == Some(name));
        named.filter_map(|interface| interface.stats.received).collect()
    };
    assert_eq!(received("default/web-0/eth0"), [20, 20]);
    assert_eq!(received("default/web-1/eth0"), [20]);
    let notes = info.custom_blocks.iter().filter_map(|(pen, data)| Note::decode(*pen, data));
    let heads: Vec<usize> =
        notes.filter_map(|note| if let Note::Capture(head) = note { Some(head.places.len()) } else { None }).collect();
    assert_eq!(heads, [1, 2, 3]);
    let others = info.names.iter().filter(|record| record.names == ["web-1.default.pod"]);
    assert_eq!(others.count(), 1);
}

#[test]
fn a_restarted_pod_is_its_newest_sandbox() {
    let Some(node) = Node::new() else { return };
    let first = node.run(&Pod { name: "web", ..Pod::default() });
    node.stop(&first);
    let second = node.run(&Pod { name: "web", attempt: 1, ..Pod::default() });
    let mut agent = start(
        &node,
        &["web", "-i", "eth0", "-p", "udp/4242", "--no-inner", "--count", "3", "-w", &node.file("web.pcapng")],
    );
    send(&node, &node.address(&second), 3);
    assert_eq!(agent.ends(), 0);
}
