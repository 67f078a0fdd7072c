//! A ZooKeeper server: whether it serves, and whether anybody clears its folder.

use super::params::Kind;
use super::scene::Scene;
use super::sink::{Gap, Sink, Told};
use crate::collect::CollectError;
use crate::collect::zookeeper_config::ZooKeeperConfig;
use kfleet_config::Properties;
use kfleet_inspect::{Confidence, Datum};
use kfleet_kafka::zookeeper::{Word, four_letter_word};
use kfleet_kafka::{Instant, ZooKeeperError};
use std::time::Duration;
use tokio::runtime::Handle;

pub(super) const STATE_KEYS: &[&str] = &["zk.state", "zk.answer_time"];

pub(super) const FILE_KEYS: &[&str] = &["zk.purge", "zk.snapshot_files"];

/// How long the server beside the agent may take to answer.
const ANSWER: Duration = Duration::from_secs(4);

/// Where cron's tables lie: cron(8), crontab(5) of Debian and of the Red Hat family.
const CRON_FILES: [&str; 1] = ["/etc/crontab"];
const CRON_FOLDERS: [&str; 7] = [
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/var/spool/cron",
    "/var/spool/cron/crontabs",
];

/// What such a job runs: ZooKeeper's own script, or the class in it.
const PURGES: [&str; 2] = ["zkCleanup", "PurgeTxnLog"];

fn config<'a>(scene: &'a Scene<'_>) -> Result<&'a ZooKeeperConfig, Gap> {
    let none = || Gap::not_here("the host runs no ZooKeeper");
    let service = scene.services()?.iter().find(|service| service.params.kind == Kind::Zookeeper).ok_or_else(none)?;
    service.zookeeper().unwrap_or_else(|| Err(none()))
}

/// Why a collector of ZooKeeper has nothing to read.
pub(super) fn absent(scene: &Scene<'_>) -> Option<String> {
    match config(scene) {
        Err(Gap::NotHere(why)) => Some(why),
        Ok(_) | Err(Gap::Unreadable(_)) => None,
    }
}

pub(super) fn state(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let config = config(scene)?;
    let begun = scene.host().uptime();
    let deadline = Instant::now() + scene.patience(ANSWER)?;
    let runtime = Handle::try_current().map_err(CollectError::from)?;
    let answer = runtime.block_on(four_letter_word(&config.address, Word::Srvr, deadline));
    let took = scene.host().uptime().saturating_sub(begun);
    let (state, why) = match &answer {
        Ok(_) => ("serving", None),
        Err(error @ ZooKeeperError::NotServing { .. }) => ("not_serving", Some(error.to_string())),
        Err(error) => ("no_answer", Some(crate::collect::chain(error))),
    };
    sink.tell("zk.state", "srvr", Ok(Datum::Text(state.to_owned())));
    sink.shown_by(why.into_iter().collect());
    let time: Told = match state {
        "no_answer" => Err(Gap::not_here("there was no answer")),
        _ => Ok(Datum::Float(took.as_secs_f64() * 1000.0)),
    };
    sink.tell("zk.answer_time", "srvr", time);
    Ok(())
}

pub(super) fn files(scene: &Scene<'_>, sink: &mut Sink) -> Result<(), Gap> {
    let config = config(scene)?;
    let keys = Properties::parse(config.files.config.as_bytes()).to_map();
    let interval = keys.get("autopurge.purgeInterval").and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(0);
    let path = config.path.display().to_string();
    if interval > 0 {
        sink.tell("zk.purge", &path, Ok(Datum::Text("autopurge".to_owned())));
    } else {
        // A timer of systemd or a job elsewhere may do it as well, so none is less than sure.
        let (word, trust) = if cron(scene)? { ("cron", Confidence::High) } else { ("none", Confidence::Medium) };
        sink.put("zk.purge", None, "cron's tables", Ok(Datum::Text(word.to_owned())), trust);
    }
    let data = keys.get("dataDir").map(|dir| format!("{}/version-2", dir.trim().trim_end_matches('/')));
    let data = data.ok_or_else(|| Gap::Unreadable(format!("{path} has no dataDir")))?;
    let names = scene.list(&data)?.unwrap_or_default();
    let count = names.iter().filter(|name| name.starts_with("snapshot.")).count();
    sink.tell("zk.snapshot_files", &data, Ok(Datum::Int(i64::try_from(count).unwrap_or(i64::MAX))));
    Ok(())
}

/// Whether a job of cron clears the folder.
fn cron(scene: &Scene<'_>) -> Result<bool, Gap> {
    let mut files: Vec<String> = CRON_FILES.map(str::to_owned).to_vec();
    for folder in CRON_FOLDERS {
        files.extend(scene.list(folder)?.unwrap_or_default().into_iter().map(|name| format!("{folder}/{name}")));
    }
    for file in files {
        // Folders among them, and files that are no text, hold no job.
        let text = scene.text(&file).ok().flatten().unwrap_or_default();
        let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        if lines.any(|line| PURGES.iter().any(|name| line.contains(name))) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::inspect::params::Params;
    use crate::host::fake::{FakeHost, Spec};
    use serde_json::json;

    #[test]
    fn a_purge_is_found_in_the_file_or_among_crons_jobs() {
        let job = "0 3 * * * zookeeper /opt/zookeeper/bin/zkCleanup.sh -n 3\n";
        for (purge, cron, wanted) in [
            ("autopurge.purgeInterval=24\n", "", "autopurge"),
            ("autopurge.purgeInterval=0\n", job, "cron"),
            ("", &format!("# {job}"), "none"),
        ] {
            let files = json!({
                "/etc/zookeeper/zoo.cfg": {"content": format!("dataDir=/z\nclientPort=2181\n{purge}")},
                "/etc/cron.d/zookeeper": {"content": cron},
                "/proc/1/cmdline": {"content": "init"},
                "/z/version-2/snapshot.0": {}, "/z/version-2/snapshot.5": {}, "/z/version-2/log.1": {},
            });
            let host = FakeHost::new(&serde_json::from_value::<Spec>(json!({"files": files})).unwrap());
            let params = Params::default();
            let mut sink = Sink::new(jiff::Timestamp::UNIX_EPOCH);
            files_of(&host, &params, &mut sink);
            let readings = sink.into_readings();
            let read = |n: usize| readings[n].outcome.clone();
            assert_eq!(read(0), kfleet_inspect::Outcome::Read(Datum::Text(wanted.to_owned())), "{purge}{cron}");
            assert_eq!(read(1), kfleet_inspect::Outcome::Read(Datum::Int(2)));
        }
    }

    fn files_of(host: &FakeHost, params: &Params, sink: &mut Sink) {
        files(&Scene::new(host, params), sink).unwrap();
    }
}
