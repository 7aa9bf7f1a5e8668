use super::{FilterError, FrameFilter, Unsuited};
use kcap_file::LinkType;
use pcap::{BpfProgram, Capture, Linktype};
use std::sync::PoisonError;

/// Longest frame whose missing end is made up for length tests; libpcap's own limit.
const MAX_FRAME: usize = 262_144;

pub(super) fn compile(expression: &str, unsuited: &Unsuited) -> Result<Box<dyn FrameFilter>, FilterError> {
    // An expression may suit other link types only ("wlan type data" does not compile for Ethernet), so its meaning is
    // checked as files come; here it has to suit one of the common ones.
    let common = [LinkType::ETHERNET, LinkType::RAW, LinkType::LINUX_SLL, LinkType::IEEE802_11_RADIOTAP];
    let mut attempts = common.map(|link| Program::compile(expression, link)).into_iter();
    let expression = expression.to_owned();
    match attempts.next() {
        Some(Err(source)) if attempts.all(|attempt| attempt.is_err()) => {
            Err(FilterError::Compile { expression, source })
        }
        _ => {
            let unsuited = Unsuited::clone(unsuited);
            Ok(Box::new(Filter { expression, programs: Vec::new(), padded: Vec::new(), unsuited }))
        }
    }
}

/// An expression and its programs, one for each link type seen; `None` where it does not compile.
struct Filter {
    expression: String,
    programs: Vec<(LinkType, Option<Program>)>,
    padded: Vec<u8>,
    unsuited: Unsuited,
}

impl Filter {
    fn compile(&self, link: LinkType) -> Option<Program> {
        match Program::compile(&self.expression, link) {
            Ok(program) => Some(program),
            Err(error) => {
                self.unsuited.lock().unwrap_or_else(PoisonError::into_inner).push((link, error.to_string()));
                None
            }
        }
    }
}

impl FrameFilter for Filter {
    fn accepts(&mut self, link: LinkType, frame: &[u8], orig_len: u32) -> bool {
        let place = self.programs.iter().position(|(known, _)| *known == link).unwrap_or_else(|| {
            let program = self.compile(link);
            self.programs.push((link, program));
            self.programs.len() - 1
        });
        match &self.programs[place].1 {
            Some(program) => program.accepts(frame, orig_len, &mut self.padded),
            None => false,
        }
    }
}

struct Program {
    bpf: BpfProgram,
    /// Whether it looks at the frame's length, as `greater` and `less` do.
    uses_length: bool,
}

impl Program {
    fn compile(expression: &str, link: LinkType) -> Result<Self, pcap::Error> {
        let bpf = Capture::dead(dlt(link))?.compile(expression, true)?;
        let uses_length = bpf.get_instructions().iter().any(|instruction| loads_length(&instruction.to_string()));
        Ok(Self { bpf, uses_length })
    }

    /// libpcap's offline filter takes the captured length for the length on the wire, so a cut frame is made as long
    /// as it was where that matters.
    fn accepts(&self, frame: &[u8], orig_len: u32, padded: &mut Vec<u8>) -> bool {
        let orig_len = (orig_len as usize).min(MAX_FRAME);
        if !self.uses_length || orig_len <= frame.len() {
            return self.bpf.filter(frame);
        }
        padded.clear();
        padded.extend_from_slice(frame);
        padded.resize(orig_len, 0);
        self.bpf.filter(padded)
    }
}

/// Whether an instruction, printed as `code jt jf k`, is `BPF_LD|BPF_LEN` or `BPF_LDX|BPF_LEN` (linux/filter.h).
fn loads_length(instruction: &str) -> bool {
    let code = instruction.split_whitespace().next().and_then(|code| code.parse::<u16>().ok());
    matches!(code, Some(0x80 | 0x81))
}

/// libpcap compiles for its own numbers (DLT), which for raw IP are not those of files
/// (<https://www.tcpdump.org/linktypes.html>).
fn dlt(link: LinkType) -> Linktype {
    const DLT_RAW: i32 = if cfg!(target_os = "openbsd") { 14 } else { 12 };
    Linktype(if link == LinkType::RAW { DLT_RAW } else { link.0.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet, IPv4, UDP from port 53.
    fn frame() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 53, 0x80, 0, 0, 8, 0, 0]);
        frame
    }

    fn compile(expression: &str) -> Result<Box<dyn FrameFilter>, FilterError> {
        super::compile(expression, &Unsuited::default())
    }

    #[test]
    fn each_link_type_has_its_program() {
        let mut filter = compile("udp port 53").expect("compiles");
        assert!(filter.accepts(LinkType::ETHERNET, &frame(), 42));
        assert!(filter.accepts(LinkType::RAW, &frame()[14..], 28));
        assert!(!filter.accepts(LinkType::ETHERNET, &frame()[14..], 28));
        assert!(!compile("tcp").expect("compiles").accepts(LinkType::ETHERNET, &frame(), 42));
    }

    #[test]
    fn lengths_are_those_on_the_wire() {
        let mut filter = compile("greater 1000").expect("compiles");
        assert!(filter.accepts(LinkType::ETHERNET, &frame(), 1400));
        assert!(!filter.accepts(LinkType::ETHERNET, &frame(), 42));
        assert!(filter.accepts(LinkType::ETHERNET, &frame(), u32::MAX));
    }

    #[test]
    fn nonsense_is_refused_before_reading() {
        let error = compile("tcp prot 80").err().expect("no expression");
        assert!(error.to_string().contains("tcp prot 80"));
    }

    #[test]
    fn a_link_type_the_expression_does_not_suit_matches_nothing() {
        let unsuited = Unsuited::default();
        let mut filter = super::compile("wlan type data", &unsuited).expect("suits 802.11");
        for _ in 0..2 {
            assert!(!filter.accepts(LinkType::ETHERNET, &frame(), 42));
        }
        let unsuited = unsuited.lock().expect("not poisoned");
        assert_eq!(unsuited.iter().map(|(link, _)| *link).collect::<Vec<_>>(), [LinkType::ETHERNET]);
    }
}
