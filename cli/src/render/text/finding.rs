use super::COLUMN;
use crate::render::{Page, severity_word, units::count};
use kcap_analyze::finding::{Evidence, Finding, Fix, Role, Subject};

/// Frames named of each file; the filter shows the others.
const FRAMES: usize = 10;

pub(super) fn finding(page: &mut Page, finding: &Finding) {
    page.gap();
    page.tagged(severity_word(finding.severity), finding.code, &finding.title);
    page.paragraph(2, &finding.explanation);
    facts(page, finding);
    finding.evidence.iter().for_each(|evidence| show_evidence(page, evidence));
    doubts(page, finding);
    fix(page, &finding.fix);
    if let Some(next) = &finding.capture_next {
        page.entry(COLUMN, "capture next", next);
    }
    page.entry(COLUMN, "more", &format!("kcap explain {}", finding.code));
}

fn facts(page: &mut Page, finding: &Finding) {
    let subjects: Vec<_> = finding.subjects.iter().map(subject).collect();
    entry(page, "who", &subjects.join(", "));
    let counts: Vec<_> = finding.counts.iter().map(|(name, number)| named(name, *number)).collect();
    entry(page, "counts", &counts.join(", "));
    let when = if finding.first == finding.last {
        finding.first.clone()
    } else {
        format!("{} to {}", finding.first, finding.last)
    };
    entry(page, "when", &when);
}

fn entry(page: &mut Page, label: &str, text: &str) {
    if !text.is_empty() {
        page.entry(COLUMN, label, text);
    }
}

fn named(name: &str, number: i64) -> String {
    format!("{} {}", count(number), name.replace('_', " "))
}

fn subject(subject: &Subject) -> String {
    let role = role(subject.role);
    match &subject.name {
        Some(name) => format!("{role} {} ({name})", subject.address),
        None => format!("{role} {}", subject.address),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
        Role::Service => "service",
        Role::Endpoint => "endpoint",
        Role::Node => "node",
        Role::Resolver => "resolver",
        Role::Vtep => "tunnel end",
        Role::Hop => "hop",
    }
}

fn show_evidence(page: &mut Page, evidence: &Evidence) {
    let frames: Vec<_> = evidence.frames.iter().take(FRAMES).map(ToString::to_string).collect();
    let more = if evidence.frames.len() > FRAMES { ", …" } else { "" };
    let frames = match frames.as_slice() {
        [] => String::new(),
        [one] => format!(" frame {one}"),
        many => format!(" frames {}{more}", many.join(", ")),
    };
    page.entry(COLUMN, "evidence", &format!("{}{frames}", evidence.file));
    if !evidence.filter.is_empty() {
        page.verbatim_entry(COLUMN, "filter", &evidence.filter);
    }
}

fn doubts(page: &mut Page, finding: &Finding) {
    let percent = (finding.confidence.clamp(0.0, 1.0) * 100.0).round();
    let mut text = format!("{percent} %");
    for limit in &finding.limits {
        text += "; ";
        text += limit;
    }
    page.entry(COLUMN, "confidence", &text);
    for other in &finding.ruled_out {
        page.entry(COLUMN, "ruled out", &format!("{}: {}", other.code, other.because));
    }
}

fn fix(page: &mut Page, fix: &Fix) {
    entry(page, "fix", &fix.text);
    for command in &fix.commands {
        page.verbatim(COLUMN, &format!("$ {command}"));
    }
    if let Some(yaml) = &fix.yaml {
        page.verbatim(COLUMN, yaml);
    }
}
