//! Tests of the rules for one server: against ZooKeeper itself, then of what it does not say.

use super::*;
use crate::Properties;
use crate::verdicts::{hold, shown};

/// `VERSION, KEY=VALUE;;..., verdict`: the verdicts are those of ZooKeeper's own classes, for the server with id 1.
const VERDICTS: &str = include_str!("recorded/verdicts.tsv");

/// Where kfleet calls an error what ZooKeeper starts with: a key that nothing reads, an id that is not in the list
/// (the server then waits for an election that it has no part in), a member without a host, and a boolean that old
/// releases took for false whatever it was.
const STRICTER: [&str; 4] = ["my.key=", "server.4=a:", "server.2=:2888", "quorumListenOnAllIPs=yes"];

fn findings(version: &str, text: &str, my_id: Option<i64>) -> Vec<Finding> {
    let settings = Settings::from(&Properties::parse(text.as_bytes()));
    check(Server { release: version.parse().unwrap(), extent: Extent::Whole, settings: &settings, my_id, extra: &[] })
}

#[test]
fn an_error_is_what_zookeeper_itself_does_not_start_with() {
    hold(
        VERDICTS,
        80,
        |version, text| findings(version, text, Some(1)),
        |settings| STRICTER.iter().any(|part| settings.contains(part)),
    );
}

#[test]
fn what_zookeeper_takes_silently_is_told() {
    let base = "tickTime=2000\ndataDir=/data\nclientPort=2181\nautopurge.purgeInterval=24\n";
    let two = "initLimit=10\nsyncLimit=5\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n";
    for (text, my_id, wanted) in [
        ("", None, ""),
        ("ticktime=1\n", None, "E 5: ZooKeeper 3.8 has no key 'ticktime'"),
        ("admin.snapshot.enabled=true\n", None, "E 5: 'admin.snapshot.enabled' comes with 3.9, and this is 3.8"),
        (
            "metricsProvider.httpPort=70000\n",
            None,
            "E 5: 'metricsProvider.httpPort' must be from 0 to 65535, not \"70000\"",
        ),
        (two, Some(1), "W 7: 2 voters are an even number: 0 of them may fail, as of 1"),
        ("forceSync=no\n", None, "W 5: 'forceSync' is no: a power cut loses what clients were told is written"),
        ("skipACL=yes\n", None, "W 5: 'skipACL' is yes: everybody may read and write everything"),
        ("dataLogDir=/tmp/zk\n", None, "W 5: 'dataLogDir' is /tmp/zk, which a restart of the host may empty"),
        ("server.1=a:2888:3888\n", Some(2), "E the server's id (myid) is 2, and the file has no 'server.2'"),
        (
            "dynamicConfigFile=/d\ninitLimit=1\nsyncLimit=1\nserver.1=a:2888:3888\n",
            Some(1),
            "E 8: 'server.1' must stand in the dynamic file, since 'dynamicConfigFile' is set",
        ),
    ] {
        let wanted: Vec<&str> = Some(wanted).filter(|wanted| !wanted.is_empty()).into_iter().collect();
        assert_eq!(shown(&findings("3.8.4", &format!("{base}{text}"), my_id)), wanted, "{text}");
    }
    let found = findings("3.8.4", "dataDir=/data\nclientPort=2181\n", None);
    assert_eq!(shown(&found).len(), 1, "the purge interval is 0 by default: {found:?}");
}
