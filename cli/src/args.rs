//! What can be typed.

mod analyze;
#[cfg(all(target_os = "linux", feature = "libpcap"))]
mod capture;
mod report;
#[cfg(all(target_os = "linux", feature = "libpcap"))]
mod shorthand;
mod value;

pub(crate) use analyze::{AnalyzeArgs, RestrictArgs, TableArgs};
#[cfg(all(target_os = "linux", feature = "libpcap"))]
pub(crate) use capture::{CaptureCommand, ConntrackArgs, ExplainFilterArgs, FilterCommand, FilterWhat, TargetsArgs};
pub(crate) use report::ReportArgs;
#[cfg(all(target_os = "linux", feature = "libpcap"))]
pub(crate) use shorthand::with_command;
pub(crate) use value::{Moment, about};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Captures packets in Kubernetes pods and says what is wrong.
#[derive(Debug, Parser)]
#[command(name = "kcap", version, propagate_version = true, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) color: ColorArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Colours.
#[derive(Debug, Args)]
pub(crate) struct ColorArgs {
    /// Colour the text; auto obeys `NO_COLOR`, `CLICOLOR_FORCE` and `TERM`
    #[arg(long, global = true, value_enum, default_value_t = When::Auto, value_name = "WHEN", help_heading = "Output")]
    pub(crate) color: When,
}

/// When to do something that suits terminals.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

impl From<When> for anstream::ColorChoice {
    fn from(when: When) -> Self {
        match when {
            When::Auto => Self::Auto,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
}

/// What to do. A command without a line here has its help where its arguments are: a line here would be all of it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(all(target_os = "linux", feature = "libpcap"))]
    Capture(Box<CaptureCommand>),
    /// List what can be captured on this node
    #[cfg(all(target_os = "linux", feature = "libpcap"))]
    Targets(TargetsArgs),
    /// Show the connections that the node tracks for a target
    #[cfg(all(target_os = "linux", feature = "libpcap"))]
    Conntrack(Box<ConntrackArgs>),
    /// Show what the filter of a capture becomes
    #[cfg(all(target_os = "linux", feature = "libpcap"))]
    Filter(FilterCommand),
    Analyze(Box<AnalyzeArgs>),
    /// Explain a finding, or list them all
    Explain(ExplainArgs),
    /// Print the schema of what analyze writes
    Schema(SchemaArgs),
    /// Print the completion script of a shell
    Completion(CompletionArgs),
    /// Print a manual page
    Man(ManArgs),
}

/// Explain a finding, or list them all.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Code or name of a finding, as in SVC003 or connect-refused
    #[arg(value_name = "CODE")]
    pub(crate) finding: Option<String>,
}

/// Print the schema of what analyze writes.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    #[command(subcommand)]
    pub(crate) of: SchemaOf,
}

/// What has a schema.
#[derive(Debug, Subcommand)]
pub(crate) enum SchemaOf {
    /// JSON Schema of the report that `analyze -o json` prints
    Report,
    /// Tables that `analyze -O DIR` writes, and their columns
    Tables {
        /// Form of the list
        #[arg(short, long, value_enum, default_value_t = TablesFormat::Text, value_name = "FORMAT")]
        output: TablesFormat,
        /// Only these tables
        #[arg(value_name = "TABLE")]
        tables: Vec<String>,
    },
}

/// Forms of the list of tables.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TablesFormat {
    Text,
    Md,
    Json,
}

/// Print the completion script of a shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Print a manual page.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command it is about; kcap itself when left out
    pub(crate) command: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
