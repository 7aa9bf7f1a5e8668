use super::value::severity;
use crate::render;
use clap::{Args, builder::PossibleValuesParser};
use kcap_analyze::finding::Severity;

/// How the report comes out, of files and of captures alike.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArgs {
    /// Form of the report
    #[arg(short, long, value_name = "FORMAT", default_value = render::FORMATS[0].name,
        value_parser = PossibleValuesParser::new(render::FORMATS.iter().map(render::Format::value)),
        help_heading = "Output")]
    pub(crate) output: String,
    /// Exit with code 4 when a finding is this bad or worse: info, warning, error, critical
    #[arg(long, value_name = "SEVERITY", value_parser = severity(), help_heading = "Output")]
    pub(crate) fail_on: Option<Severity>,
    /// Print no notes, only the report and errors
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,
}
