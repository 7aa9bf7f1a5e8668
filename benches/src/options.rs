//! Command lines of this crate's programs: words, and options with a value.

/// A command line split into plain words, options (`--name value`) and switches (`--name`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// Words that belong to no option.
    pub words: Vec<String>,
    options: Vec<(String, String)>,
    switches: Vec<String>,
}

impl Line {
    /// Splits a command line; `valued` and `plain` are the options known, without dashes.
    ///
    /// # Errors
    /// An option is unknown or lacks its value.
    pub fn parse(args: impl IntoIterator<Item = String>, valued: &[&str], plain: &[&str]) -> Result<Self, String> {
        let mut line = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.strip_prefix("--") {
                Some(name) if valued.contains(&name) => {
                    let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
                    line.options.push((name.to_owned(), value));
                }
                Some(name) if plain.contains(&name) => line.switches.push(name.to_owned()),
                Some(_) => return Err(format!("unknown option {arg}")),
                None => line.words.push(arg),
            }
        }
        Ok(line)
    }

    /// The value of an option, the last one given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is there.
    pub fn has(&self, name: &str) -> bool {
        self.switches.iter().any(|switch| switch == name)
    }

    /// A number, or `default` when the option is not there.
    ///
    /// # Errors
    /// It is no number.
    pub fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        self.value(name).map_or(Ok(default), |text| text.parse().map_err(|_| format!("--{name} {text} is no number")))
    }

    /// A size in bytes, or `default` when the option is not there. K, M and G are powers of ten.
    ///
    /// # Errors
    /// It is no size.
    pub fn size(&self, name: &str, default: u64) -> Result<u64, String> {
        self.value(name).map_or(Ok(default), bytes)
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let unit = match text.as_bytes().last() {
        Some(b'K') => 1_000,
        Some(b'M') => 1_000_000,
        Some(b'G') => 1_000_000_000,
        _ => 1,
    };
    let digits = if unit == 1 { text } else { &text[..text.len() - 1] };
    digits.parse::<u64>().map(|n| n * unit).map_err(|_| format!("{text} is no size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &[&str]) -> Result<Line, String> {
        Line::parse(args.iter().map(ToString::to_string), &["size", "seed"], &["full"])
    }

    #[test]
    fn words_options_and_switches_are_told_apart() {
        let line = line(&["mixed", "--size", "2G", "out", "--full"]).unwrap();
        assert_eq!(line.words, ["mixed", "out"]);
        assert_eq!((line.size("size", 1), line.number("seed", 7)), (Ok(2_000_000_000), Ok(7)));
        assert!(line.has("full"));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(line(&["--sise", "1"]), Err("unknown option --sise".to_owned()));
        assert_eq!(line(&["--size"]), Err("--size needs a value".to_owned()));
        assert_eq!(line(&["--size", "2X"]).unwrap().size("size", 1), Err("2X is no size".to_owned()));
    }
}
