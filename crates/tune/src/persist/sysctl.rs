//! Files of `sysctl.d`, which systemd-sysctl takes in the order of their names; the last one with a key wins.

use crate::kernel;
use std::collections::BTreeMap;

/// kfleet's own file. Debian lets `99-sysctl.conf` point to `/etc/sysctl.conf`, so the name sorts after that.
pub const OWN: &str = "/etc/sysctl.d/99-zz-kfleet.conf";

/// The folders, the one that wins first.
pub const FOLDERS: [&str; 4] = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];

/// The settings of a file by their dotted keys.
#[must_use]
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let pair = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((dotted(key.trim().trim_start_matches('-').trim()), kernel::value(value)))
    };
    lines.filter_map(pair).collect()
}

/// A key is written with dots, or as its path, where a dot is part of a name.
fn dotted(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key[at..].starts_with('/') => key.replace('/', "."),
        Some(_) | None => key.to_owned(),
    }
}

pub(crate) fn render(settings: &BTreeMap<String, String>) -> String {
    settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_with_dots_or_slashes_and_what_is_no_setting_is_passed_over() {
        let text = "# vm.swappiness = 2\n; x=1\nvm.swappiness=60\n net/ipv4/tcp_rmem =\t4096  131072 6291456 \n\
                    -kernel.x = 1\nnothing\nvm.swappiness = 1\n";
        let wanted = [("kernel.x", "1"), ("net.ipv4.tcp_rmem", "4096 131072 6291456"), ("vm.swappiness", "1")];
        let wanted: BTreeMap<String, String> = wanted.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(parse(text), wanted);
        assert_eq!(parse(&render(&wanted)), wanted);
    }
}
