//! The files of a lab host, moved below a folder: what a host is that has no root of its own. Pure text.
//!
//! They are made by [`super::kafka_files`] for hosts that boot systemd. Here every absolute path in them gets the
//! host's folder before it, and a unit of systemd becomes a start script and a program of supervisord, so that both
//! kinds of lab run the same services with the same settings.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::files::{Content, HostFile, Owner};

/// Where units lie in the files of a booted host.
const UNITS: &str = "/etc/systemd/system/";

/// The unit that formats the folder of a KRaft node before its first start.
const FORMAT: &str = "/etc/systemd/system/kafka-format.service";

/// Where supervisord finds its programs.
pub(super) const PROGRAMS: &str = "/etc/supervisor/conf.d";

/// supervisord's own configuration.
pub(super) const SUPERVISORD: &str = "/etc/supervisor/supervisord.conf";

/// Where supervisord writes, and what its programs say.
pub(super) const LOGS: &str = "/var/log/supervisor";

/// The socket that it answers on.
pub(super) const SOCKET: &str = "/run/supervisor.sock";

/// What the paths of a host become.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// The host's folder.
    pub(super) root: PathBuf,
    /// The jars of Kafka, where there are services.
    pub(super) libs: Option<PathBuf>,
    /// The program that runs them.
    pub(super) java: PathBuf,
}

impl Places {
    /// A path of the host, on this machine.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Puts the host's folder before every absolute path in a text, in one pass: the folder itself may begin alike.
    pub(super) fn text(&self, text: &str) -> String {
        let libs = self.libs.as_deref().unwrap_or(Path::new("/opt/kafka/libs")).display().to_string();
        let root = self.root.display();
        let places = [
            ("/opt/kafka/libs", libs),
            ("/usr/bin/java", self.java.display().to_string()),
            ("/etc/", format!("{root}/etc/")),
            ("/var/", format!("{root}/var/")),
        ];
        let mut out = String::with_capacity(text.len() * 2);
        let mut rest = text;
        let mut begins = true;
        while let Some(next) = rest.chars().next() {
            let found = places.iter().filter(|_| begins).find(|(from, _)| rest.starts_with(from));
            if let Some((from, to)) = found {
                out.push_str(to);
                rest = rest.get(from.len()..).unwrap_or_default();
                begins = false;
                continue;
            }
            out.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
            // Inside of a path nothing begins: `/opt/kafka/etc/` is none of these.
            begins = !(next.is_alphanumeric() || matches!(next, '/' | '.' | '-' | '_' | '*' | '}'));
        }
        out
    }

    /// The files of a host without a systemd of its own.
    pub(super) fn files(&self, files: &[HostFile]) -> Vec<HostFile> {
        let mut out = vec![
            HostFile::folder("/run", Owner::Caller),
            HostFile::folder(LOGS, Owner::Caller),
            HostFile::folder(PROGRAMS, Owner::Caller),
            HostFile::text(SUPERVISORD, self.supervisord_conf()).owned_by(Owner::Caller),
        ];
        let format = files.iter().find(|file| file.path == FORMAT).and_then(text_of);
        for file in files {
            match (unit_name(file), text_of(file)) {
                (Some("kafka-format"), _) => {}
                (Some(unit), Some(text)) => out.extend(self.program(unit, text, format)),
                // The link that enables a unit: every program starts with its supervisord.
                (Some(_), None) => {}
                (None, _) => out.push(self.moved(file)),
            }
        }
        out
    }

    fn moved(&self, file: &HostFile) -> HostFile {
        let content = match &file.content {
            Content::Text(text) => Content::Text(self.text(text)),
            Content::Script(text) => Content::Script(self.text(text)),
            Content::LinkTo(to) => Content::LinkTo(to),
            Content::Folder => Content::Folder,
        };
        HostFile { path: file.path.clone(), content, owner: Owner::Caller }
    }

    fn program(&self, name: &str, unit: &str, format: Option<&str>) -> [HostFile; 2] {
        let script = format!("/opt/kafka/bin/run-{name}");
        let text = self.text(&start_script(unit, format));
        let run = HostFile { path: script.clone(), content: Content::Script(text), owner: Owner::Caller };
        let patience = setting(unit, "TimeoutStopSec").unwrap_or("90");
        let text = self.section(name, &self.path(&script).display().to_string(), patience, false);
        [run, HostFile::text(&format!("{PROGRAMS}/{name}.conf"), text).owned_by(Owner::Caller)]
    }

