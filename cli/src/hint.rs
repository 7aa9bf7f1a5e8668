//! What to say to fingers that know another tool.

use crate::exit::Exit;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::process::ExitCode;

/// Options of other tools that file commands do not have, and what to use.
const HABITS: &[(&str, &str)] = &[
    (
        "-n",
        "kcap never does reverse DNS, so there is nothing to turn off; where clusters are meant, -n is the namespace",
    ),
    ("-c", "there is no packet count here; to analyse a part use --since, --until or a filter after --"),
    ("-r", "name the files without an option: kcap analyze FILE"),
    ("-w", "packets are not written; -O DIR writes tables, -o json a report for programs"),
    ("-f", "a filter expression goes last: kcap analyze FILE -- tcp port 80"),
    ("-Y", "Wireshark display filters do not work here; use --host, --port or a filter expression after --"),
    ("-p", "the port is --port here: kcap analyze FILE --port 80,443"),
    ("-i", "analyze reads files; the interface is part of what they say"),
    ("-B", "the ring between kernel and kcap is --buffer, as in --buffer 64MiB"),
    ("-D", "kcap targets lists what can be captured; -i names an interface of it"),
    ("-e", "packets are written, not printed: pipe them, as in kcap TARGET -w - | tcpdump -e -r -"),
    ("-X", "packets are written, not printed: pipe them, as in kcap TARGET -w - | tcpdump -X -r -"),
    ("-d", "to take a UDP port for a tunnel use --decode-as udp/8473=vxlan"),
];

/// Prints what is wrong with the command line, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if error.print().is_err() {
        // Nobody reads: the exit code is all there is left.
        return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
    }
    if let Some(hint) = habit(error) {
        eprintln!("hint: {hint}");
    }
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}

fn habit(error: &clap::Error) -> Option<&'static str> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let value = error.get(ContextKind::InvalidValue).map(ToString::to_string).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => HABITS.iter().find(|(option, _)| option == argument).map(|(_, hint)| *hint),
        _ if argument.starts_with("--snaplen") && value == "0" => {
            Some("0 is tcpdump's word for whole packets, which are the default here: leave -s out")
        }
        _ if argument.starts_with("--port") && value.is_empty() => {
            Some("-p is the port, as in -p 5432; kubectl's --previous and ksniff's --privileged are not needed here")
        }
        _ => None,
    }
}
