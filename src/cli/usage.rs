//! The command line, parsed by clap, and its mistakes in the same style as every other error.

use super::args::Cli;
use super::{Exit, Failure, Global};
use crate::progress::{Manner, Style, set_manner};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ColorChoice, CommandFactory, FromArgMatches};
use std::ffi::OsString;

/// What other programs call a run that writes nothing.
const ONLY_LOOK: [&str; 6] = ["--dry-run", "--dryrun", "--what-if", "--whatif", "--noop", "--simulate"];

/// Reads the command line and sets how this process speaks.
///
/// # Errors
/// The exit code, if there is nothing more to do: a mistake or the help was printed.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Cli, Exit> {
    // Before clap has read anything, because its own help and mistakes obey it, too.
    let color = [ColorChoice::Always, ColorChoice::Never].into_iter();
    let color = color.rev().find(|color| is_given(&arguments, "--color", &color.to_string())).unwrap_or_default();
    let style = if is_given(&arguments, "--progress", "json") { Style::Json } else { Style::Auto };
    let matches = Cli::command().color(color).try_get_matches_from(arguments);
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => {
            let Global { progress: style, quiet, color, .. } = cli.global;
            set_manner(Manner { style, quiet, color });
            Ok(cli)
        }
        Err(error) => {
            set_manner(Manner { style, quiet: false, color });
            Err(printed(&error))
        }
    }
}

fn is_given(arguments: &[OsString], option: &str, value: &str) -> bool {
    let joined = format!("{option}={value}");
    let is_pair = |pair: &[OsString]| pair[0] == option && pair[1] == value;
    arguments.windows(2).any(is_pair) || arguments.iter().any(|argument| *argument == *joined)
}

/// Help and version were asked for; everything else is a mistake.
fn printed(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _unheard = error.print();
            Exit::Good
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _unheard = error.print();
            Exit::Unusable
        }
        _ => failure(error).print(),
    }
}

fn failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(str::trim);
    let message = parts.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let more = parts.filter(|part| !part.starts_with("For more information"));
    let mut help: Vec<String> = hint(error).into_iter().collect();
    help.extend(more.map(|part| part.trim_start_matches("tip: ").to_owned()));
    help.push("`--help` shows every option".to_owned());
    Failure::usage("usage", message, help.join("\n  "))
}

/// For people who know another program's options.
fn hint(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let is_look = ONLY_LOOK.contains(&argument.to_ascii_lowercase().as_str());
    is_look.then(|| "`cutover plan JOB CSV` shows what a run would do, and writes nothing to the target".to_owned())
}
