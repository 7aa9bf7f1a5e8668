//! `kcap TARGET…` is `kcap capture TARGET…`.

use super::Cli;
use clap::CommandFactory as _;
use std::ffi::OsString;

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
    if arguments.get(first).is_some_and(is_target) {
        arguments.insert(first, "capture".into());
    }
    arguments
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
            ("kcap", "kcap"),
        ] {
            let found = with_command(typed.split(' ').map(OsString::from));
            assert_eq!(found.join(" ".as_ref()), *meant, "{typed}");
        }
    }
}
