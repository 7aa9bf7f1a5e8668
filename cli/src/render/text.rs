//! The report for a person: the verdict first, then what was captured, then each finding with its evidence and fix.

mod finding;
mod overview;

use super::{Format, Page, Screen, severity_word, units::counted};
use kcap_analyze::{
    Report,
    finding::{Severity, StoryLine},
};
use std::io::{self, Write};

/// Text.
pub(super) const FORMAT: Format = Format { name: "text", doc: "for people", styled: true, render };

/// Findings named in the verdict.
const VERDICTS: usize = 10;

/// Column in which what labels name begins.
const COLUMN: usize = 14;

fn render(report: &Report, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(screen.width);
    verdict(&mut page, report);
    overview::overview(&mut page, report);
    story(&mut page, &report.story);
    findings(&mut page, report);
    remarks(&mut page, "What this capture cannot tell", &report.not_judged);
    remarks(&mut page, "Partial: limits that were reached", &report.limits_hit);
    out.write_all(page.into_text().as_bytes())
}

fn verdict(page: &mut Page, report: &Report) {
    if report.findings.is_empty() {
        return page.heading(nothing_found(report));
    }
    page.heading(&tally(report));
    for finding in report.findings.iter().take(VERDICTS) {
        page.tagged(severity_word(finding.severity), finding.code, &finding.title);
    }
    if let Some(more) = report.findings.len().checked_sub(VERDICTS).filter(|more| *more > 0) {
        page.paragraph(0, &format!("and {more} more below"));
    }
}

/// What no finding means.
fn nothing_found(report: &Report) -> &'static str {
    if report.captures.iter().all(|capture| capture.packets == 0) {
        "There is no packet to judge"
    } else if report.summary.protocols.is_empty() {
        "Nothing was seen that can be judged"
    } else {
        "No problem found"
    }
}

/// `2 problems, 1 note`.
fn tally(report: &Report) -> String {
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count() as i64;
    let problems = count(Severity::Error) + count(Severity::Critical) + count(Severity::Warning);
    let verdict = if problems > 0 { counted(problems, "problem") } else { "No problem found".into() };
    match count(Severity::Info) {
        0 => verdict,
        notes => format!("{verdict}, {}", counted(notes, "note")),
    }
}

fn story(page: &mut Page, story: &[StoryLine]) {
    let Some(first) = story.first() else { return };
    page.heading(&format!("The connection, from {}", first.time));
    let from = story.iter().map(|line| line.from.chars().count()).max().unwrap_or(0);
    let several = story.iter().any(|line| line.file != first.file);
    for line in story {
        let file = if several { format!("{} ", line.file) } else { String::new() };
        let frame = format!("{file}#{}", line.frame);
        page.entry(from + 27, &format!("{:>+12.6}  {frame:<8} {:<from$}", line.offset_s, line.from), &line.text);
    }
}

fn findings(page: &mut Page, report: &Report) {
    for finding in &report.findings {
        finding::finding(page, finding);
    }
}

fn remarks(page: &mut Page, heading: &str, remarks: &[String]) {
    if remarks.is_empty() {
        return;
    }
    page.heading(heading);
    for remark in remarks {
        page.item(remark);
    }
}
