//! `kfleet-agent`: see `kfleet-agent help` and the library's first page.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The two inner programs come first, before anything is set up: they start once for every command that is run.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(name) if name == "shim" => match arguments.next() {
            Some(dir) => kfleet_agent::shim::main(dir.into()),
            None => kfleet_agent::exit::USAGE.into(),
        },
        Some(name) if name == "exec-as" => kfleet_agent::shim::exec_as(arguments),
        Some(_) | None => kfleet_agent::cli::main(kfleet_agent::cli::Arguments::parse()).into(),
    }
}
