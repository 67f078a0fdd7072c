//! `kfleet-agent exec-as USER ERROR_FILE PROGRAM ARGUMENTS...`: becomes another user and then the program.
//!
//! Purpose: switching users between fork and exec would need unsafe code; a program of its own can do it safely.
//! Order: supplementary groups, group, user. Once the user is switched there is no way back.
//! Not here: the environment and the working directory; the shim has set both.

use crate::exit;
use nix::unistd::{User, initgroups, setgid, setuid};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Does not return when it succeeds. What went wrong is written into the error file, which is opened before the switch:
/// afterwards the folder may not be reachable.
#[must_use]
pub fn exec_as(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(user), Some(errors), Some(program)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return exit::USAGE.into();
    };
    let Ok(mut errors) = File::create(&errors) else { return exit::STATE.into() };
    let why = match switch(&user.to_string_lossy()) {
        Ok(()) => super::start_error(&Command::new(program).args(arguments).exec()),
        Err(why) => why,
    };
    match errors.write_all(why.as_bytes()) {
        Ok(()) => exit::NOT_STARTED.into(),
        Err(_) => exit::STATE.into(),
    }
}

fn switch(name: &str) -> Result<(), String> {
    let failed = |what: &str, errno: nix::errno::Errno| format!("could not become user {name:?}: {what}: {errno}");
    let user = User::from_name(name).map_err(|errno| failed("the user database", errno))?;
    let user = user.ok_or_else(|| format!("could not become user {name:?}: there is no such user"))?;
    let c_name = CString::new(name).map_err(|_| format!("could not become user {name:?}: it has a zero byte"))?;
    initgroups(&c_name, user.gid).map_err(|errno| failed("its groups", errno))?;
    setgid(user.gid).map_err(|errno| failed("its group", errno))?;
    setuid(user.uid).map_err(|errno| failed("its number", errno))
}
