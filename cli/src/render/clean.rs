use std::borrow::Cow;

/// A text from a capture without what could act on a terminal or mislead its reader: controls (escape sequences among
/// them), text direction, invisible characters. Each is shown as U+FFFD, so that it can be seen that there was one.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_hostile) {
        text.chars().map(|c| if is_hostile(c) { char::REPLACEMENT_CHARACTER } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' // direction, joiners
            | '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' // invisible
            | '\u{e0000}'..='\u{e0fff}' // tags and selectors
        )
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\x07\r\n\u{9b}31m"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}\u{fffd}31m");
        assert_eq!(clean("gpj.\u{202e}exe\u{200b}"), "gpj.\u{fffd}exe\u{fffd}");
        assert_eq!(clean("\u{e0041}"), "\u{fffd}");
    }

    #[test]
    fn text_stays() {
        assert_eq!(clean("naïve 日本 ✓ — web-0.svc"), "naïve 日本 ✓ — web-0.svc");
    }
}
