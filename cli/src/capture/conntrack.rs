//! `kcap conntrack`: what the node tracks of a pod's addresses, and what changes.

use super::failure;
use crate::args::ConntrackArgs;
use crate::exit::{Exit, Failure};
use crate::stream::Streams;
use kcap_file::note::{ConntrackNote, Tuple};
use kcap_node::conntrack::{Changes, Snapshot, TCP_STATES, of_places};
use std::fmt::Write as _;

pub(crate) fn run(args: &ConntrackArgs, streams: &Streams) -> Result<Exit, Failure> {
    let resolved = super::offer::resolve(&args.targets, &args.pods, |text| eprintln!("kcap: {text}"))?;
    let snapshot = of_places(&resolved.places).map_err(failure)?;
    for missing in &snapshot.missing {
        eprintln!("kcap: {} not collected: {}", missing.what, missing.why);
    }
    streams.print(describe(&snapshot).as_bytes())?;
    let Some(duration) = args.duration else { return Ok(exit(&snapshot)) };
    std::thread::sleep(duration);
    let later = of_places(&resolved.places).map_err(failure)?;
    streams.print(differences(&snapshot.until(&later)).as_bytes())?;
    Ok(exit(&later))
}

fn exit(snapshot: &Snapshot) -> Exit {
    if snapshot.missing.is_empty() { Exit::Done } else { Exit::Incomplete }
}

fn describe(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut entries: Vec<&ConntrackNote> = snapshot.entries.iter().collect();
    entries.sort_by_key(|entry| (entry.protocol, entry.original));
    for entry in entries {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(text, "  {}", shown(entry));
    }
    if let Some(stats) = &snapshot.stats {
        let max = stats.max.map_or(String::new(), |max| format!(" of {max}"));
        let _ = writeln!(text, "{} entries here, {}{max} on the node", snapshot.entries.len(), stats.entries);
        let counted: Vec<_> = stats.counters().into_iter().filter(|(_, value)| *value > 0).collect();
        for (name, value) in &counted {
            let _ = writeln!(text, "{name} {value}");
        }
        if counted.is_empty() {
            text.push_str("all counters are 0: nothing dropped, no insertion failed\n");
        }
    }
    text
}

fn differences(changes: &Changes) -> String {
    let mut text = String::new();
    for (sign, entries) in [('+', &changes.new), ('-', &changes.gone)] {
        for entry in entries {
            let _ = writeln!(text, "{sign} {}", shown(entry));
        }
    }
    for (name, by) in &changes.counters {
        let _ = writeln!(text, "{name} +{by}");
    }
    if text.is_empty() { "nothing changed\n".to_owned() } else { text }
}

fn shown(entry: &ConntrackNote) -> String {
    let protocol = match entry.protocol {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmp6".to_owned(),
        132 => "sctp".to_owned(),
        other => format!("proto {other}"),
    };
    let state = entry.tcp_state.and_then(|state| TCP_STATES.get(usize::from(state))).copied();
    let unreplied = (!entry.is_replied()).then_some("UNREPLIED");
    let translated = (!mirrored(entry)).then(|| format!("answers {}", ends(&entry.reply)));
    let left = format!("{} s left", entry.timeout);
    let words = state.into_iter().chain(unreplied).map(str::to_owned).chain(translated).chain([left]);
    format!("{protocol} {}  {}", ends(&entry.original), words.collect::<Vec<_>>().join(", "))
}

/// Whether answers come as the first packet went: nothing is translated.
fn mirrored(entry: &ConntrackNote) -> bool {
    let Tuple { source, destination, .. } = entry.reply;
    source == entry.original.destination && destination == entry.original.source
}

fn ends(tuple: &Tuple) -> String {
    let end = |address: Option<std::net::IpAddr>, port| match address {
        Some(std::net::IpAddr::V6(address)) => format!("[{address}]:{port}"),
        Some(address) => format!("{address}:{port}"),
        None => "?".to_owned(),
    };
    format!("{} → {}", end(tuple.source, tuple.source_port), end(tuple.destination, tuple.destination_port))
}
