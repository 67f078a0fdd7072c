//! The exit codes of `kfleet-agent`. Stable: service managers and packages look at them.

/// An exit code with its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The number.
    pub code: u8,
    /// When it is given.
    pub meaning: &'static str,
}

/// It was asked to stop and did.
pub const OK: Code = Code { code: 0, meaning: "it was asked to stop and did, or the command is done" };
/// The command line is wrong; clap's own number.
pub const USAGE: Code = Code { code: 2, meaning: "the command line is wrong" };
/// The configuration file is wrong.
pub const CONFIG: Code =
    Code { code: 78, meaning: "the configuration file can not be read or holds something unknown" };
/// Certificates or keys are missing or wrong.
pub const IDENTITY: Code =
    Code { code: 77, meaning: "key, certificate or authority is missing, expired or does not fit" };
/// The state directory can not be used.
pub const STATE: Code = Code { code: 74, meaning: "the state directory can not be read or written" };
/// The listener could not be opened.
pub const LISTEN: Code = Code { code: 69, meaning: "the address can not be listened on" };
/// It failed for another reason.
pub const FAILED: Code = Code { code: 1, meaning: "it failed; the log says why" };
/// `exec-as` could not start the program.
pub const NOT_STARTED: Code =
    Code { code: 127, meaning: "a command could not be started (between shim and command only)" };

/// All of them, for the reference.
pub const ALL: [Code; 8] = [OK, FAILED, USAGE, LISTEN, STATE, IDENTITY, CONFIG, NOT_STARTED];

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.code)
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_exit_code_means_one_thing() {
        let mut codes: Vec<u8> = ALL.iter().map(|code| code.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
    }
}
