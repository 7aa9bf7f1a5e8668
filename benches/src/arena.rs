//! Which contests there are: the goals of the project and other comparisons.

use crate::contest::{Contest, Goal, Metric};
use crate::inputs::Inputs;
use crate::measure::Job;
use std::io;
use std::path::{Path, PathBuf};

/// Fields that tell of a packet what kcap's packet table tells.
const TSHARK_FIELDS: [&str; 32] = [
    "frame.number",
    "frame.time_epoch",
    "frame.len",
    "frame.cap_len",
    "eth.src",
    "eth.dst",
    "ip.src",
    "ip.dst",
    "ip.id",
    "ip.ttl",
    "ip.len",
    "ip.flags.df",
    "ip.frag_offset",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.flags",
    "tcp.len",
    "tcp.window_size_value",
    "tcp.options.timestamp.tsval",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "vxlan.vni",
    "icmp.type",
    "icmp.code",
    "dns.id",
    "dns.qry.name",
    "tcp.analysis.retransmission",
];

/// Makes the contests.
pub struct Arena {
    /// The program.
    pub kcap: PathBuf,
    /// Captures.
    pub inputs: Inputs,
    /// Also what takes many minutes and 20 GB of disk.
    pub full: bool,
}

impl Arena {
    fn analyze(&self, file: &Path, more: &[&str]) -> Job {
        let tables = self.inputs.folder().join("tables");
        let job = Job::new([self.kcap.as_os_str()]).and("analyze").and(file).and("-q").and("-o").and("json");
        more.iter().fold(job.and("--overwrite").and("-O").and(tables), Job::and)
    }

    /// All contests, the goals of the project first.
    ///
    /// # Errors
    /// A capture cannot be generated.
    pub fn contests(&self) -> io::Result<Vec<Contest>> {
        let mut all = self.large()?;
        all.extend(self.slices()?);
        all.extend(self.memory()?);
        all.extend(self.compressed());
        all.extend(self.small_and_dns()?);
        Ok(all)
    }

    fn large(&self) -> io::Result<Vec<Contest>> {
        use Goal::{AtMost, None};
        use Metric::{Cpu, Wall};
        let file = self.inputs.mixed()?.path;
        let tables =
            |metric, goal| Contest::new("mixed, tables and findings", self.analyze(&file, &[]), &file, metric, goal);
        let packets = |goal| {
            let job = self.analyze(&file, &["--packets"]);
            Contest::new("mixed, with the packet table", job, &file, Cpu, goal)
        };
        let copy = || tcpdump_copy(&file);
        Ok(vec![
            tables(Cpu, AtMost(1.25)).against("tcpdump -w /dev/null", copy()),
            tables(Wall, AtMost(1.0)).against("tcpdump -w /dev/null", copy()),
            packets(AtMost(2.5)).against("tcpdump -w /dev/null", copy()),
            tables(Cpu, None).against("cat", Job::new(["cat"]).and(&file)),
            tables(Wall, None).against("cat", Job::new(["cat"]).and(&file)),
            packets(None).against("cat", Job::new(["cat"]).and(&file)),
            tables(Cpu, None).against("capinfos -c -M", Job::new(["capinfos", "-c", "-M"]).and(&file)),
            tables(Cpu, None).against("softflowd -r", self.softflowd(&file)),
        ])
    }

    fn softflowd(&self, file: &Path) -> Job {
        let pid = self.inputs.folder().join("softflowd.pid");
        Job::new(["softflowd", "-d", "-c", "none", "-p"]).and(pid).and("-r").and(file)
    }

