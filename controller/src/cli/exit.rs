//! Exit codes: the one place where classes of failure become numbers. They are part of the contract with scripts;
//! `docs/exit-codes.md` is made from this table.

use kfleet_model::Class;
use kfleet_model::event::RunEnd;

/// What the program tells the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done; in check mode: everything was compared.
    Ok,
    /// A bug of kfleet, or its own directory is not usable.
    Internal,
    /// A task failed on a host.
    Failed,
    /// A host was unreachable (and nothing failed).
    Unreachable,
    /// Bad input: YAML, inventory, template, unknown words, command line. No host was touched.
    Input,
    /// A safety rule refused; the cluster was left serving.
    Refused,
    /// It is not known how a step ended.
    Unknown,
    /// Stopped by the operator.
    Cancelled,
    /// The code of a monitoring plugin, which has a meaning of its own: 0 ok, 1 warning, 2 critical, 3 unknown.
    Plugin(u8),
}

impl Exit {
    /// All of them, in the order of their numbers, with what they mean for people.
    pub const TABLE: [(Self, &'static str); 8] = [
        (Self::Ok, "everything was done; in check mode, everything was compared"),
        (Self::Internal, "kfleet itself failed, or its fleet directory is not usable"),
        (
            Self::Failed,
            "a task failed on at least one host; of `time check` and `tune check`, something is not as it shall be",
        ),
        (Self::Input, "bad input: playbook, inventory, template, unknown words, command line; no host was touched"),
        (Self::Unreachable, "a host was unreachable, and nothing failed on the others"),
        (Self::Refused, "a safety rule refused: nothing more was stopped, the reasons are named (FAILED_SAFE)"),
        (Self::Unknown, "it is not known how a step ended; `kfleet resume RUN` looks again"),
        (Self::Cancelled, "stopped by the operator (Ctrl-C)"),
    ];

    /// The number. 0, 2 and 4 are those of ansible-playbook; 130 is the shell's for an interrupt.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Internal => 1,
            Self::Failed => 2,
            Self::Input => 3,
            Self::Unreachable => 4,
            Self::Refused => 5,
            Self::Unknown => 6,
            Self::Cancelled => 130,
            Self::Plugin(code) => code,
        }
    }

    /// The exit of a failure of this class.
    #[must_use]
    pub fn of_class(class: Class) -> Self {
        match class {
            Class::Input => Self::Input,
            Class::Host => Self::Failed,
            Class::Unreachable => Self::Unreachable,
            Class::Refused => Self::Refused,
            Class::Cancelled => Self::Cancelled,
            Class::Internal => Self::Internal,
        }
    }

    /// The exit of a finished run, by its end and its counts of failed, unreachable and unknown.
    #[must_use]
    pub fn of_run(end: RunEnd, failed: u32, unreachable: u32, unknown: u32) -> Self {
        match end {
            RunEnd::Succeeded => Self::Ok,
            RunEnd::FailedSafe => Self::Refused,
            RunEnd::Cancelled => Self::Cancelled,
            RunEnd::Interrupted => Self::Internal,
            RunEnd::Failed if unknown > 0 => Self::Unknown,
            RunEnd::Failed if failed == 0 && unreachable > 0 => Self::Unreachable,
            RunEnd::Failed => Self::Failed,
        }
    }
}

/// The page `docs/exit-codes.md`.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Exit codes\n\nThe same for every command. Generated from `controller/src/cli/exit.rs`.\n\n| code | meaning |\n| --- | --- |\n",
    );
    for (exit, meaning) in Exit::TABLE {
        out.push_str(&format!("| {} | {meaning} |\n", exit.code()));
    }
    out.push_str(
        "\n`kfleet inspect --format nagios` alone ends as monitoring plugins do: 0 ok, 1 warning, 2 critical, 3 unknown.\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_s_exit_code_says_the_worst_that_happened() {
        let cases = [
            (RunEnd::Succeeded, (0, 0, 0), 0),
            (RunEnd::Failed, (1, 0, 0), 2),
            (RunEnd::Failed, (1, 1, 0), 2),
            (RunEnd::Failed, (0, 1, 0), 4),
            (RunEnd::Failed, (1, 1, 1), 6),
            (RunEnd::FailedSafe, (0, 0, 0), 5),
            (RunEnd::Cancelled, (0, 0, 0), 130),
        ];
        for (end, (failed, unreachable, unknown), code) in cases {
            assert_eq!(Exit::of_run(end, failed, unreachable, unknown).code(), code, "{end:?}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_has_every_code_once() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| exit.code()).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
    }

    #[test]
    fn the_page_of_exit_codes_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/exit-codes.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(page, reference(), "renew it with UPDATE_DOCS=1 cargo test -p kfleet");
    }
}
