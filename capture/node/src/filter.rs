//! What is captured: options of the filter, an expression of libpcap's language, and the program of both.

use crate::CaptureError;
use kcap_file::LinkType;
use kcap_filter::{Base, Instruction, Options, Program, Spec};
use pcap::{Active, BpfProgram, Capture, Dead, Linktype};

/// Packets wanted, and how much of each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Ports, hosts, networks, protocols.
    pub spec: Spec,
    /// An expression of `pcap-filter(7)`, which must hold as well.
    pub expression: Option<String>,
    /// Bytes kept of each packet.
    pub snaplen: u32,
    /// Whether tunnels are looked into.
    pub inside: bool,
}

impl Wanted {
    /// The program for an interface of that link type. `live` is the interface itself: its expressions know of VLAN
    /// tags that the kernel has taken out of the frame.
    pub(crate) fn program(
        &self,
        link_type: LinkType,
        loopback: bool,
        live: &Capture<Active>,
    ) -> Result<Program, CaptureError> {
        self.combine(link_type, loopback, |expression| live.compile(expression, true))
    }

    /// The program for no interface in particular.
    pub fn explain(&self, link_type: LinkType, loopback: bool) -> Result<Program, CaptureError> {
        self.combine(link_type, loopback, |expression| dead(link_type)?.compile(expression, true))
    }

    fn combine(
        &self,
        link_type: LinkType,
        received_only: bool,
        compile: impl Fn(&str) -> Result<BpfProgram, pcap::Error>,
    ) -> Result<Program, CaptureError> {
        let base = if link_type == LinkType::ETHERNET { Base::Ethernet } else { Base::Ip };
        let options = Options { snaplen: self.snaplen, base, inside: self.inside, received_only };
        let own = Program::of(&self.spec, options)?;
        let Some(expression) = &self.expression else { return Ok(own) };
        let compiled = compile(expression).map_err(|source| CaptureError::Compile {
            expression: expression.clone(),
            rest: rest(expression, |start| compile(start).is_ok()),
            source,
        })?;
        Ok(program_of(&compiled)?.and(&own)?)
    }

    /// In words, for the file.
    pub fn text(&self) -> Option<String> {
        let own = (!self.spec.is_everything()).then(|| self.spec.to_string());
        let expression = self.expression.as_ref().map(|text| format!("bpf {text:?}"));
        let parts: Vec<String> = own.into_iter().chain(expression).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn dead(link_type: LinkType) -> Result<Capture<Dead>, pcap::Error> {
    // libpcap compiles for its own numbers, which for raw IP are not those of files.
    const DLT_RAW: i32 = 12;
    Capture::dead(Linktype(if link_type == LinkType::RAW { DLT_RAW } else { link_type.0.into() }))
}

/// What of an expression is not understood: libpcap does not say, so it is what follows the longest beginning that is an
/// expression by itself.
fn rest(expression: &str, compiles: impl Fn(&str) -> bool) -> Option<String> {
    /// Each is compiled, and may ask for the address of a name.
    const MAX_WORDS: usize = 64;
    let ends = expression.char_indices().filter(|(_, c)| c.is_whitespace() || *c == ')').map(|(at, _)| at);
    let ends: Vec<usize> = ends.take(MAX_WORDS).collect();
    let is_whole = |end: &&usize| {
        let start = expression.get(..**end).unwrap_or_default();
        let open = start.matches('(').count().saturating_sub(start.matches(')').count());
        !start.trim().is_empty() && compiles(&format!("{start}{}", ")".repeat(open)))
    };
    let end = ends.iter().rev().find(is_whole)?;
    Some(expression.get(*end..)?.trim().to_owned()).filter(|rest| !rest.is_empty())
}

/// libpcap's crate shows instructions only as text, `code jt jf k`.
fn program_of(compiled: &BpfProgram) -> Result<Program, kcap_filter::ProgramError> {
    let parse = |(at, text): (usize, String)| {
        let mut fields = text.split(' ').map(str::parse::<u32>);
        let mut next = || fields.next().and_then(Result::ok).ok_or(kcap_filter::ProgramError::Invalid { at });
        Ok(Instruction { code: next()? as u16, jt: next()? as u8, jf: next()? as u8, k: next()? })
    };
    let instructions = compiled.get_instructions().iter().map(ToString::to_string).enumerate();
    Program::from_instructions(instructions.map(parse).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kcap_filter::Ancillary;

    /// Ethernet, IPv4, UDP from port 53 to 4242.
    fn frame() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 53, 0x10, 0x92, 0, 8, 0, 0]);
        frame
    }

    fn keeps(port: &str, expression: &str) -> bool {
        let spec = Spec { ports: vec![port.parse().unwrap()], ..Spec::default() };
        let wanted = Wanted { spec, expression: Some(expression.to_owned()), snaplen: 96, inside: true };
        let program = wanted.explain(LinkType::ETHERNET, false).unwrap();
        program.run(&frame(), Ancillary::default()) == 96
    }

    #[test]
    fn options_and_expression_must_both_hold() {
        assert!(keeps("53", "udp and src host 10.0.0.1"));
        assert!(!keeps("54", "udp and src host 10.0.0.1"));
        assert!(!keeps("53", "udp and src host 10.0.0.2"));
        assert!(!keeps("53", "greater 1000"));
        assert!(!keeps("tcp/53", "udp"));
    }

    #[test]
    fn an_expression_that_is_none_is_refused_with_its_text() {
        let wanted =
            Wanted { spec: Spec::default(), expression: Some("tcp prot 80".to_owned()), snaplen: 96, inside: true };
        let error = wanted.explain(LinkType::ETHERNET, false).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("tcp prot 80"));
    }

    #[test]
    fn an_expression_is_refused_with_what_is_not_understood() {
        for (expression, from) in [
            ("tcp prot 80", Some("prot 80")),
            ("port 80 and", Some("and")),
            ("(tcp port 80 or udp prot 53) and ip", Some("prot 53) and ip")),
            ("prot 80", None),
        ] {
            let found = rest(expression, |text| dead(LinkType::ETHERNET).unwrap().compile(text, true).is_ok());
            assert_eq!(found.as_deref(), from, "{expression}");
        }
    }
}