    /// Slow programs take a tenth of the capture, and kcap the same tenth; with `full` also the whole one once.
    fn slices(&self) -> io::Result<Vec<Contest>> {
        use Goal::{AtLeast, None};
        let file = self.inputs.tenth()?.path;
        let slice = |name, more: &[&str], goal| Contest::new(name, self.analyze(&file, more), &file, Metric::Cpu, goal);
        let fields = TSHARK_FIELDS
            .iter()
            .fold(Job::new(["tshark", "-n", "-T", "fields"]), |job, field| job.and("-e").and(field));
        let conversations = Job::new(["tshark", "-n", "-q", "-z", "conv,tcp", "-z", "expert", "-r"]).and(&file);
        let tables = "a tenth of mixed, tables and findings";
        let mut contests = vec![
            slice(tables, &[], AtLeast(25.0)).against("tcpdump -nn", tcpdump_print(&file)),
            slice("a tenth of mixed, with the packet table", &["--packets"], AtLeast(50.0))
                .against("tshark -T fields", fields.and("-r").and(&file))
                .rounds(2),
            slice(tables, &[], None).against("tshark -z conv,tcp -z expert", conversations).rounds(3),
            slice(tables, &[], None).against("tcptrace -l", Job::new(["tcptrace", "-n", "-l"]).and(&file)),
        ];
        if self.full {
            let whole = self.inputs.mixed()?.path;
            let job = self.analyze(&whole, &[]);
            let contest = Contest::new("mixed, tables and findings", job, &whole, Metric::Cpu, AtLeast(25.0));
            contests.push(contest.against("tcpdump -nn", tcpdump_print(&whole)).rounds(1));
        }
        Ok(contests)
    }

    fn memory(&self) -> io::Result<Vec<Contest>> {
        use Goal::{AtMost, PeakMib};
        let (mixed, tenth, small) = (self.inputs.mixed()?.path, self.inputs.tenth()?.path, self.inputs.small()?.path);
        let peak = |name, file: &Path, more: &[&str], goal| {
            Contest::new(name, self.analyze(file, more), file, Metric::Peak, goal).rounds(3)
        };
        let mut contests = vec![
            peak("mixed, peak memory", &mixed, &[], PeakMib(128.0)),
            peak("mixed, peak memory with the packet table", &mixed, &["--packets"], PeakMib(200.0)),
            peak("small packets, peak memory with --memory 64M", &small, &["--memory", "64M"], PeakMib(128.0)),
            peak("ten times as long, peak memory", &mixed, &[], AtMost(1.1))
                .against("a tenth", self.analyze(&tenth, &[])),
        ];
        if self.full {
            let long = self.inputs.tenfold()?.path;
            let contest = peak("ten times as long (20 GB), peak memory", &long, &[], AtMost(1.1));
            contests.push(contest.against("mixed", self.analyze(&mixed, &[])).rounds(1));
        }
        Ok(contests)
    }

    /// Compressed input; nothing where the compressor is not installed.
    fn compressed(&self) -> Vec<Contest> {
        let contest = |program: &'static str, suffix, name, metric, goal| {
            let path = self.inputs.compressed(program, suffix).ok()?;
            let peer = Job::new([program, "-dc"]).and(&path);
            Some(Contest::new(name, self.analyze(&path, &[]), &path, metric, goal).against(program, peer).rounds(3))
        };
        let gzip = contest("gzip", "gz", "mixed in gzip", Metric::Cpu, Goal::AtMost(1.0));
        let zstd = contest("zstd", "zst", "mixed in zstd", Metric::Wall, Goal::AtMost(1.2));
        gzip.into_iter().chain(zstd).collect()
    }

    fn small_and_dns(&self) -> io::Result<Vec<Contest>> {
        use Goal::{AtMost, None};
        let (small, dns) = (self.inputs.small()?.path, self.inputs.dns()?.path);
        let contest = |name, file: &Path, metric, goal| {
            Contest::new(name, self.analyze(file, &[]), file, metric, goal)
                .against("tcpdump -w /dev/null", tcpdump_copy(file))
        };
        Ok(vec![
            contest("75-byte packets", &small, Metric::Cpu, AtMost(1.5)),
            contest("75-byte packets", &small, Metric::Wall, None),
            contest("DNS", &dns, Metric::Cpu, None),
        ])
    }
}

fn tcpdump_copy(file: &Path) -> Job {
    Job::new(["tcpdump", "-w", "/dev/null", "-r"]).and(file)
}

fn tcpdump_print(file: &Path) -> Job {
    Job::new(["tcpdump", "-nn", "-r"]).and(file)
}
