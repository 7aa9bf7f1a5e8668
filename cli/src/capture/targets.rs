//! `kcap targets`: what can be captured on this node.

use crate::args::TargetsArgs;
use crate::exit::{Exit, Failure};
use crate::stream::Streams;
use kcap_node::Listing;
use std::fmt::Write as _;

pub(crate) fn run(args: &TargetsArgs, streams: &Streams) -> Result<Exit, Failure> {
    let namespace = args.namespace.as_deref();
    let (mut found, files) = match kcap_node::list_pods(args.runtime_endpoint.as_deref(), namespace) {
        Ok(listed) => listed,
        // Without a runtime, and nobody asking for it, there is something to list all the same.
        Err(error) if error.is_no_runtime() && namespace.is_none() && args.runtime_endpoint.is_none() => {
            super::failure(error).print();
            Default::default()
        }
        Err(error) => return Err(super::failure(error)),
    };
    if namespace.is_none() {
        found.extend(kcap_node::list_others(&files));
    }
    streams.print(table(&kcap_node::host_name(), &found).as_bytes())?;
    Ok(Exit::Done)
}

const HEAD: [&str; 6] = ["NAMESPACE", "TARGET", "STATE", "NODE", "ADDRESSES", "INTERFACES"];

fn table(node: &str, listings: &[Listing]) -> String {
    let listed = listings.iter().map(|listing| row(node, listing));
    let rows: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned)).chain(listed).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn row(node: &str, of: &Listing) -> [String; 6] {
    let addresses: Vec<String> = of.addresses.iter().map(ToString::to_string).collect();
    let interfaces: Vec<String> = of.interfaces.iter().map(|(name, mtu)| format!("{name} (MTU {mtu})")).collect();
    let state = match (of.ready, of.host_network) {
        (false, _) => "not running",
        (true, true) => "node's network",
        (true, false) => "running",
    };
    let list = |items: Vec<String>| if items.is_empty() { "-".to_owned() } else { items.join(", ") };
    let namespace = if of.namespace.is_empty() { "-" } else { &of.namespace };
    let words = [namespace, &of.target, state, node];
    let [namespace, target, state, node] = words.map(str::to_owned);
    [namespace, target, state, node, list(addresses), list(interfaces)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_lined_up() {
        let api = Listing {
            namespace: "default".to_owned(),
            target: "pod/api".to_owned(),
            ready: true,
            addresses: vec!["10.0.0.1".parse().expect("an address")],
            interfaces: vec![("eth0".to_owned(), 1450)],
            ..Listing::default()
        };
        let proxy = Listing {
            target: "pod/kube-proxy-x".to_owned(),
            host_network: true,
            interfaces: Vec::new(),
            addresses: Vec::new(),
            ..api.clone()
        };
        let blue = Listing { target: "netns/blue".to_owned(), ready: true, ..Listing::default() };
        let expected = "\
NAMESPACE  TARGET            STATE           NODE   ADDRESSES  INTERFACES
default    pod/api           running         node1  10.0.0.1   eth0 (MTU 1450)
default    pod/kube-proxy-x  node's network  node1  -          -
-          netns/blue        running         node1  -          -
";
        assert_eq!(table("node1", &[api, proxy, blue]), expected);
    }
}