    /// The agent as a program; unlike Kafka's units, its own is restarted when it ends.
    pub(super) fn agent_program(&self) -> String {
        let (agent, config) = (self.path("/usr/bin/kfleet-agent"), self.path("/etc/kfleet/agent.toml"));
        self.section("kfleet-agent", &format!("{} serve --config {}", agent.display(), config.display()), "90", true)
    }

    /// Kafka's units have no `Restart=` and so no `autorestart`: a fault stays until somebody mends it.
    fn section(&self, name: &str, command: &str, patience: &str, restarts: bool) -> String {
        let log = self.path(&format!("{LOGS}/{name}.log"));
        format!(
            "; Written by `lab up`.\n[program:{name}]\ncommand={command}\nautostart=true\nautorestart={restarts}\n\
             startsecs=1\nstopsignal=TERM\nstopwaitsecs={patience}\nredirect_stderr=true\nstdout_logfile={}\n\
             stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=1\n",
            log.display()
        )
    }

    fn supervisord_conf(&self) -> String {
        let place = |path: &str| self.path(path).display().to_string();
        let (socket, logs) = (place(SOCKET), place(LOGS));
        format!(
            "; Written by `lab up`.\n[supervisord]\nnodaemon=true\nlogfile={logs}/supervisord.log\nlogfile_maxbytes=10MB\n\
             logfile_backups=1\npidfile={}\nchildlogdir={logs}\n\n[unix_http_server]\nfile={socket}\nchmod=0700\n\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\n\
             [supervisorctl]\nserverurl=unix://{socket}\n\n[include]\nfiles = {}/*.conf\n",
            place("/run/supervisord.pid"),
            place(PROGRAMS)
        )
    }

    /// The agent's configuration: its folders, its address, its supervisord.
    pub(super) fn agent_toml(&self, address: Ipv4Addr) -> String {
        format!(
            "# Written by `lab up`.\nlisten = \"{address}:7443\"\nstate_dir = \"{}\"\npki_dir = \"{}\"\n\
             service_manager = \"supervisord\"\nsupervisord_socket = \"{}\"\n",
            self.path("/var/lib/kfleet-agent").display(),
            self.path("/etc/kfleet/pki").display(),
            self.path(SOCKET).display()
        )
    }
}

fn text_of(file: &HostFile) -> Option<&str> {
    match &file.content {
        Content::Text(text) => Some(text),
        Content::Script(_) | Content::LinkTo(_) | Content::Folder => None,
    }
}

fn unit_name(file: &HostFile) -> Option<&str> {
    file.path.strip_prefix(UNITS)?.rsplit('/').next()?.strip_suffix(".service")
}

/// The value of a key of a unit file.
fn setting<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// What systemd does with the unit, as a shell does it: environment file, working directory, and the program in place
/// of this process, so that signals reach it.
fn start_script(unit: &str, format: Option<&str>) -> String {
    let mut text = String::from(
        "#!/bin/sh\n# Written by `lab up`.\n# No globbing: the JVM itself wants the asterisk of its class path.\nset -euf\n",
    );
    if let Some(file) = setting(unit, "EnvironmentFile") {
        let _written = writeln!(
            text,
            "while IFS= read -r line; do\n  case $line in [A-Z]*=*) export \"$line\" ;; esac\ndone < {file}"
        );
    }
    if let Some(folder) = setting(unit, "WorkingDirectory") {
        let _written = writeln!(text, "cd {folder}");
    }
    if let Some(unit) = format
        && let (Some(marker), Some(command)) = (setting(unit, "ConditionPathExists"), setting(unit, "ExecStart"))
    {
        let _written = writeln!(text, "[ -e {} ] || {command}", marker.trim_start_matches('!'));
    }
    let _written = writeln!(text, "exec {}", setting(unit, "ExecStart").unwrap_or("false"));
    text
}

#[cfg(test)]
mod tests {
    use super::super::kafka_files::service_files;
    use super::super::topology::{Kind, Subnet, Topology};
    use super::*;

