//! `kcap targets`: what can be captured on this node.

use crate::args::TargetsArgs;
use crate::exit::{Exit, Failure};
use crate::stream::Streams;
use kcap_node::Listing;
use std::fmt::Write as _;

pub(crate) fn run(args: &TargetsArgs, streams: &Streams) -> Result<Exit, Failure> {
    let namespace = (!args.all_namespaces).then_some(args.namespace.as_deref()).flatten();
    let found = kcap_node::list(args.runtime_endpoint.as_deref(), namespace).map_err(super::failure)?;
    streams.print(table(&found).as_bytes())?;
    Ok(Exit::Done)
}

const HEAD: [&str; 5] = ["NAMESPACE", "TARGET", "STATE", "ADDRESSES", "INTERFACES"];

fn table(listings: &[Listing]) -> String {
    let rows: Vec<[String; 5]> = std::iter::once(HEAD.map(str::to_owned)).chain(listings.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn row(of: &Listing) -> [String; 5] {
    let addresses: Vec<String> = of.addresses.iter().map(ToString::to_string).collect();
    let interfaces: Vec<String> = of.interfaces.iter().map(|(name, mtu)| format!("{name} (MTU {mtu})")).collect();
    let state = match (of.ready, of.host_network) {
        (false, _) => "not running",
        (true, true) => "node's network",
        (true, false) => "running",
    };
    let list = |items: Vec<String>| if items.is_empty() { "-".to_owned() } else { items.join(", ") };
    [of.namespace.clone(), format!("pod/{}", of.name), state.to_owned(), list(addresses), list(interfaces)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_lined_up() {
        let api = Listing {
            namespace: "default".to_owned(),
            name: "api".to_owned(),
            ready: true,
            addresses: vec!["10.0.0.1".parse().expect("an address")],
            interfaces: vec![("eth0".to_owned(), 1450)],
            ..Listing::default()
        };
        let proxy = Listing {
            name: "kube-proxy-x".to_owned(),
            host_network: true,
            interfaces: Vec::new(),
            addresses: Vec::new(),
            ..api.clone()
        };
        let expected = "\
NAMESPACE  TARGET            STATE           ADDRESSES  INTERFACES
default    pod/api           running         10.0.0.1   eth0 (MTU 1450)
default    pod/kube-proxy-x  node's network  -          -
";
        assert_eq!(table(&[api, proxy]), expected);
    }
}
