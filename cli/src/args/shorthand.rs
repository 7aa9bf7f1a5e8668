//! `kcap TARGET…` is `kcap capture TARGET…`.

use super::Cli;
use clap::CommandFactory as _;
use std::ffi::OsString;
use std::path::Path;

/// Options that come before a command.
const GLOBAL: [&str; 4] = ["-h", "--help", "-V", "--version"];

/// The arguments with the command that was left out.
pub(crate) fn with_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut first = 1;
    // The one global option with a value.
    while let Some(text) = arguments.get(first).and_then(|argument| argument.to_str()) {
        match text {
            "--color" => first += 2,
            _ if text.starts_with("--color=") => first += 1,
            _ => break,
        }
    }
    match arguments.get(first) {
        Some(argument) if argument == "help" => {
            arguments.remove(first);
            arguments.push("--help".into());
        }
        Some(argument) if is_capture_file(argument) => arguments.insert(first, "analyze".into()),
        Some(argument) if is_target(argument) => arguments.insert(first, "capture".into()),
        _ => {}
    }
    arguments
}

/// Whether a file is there that is called as captures are.
fn is_capture_file(argument: &OsString) -> bool {
    let path = Path::new(argument);
    let ends =
        |path: &Path, endings: &[&str]| path.extension().is_some_and(|end| endings.iter().any(|one| end == *one));
    let plain = if ends(path, &["gz", "zst"]) { Path::new(path.file_stem().unwrap_or_default()) } else { path };
    ends(plain, &["pcap", "pcapng", "cap"]) && path.is_file()
}

fn is_target(argument: &OsString) -> bool {
    let command = Cli::command();
    let is_command = |name: &str| command.get_subcommands().any(|known| known.get_name() == name);
    argument.to_str().is_none_or(|text| !GLOBAL.contains(&text) && !is_command(text))
}

#[cfg(test)]
mod tests {
    use super::with_command;
    use std::ffi::OsString;

    #[test]
    fn what_is_no_command_is_a_target() {
        for (typed, meant) in [
            ("kcap pod/api -p 80", "kcap capture pod/api -p 80"),
            ("kcap api", "kcap capture api"),
            ("kcap -l app=api", "kcap capture -l app=api"),
            ("kcap --color never api", "kcap --color never capture api"),
            ("kcap --color=never analyze x", "kcap --color=never analyze x"),
            ("kcap targets", "kcap targets"),
            ("kcap pod/targets", "kcap capture pod/targets"),
            ("kcap --help", "kcap --help"),
            ("kcap help analyze", "kcap analyze --help"),
            ("kcap missing.pcap", "kcap capture missing.pcap"),
            ("kcap", "kcap"),
        ] {
            let found = with_command(typed.split(' ').map(OsString::from));
            assert_eq!(found.join(" ".as_ref()), *meant, "{typed}");
        }
    }

    #[test]
    fn a_capture_that_is_there_is_analysed() {
        let folder = tempfile::tempdir().unwrap();
        for (name, command) in [("a.pcap", "analyze"), ("b.pcapng.zst", "analyze"), ("notes.txt", "capture")] {
            let file = folder.path().join(name).into_os_string();
            std::fs::write(&file, "").unwrap();
            assert_eq!(with_command(["kcap".into(), file.clone()]), ["kcap".into(), command.into(), file]);
        }
    }
}
