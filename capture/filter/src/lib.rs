//! Packet filters that see inside tunnels, as programs for the kernel's classic BPF machine.
//!
//! [`Spec`] says which packets are wanted: ports, hosts, networks, protocols. [`Program::of`] assembles the program for
//! it, which looks for them in the outermost IP packet, in what VXLAN, Geneve, GRE and IP-in-IP carry, and in the
//! packet an ICMP error is about. The text language of libpcap can state most of that only in programs of many times
//! the length, and some of it not at all.
//!
//! The crate knows no sockets: it makes programs, shows them ([`Program`] prints as `tcpdump -d` does) and runs them
//! ([`Program::run`]) as the kernel would.

mod assemble;
mod generate;
mod insn;
mod machine;
mod spec;

pub use generate::{Base, Options};
pub use insn::{Instruction, MAX_INSTRUCTIONS, Program, ProgramError};
pub use machine::Ancillary;
pub use spec::{Net, PortRange, Protocol, Spec, SpecError, Transport};
