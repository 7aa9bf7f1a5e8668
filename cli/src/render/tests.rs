use super::{FORMATS, Screen, reference};
use kcap_analyze::Report;

fn rendered(format: &str, report: &Report, screen: &Screen) -> String {
    let format = FORMATS.iter().find(|known| known.name == format).expect("a known format");
    let mut bytes = Vec::new();
    (format.render)(report, screen, &mut bytes).expect("write to memory");
    String::from_utf8(bytes).expect("UTF-8")
}

const PIPE: Screen = Screen { width: 100, terminal: false };

fn plain(report: &Report, width: usize) -> String {
    let text = rendered("text", report, &Screen { width, terminal: true });
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn a_healthy_capture() {
    insta::assert_snapshot!(plain(&reference::healthy(), 100));
}

#[test]
fn a_sick_cluster() {
    insta::assert_snapshot!(plain(&reference::sick(), 100));
}

#[test]
fn a_narrow_terminal() {
    insta::assert_snapshot!(plain(&reference::sick(), 60));
}

#[test]
fn the_story_of_a_connection() {
    insta::assert_snapshot!(plain(&reference::story(), 100));
}

#[test]
fn every_format_renders_every_reference_report() {
    for format in FORMATS {
        for report in [reference::healthy(), reference::sick(), reference::story()] {
            assert!(rendered(format.name, &report, &PIPE).contains(&report.captures[0].file), "{}", format.name);
        }
    }
}

#[test]
fn lines_are_no_wider_than_the_screen_but_for_what_is_to_be_copied() {
    let text = plain(&reference::sick(), 60);
    let wide: Vec<_> = text.lines().filter(|line| textwrap::core::display_width(line) > 60).collect();
    assert!(wide.iter().all(|line| line.trim_start().starts_with("filter ")), "{wide:#?}");
}

#[test]
fn nothing_of_a_capture_reaches_the_terminal_as_control() {
    let text = rendered("text", &reference::sick(), &PIPE);
    let styles_removed = anstream::adapter::strip_str(&text).to_string();
    assert!(styles_removed.contains("evil\u{fffd}[2J.pcap"));
    assert!(!text.contains("\x1b[2J") && !text.contains('\u{202e}'));
    assert!(styles_removed.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn severities_are_coloured() {
    let text = rendered("text", &reference::sick(), &PIPE);
    assert!(text.contains("\x1b[1m\x1b[7m\x1b[31mCRITICAL\x1b[0m"), "{text:?}");
}

#[test]
fn json_is_one_line_for_programs_and_many_for_people() {
    let report = reference::sick();
    let compact = rendered("json", &report, &PIPE);
    assert_eq!(compact.lines().count(), 1);
    let pretty = rendered("json", &report, &Screen { terminal: true, ..PIPE });
    assert!(pretty.lines().count() > 50);
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(parse(&compact), parse(&pretty));
}
