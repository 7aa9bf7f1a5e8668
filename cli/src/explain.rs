//! `kcap explain`: the texts of the detectors.

use crate::{
    args::{ExplainArgs, about},
    exit::{Exit, Failure},
    render::{Page, severity_word},
    stream::Streams,
};
use kcap_analyze::detect::{About, DETECTORS};

pub(crate) fn run(args: &ExplainArgs, streams: &Streams) -> Result<Exit, Failure> {
    let mut page = Page::new(streams.width());
    match &args.finding {
        None => list(&mut page),
        Some(name) => explain(&mut page, find(name)?),
    }
    streams.print(page.into_text().as_bytes())?;
    Ok(Exit::Done)
}

fn find(name: &str) -> Result<&'static About, Failure> {
    about(name).map_err(|error| Failure::usage(format!("explain {name}: {error}")))
}

fn list(page: &mut Page) {
    let mut detectors: Vec<_> = DETECTORS.iter().collect();
    detectors.sort_by_key(|about| about.code);
    for about in detectors {
        page.tagged(severity_word(about.severity), about.code, &format!("{}: {}", about.slug, about.title));
    }
}

fn explain(page: &mut Page, about: &About) {
    page.tagged(severity_word(about.severity), about.code, &format!("{}: {}", about.slug, about.title));
    let texts = [
        ("What happens", about.what),
        ("Why it matters", about.why),
        ("How it is decided", about.how),
        ("What looks like it and is not", about.false_positives),
        ("What to do", about.fix),
    ];
    for (heading, text) in texts {
        page.heading(heading);
        page.paragraph(2, text);
    }
    page.heading("Wireshark display filter");
    page.verbatim(2, about.filter);
}