    fn places() -> Places {
        Places {
            root: "/var/lib/lab/kafka1".into(),
            libs: Some("/cache/libs".into()),
            java: "/usr/lib/jvm/bin/java".into(),
        }
    }

    #[test]
    fn every_path_gets_the_folder_once() {
        for (text, expected) in [
            ("log.dirs=/var/lib/kafka/data", "log.dirs=/var/lib/lab/kafka1/var/lib/kafka/data"),
            ("-Dx=file:/etc/kafka/l", "-Dx=file:/var/lib/lab/kafka1/etc/kafka/l"),
            (
                "/usr/bin/java -cp /opt/kafka/libs/* X /etc/a",
                "/usr/lib/jvm/bin/java -cp /cache/libs/* X /var/lib/lab/kafka1/etc/a",
            ),
            ("/opt/kafka/etc/ and ${x}/etc/", "/opt/kafka/etc/ and ${x}/etc/"),
            ("a/b c:d", "a/b c:d"),
        ] {
            assert_eq!(places().text(text), expected);
        }
    }

    fn of(kind: Kind, host: &str) -> Vec<HostFile> {
        let lab = Topology::of(kind, Subnet::loopback("x"));
        places().files(&service_files(&lab, lab.host(host).unwrap(), 1024))
    }

    fn content<'a>(files: &'a [HostFile], path: &str) -> &'a str {
        match &files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}")).content {
            Content::Text(text) | Content::Script(text) => text,
            Content::LinkTo(_) | Content::Folder => panic!("{path} has no text"),
        }
    }

    #[test]
    fn a_unit_becomes_a_script_and_a_program_and_nothing_of_systemd_is_left() {
        for (kind, host) in [(Kind::Zk, "zk1"), (Kind::Zk, "kafka1"), (Kind::Kraft, "kraft1")] {
            let files = of(kind, host);
            assert!(files.iter().all(|file| !file.path.contains("systemd") && file.owner == Owner::Caller), "{host}");
        }
        let files = of(Kind::Zk, "kafka1");
        let script = content(&files, "/opt/kafka/bin/run-kafka");
        assert!(script.contains("done < /var/lib/lab/kafka1/etc/default/kafka\n"), "{script}");
        assert!(script.contains("exec /usr/lib/jvm/bin/java $KAFKA_HEAP_OPTS"), "{script}");
        assert!(script.ends_with("kafka.Kafka /var/lib/lab/kafka1/etc/kafka/server.properties\n"), "{script}");
        let program = content(&files, "/etc/supervisor/conf.d/kafka.conf");
        for line in ["command=/var/lib/lab/kafka1/opt/kafka/bin/run-kafka", "stopwaitsecs=180", "autorestart=false"] {
            assert!(program.lines().any(|found| found == line), "{program}");
        }
    }

    #[test]
    fn a_kraft_node_formats_its_folder_before_its_first_start_only() {
        let files = of(Kind::Kraft, "kraft2");
        let script = content(&files, "/opt/kafka/bin/run-kafka");
        let format = script.lines().find(|line| line.starts_with("[ -e ")).unwrap();
        assert!(format.starts_with("[ -e /var/lib/lab/kafka1/var/lib/kafka/data/meta.properties ] || "), "{format}");
        assert!(!content(&of(Kind::Zk, "kafka1"), "/opt/kafka/bin/run-kafka").contains("[ -e "));
    }

    #[test]
    fn services_of_one_machine_listen_on_their_own_address_each() {
        let lab = Topology::of(Kind::Zk, Subnet::loopback("x"));
        for (host, path, wanted) in [
            ("kafka2", "/etc/kafka/server.properties", "listeners=PLAINTEXT://{}:9092\n"),
            ("zk3", "/etc/zookeeper/zoo.cfg", "clientPortAddress={}\n"),
            ("zk3", "/etc/zookeeper/zoo.cfg", "admin.serverAddress={}\n"),
        ] {
            let address = lab.host(host).unwrap().address.to_string();
            let files = of(Kind::Zk, host);
            assert!(content(&files, path).contains(&wanted.replace("{}", &address)), "{host}");
        }
    }
}
