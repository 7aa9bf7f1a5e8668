//! The command `kcap-agent`: captures packets in pods and writes them as pcapng, and nothing else.

use clap::Parser;
use kcap_node::{CaptureArgs, CaptureError, FilterArgs, Observer, PodArgs, Status, Summary};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

const PROGRAM: &str = concat!("kcap-agent ", env!("CARGO_PKG_VERSION"));

/// Captures packets in Kubernetes pods; packets go to standard output unless -w says otherwise
#[derive(Debug, Parser)]
#[command(name = "kcap-agent", version, max_term_width = 100)]
struct Cli {
    /// pod/NAME, NAME, container/ID, netns/NAME, netns/PATH, pid/N, node
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    #[command(flatten)]
    pods: PodArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    capture: CaptureArgs,
    /// End when standard input ends: when whoever started this goes away
    #[arg(long, help_heading = "Capture")]
    end_with_stdin: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) => {
            // Nobody reads what cannot be printed.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
    }
}

fn run(cli: &Cli) -> ExitCode {
    let mut console = Console { quiet: cli.quiet, terminal: io::stderr().is_terminal(), shown: false };
    match capture(cli, &mut console) {
        Ok(summary) => console.summary(&summary),
        Err(error) => console.failure(&error),
    }
}

fn capture(cli: &Cli, console: &mut Console) -> Result<Summary, CaptureError> {
    let mut args = cli.capture.clone();
    args.write.get_or_insert_with(|| PathBuf::from("-"));
    let mut plan = args.plan(&cli.filter, PROGRAM)?;
    plan.limits.stdin = cli.end_with_stdin;
    let resolved = kcap_node::resolve(&cli.targets, &cli.pods)?;
    plan.set_targets(&resolved);
    kcap_node::capture(resolved, &plan, console)
}

/// What is said while capturing, on standard error.
struct Console {
    quiet: bool,
    terminal: bool,
    shown: bool,
}

impl Console {
    fn line(&mut self, text: &str) {
        let end = if std::mem::take(&mut self.shown) { "\r\x1b[K" } else { "" };
        // With standard error gone there is nobody to tell.
        let _ = writeln!(io::stderr(), "{end}kcap-agent: {text}");
    }

    fn summary(&mut self, summary: &Summary) -> ExitCode {
        if !self.quiet {
            self.line(&summary.to_string());
        }
        ExitCode::from(if summary.is_complete() { 0 } else { 3 })
    }

    fn failure(&mut self, error: &CaptureError) -> ExitCode {
        self.line(&error.chain());
        if let Some(hint) = error.hint() {
            let _ = writeln!(io::stderr(), "hint: {hint}");
        }
        ExitCode::from(error.exit_code())
    }
}

impl Observer for Console {
    fn started(&mut self, interfaces: &[String]) {
        if !self.quiet {
            self.line(&format!("capturing on {}", interfaces.join(", ")));
        }
    }

    fn joined(&mut self, interfaces: &[String]) {
        if !self.quiet {
            self.line(&format!("now also on {}", interfaces.join(", ")));
        }
    }

    fn status(&mut self, status: &Status) {
        if self.terminal && !self.quiet {
            self.shown = true;
            let _ = write!(io::stderr(), "\r\x1b[K{status}");
        }
    }

    fn warn(&mut self, warning: &str) {
        self.line(warning);
    }
}
