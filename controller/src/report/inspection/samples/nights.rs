//! The nights on which something is wrong.

use super::*;

/// The disk of one broker fails, and much else is not as it should be: 40 findings.
#[must_use]
pub fn bad_night() -> Sample {
    let mut inspection = inspection("prod-sh", &hosts(), &[], findings());
    inspection.cleared = cleared();
    inspection.waivers = vec![WaiverNotice {
        check: "sysctl.swappiness".to_owned(),
        object: "host:zk-*".to_owned(),
        owner: "li.wei".to_owned(),
        expires: ahead(4 * 24),
        expired: false,
        unused: false,
    }];
    inspection.forecasts = forecasts();
    inspection.anomalies = vec![Anomaly {
        object: object("host:kafka-7"),
        key: "os.mem.available".to_owned(),
        value: Quantity::new(11.5, Unit::Percent),
        median: Quantity::new(38.2, Unit::Percent),
        z: -6.4,
        against: Against::Peers,
    }];
    let mut trends = trends(f64::from(inspection.score.points));
    for (n, volume) in [("kafka-2", "/data1"), ("kafka-5", "/data2"), ("kafka-8", "/data1")].into_iter().enumerate() {
        let about = object(&format!("host:{}/volume:{}", volume.0, volume.1));
        let last = [91.3, 83.1, 78.4][n];
        let series = Series { unit: Unit::Percent, nights: over_nights(30, last, 0.9, 1.1) };
        trends.readings.insert(reading_key("disk.used", &about), series);
        let series = Series { unit: Unit::Bytes, nights: over_nights(30, last * 2e10, 1.8e10, 1e10) };
        trends.readings.insert(reading_key("disk.used_bytes", &about), series);
    }
    let memory = Series { unit: Unit::Percent, nights: over_nights(30, 11.5, -0.2, 0.7) };
    trends.readings.insert(reading_key("os.mem.available", &object("host:kafka-7")), memory);
    Sample { name: "bad-night", inspection, trends, restart: restart(Some(4)), happenings: happenings() }
}

fn findings() -> Vec<Finding> {
    let mut all = broken_disk();
    all.extend(full_disks());
    all.extend(settings());
    all.extend(accounted_for());
    all
}

/// The disk of kafka-4 is the cause, eleven things follow from it.
fn broken_disk() -> Vec<Finding> {
    let errors = text(
        finding("disk.errors", "host:kafka-4/device:nvme1n1", State::Crit),
        "17 I/O errors since the last inspection",
        &[
            "Jan 15 17:02:41 kafka-4 kernel: nvme1n1: I/O Cmd(0x1) @ LBA 402915688, 256 blocks, I/O Error (sct 0x2 / sc 0x81) MORE",
            "Jan 15 17:02:41 kafka-4 kernel: critical medium error, dev nvme1n1, sector 402915688 op 0x1:(WRITE) flags 0x800",
            "Jan 15 17:03:09 kafka-4 kernel: EXT4-fs warning (device nvme1n1): ext4_end_bio:343: I/O error 7 writing to inode 1180",
            "... and 14 more",
        ],
    );
    let mut all = vec![fixed_by(errors, "kfleet roll stop orders --limit kafka-4 --check")];
    let follows = |check: &str, about: &str, state| {
        caused_by(finding(check, about, state), "disk.errors", "host:kafka-4/device:nvme1n1")
    };
    all.push(text(
        follows("disk.logdir_offline", "host:kafka-4/volume:/data1", State::Crit),
        "offline",
        &["[2026-01-15 17:03:10,114] ERROR Error while writing to checkpoint file /data1/recovery-point-offset-checkpoint (kafka.server.LogDirFailureChannel)"],
    ));
    for (n, topic) in ["orders", "payments", "shipments", "users", "audit"].into_iter().enumerate() {
        let about = format!("cluster:orders/topic:{topic}");
        let count = [14.0, 6.0, 3.0, 2.0, 1.0][n];
        let limit = (Level::Warn, "> 0", Layer::BuiltIn);
        all.push(over(follows("topic.under_replicated", &about, State::Warn), count, Unit::Count, limit));
    }
    let limit = (Level::Crit, "> 0", Layer::BuiltIn);
    all.push(over(
        follows("topic.under_min_isr", "cluster:orders/topic:payments", State::Crit),
        1.0,
        Unit::Count,
        limit,
    ));
    for group in ["billing", "search-indexer", "fraud-model"] {
        let about = format!("cluster:orders/group:{group}");
        all.push(text(follows("group.lag_status", &about, State::Warn), "lag grows: 4.1 million messages", &[]));
    }
    all
}

fn full_disks() -> Vec<Finding> {
    let mut all = Vec::new();
    for (name, volume, used, hours) in [
        ("kafka-2", "/data1", 91.3, 50),
        ("kafka-5", "/data2", 83.1, 24 * 12),
        ("kafka-8", "/data1", 78.4, 24 * 3),
        ("kafka-11", "/data1", 76.02, 0),
    ] {
        let about = format!("host:{name}/volume:{volume}");
        let (state, limit) = if used > 85.0 {
            (State::Crit, (Level::Crit, "> 85 %", Layer::Cluster(cluster("orders"))))
        } else {
            (State::Warn, (Level::Warn, "> 75 %", Layer::BuiltIn))
        };
        let change = match hours {
            0 => Change::New,
            50 => Change::Worse,
            _ => Change::Unchanged,
        };
        let one = over(finding("disk.space", &about, state), used, Unit::Percent, limit);
        let command = format!("kfleet run playbooks/retention.yml --limit {name} --check --diff");
        all.push(fixed_by(since(one, hours, change), &command));
    }
    let eta = over(
        finding("disk.fill_eta", "host:kafka-2/volume:/data1", State::Crit),
        2.1,
        Unit::Days,
        (Level::Crit, "< 3 d", Layer::BuiltIn),
    );
    all.push(eta);
    all
}

fn settings() -> Vec<Finding> {
    let mut all = Vec::new();
    for n in [3, 6, 7, 10, 12] {
        let one =
            text(finding("os.thp", &format!("host:kafka-{n}"), State::Warn), "always", &["[always] madvise never"]);
        let command = format!("kfleet run playbooks/tune.yml --limit kafka-{n} --tags thp --check");
        all.push(fixed_by(since(one, 24 * 40, Change::Unchanged), &command));
    }
    for n in 1..=2 {
        let one = finding("clock.offset", &format!("host:zk-{n}"), State::Warn);
        all.push(over(one, 141.0 + f64::from(n), Unit::Milliseconds, (Level::Warn, "> 100 ms", Layer::Fleet)));
    }
    let expiry = over(
        finding("sec.cert_expiry", "host:kafka-6/file:/etc/kafka/ssl/broker.pem", State::Warn),
        12.0,
        Unit::Days,
        (Level::Warn, "< 30 d", Layer::BuiltIn),
    );
    all.push(fixed_by(since(expiry, 24 * 18, Change::Unchanged), "kfleet cert renew --limit kafka-6 --check"));
    let net = over(
        finding("net.retrans", "host:kafka-9", State::Warn),
        2.7,
        Unit::Percent,
        (Level::Warn, "> 1 %", Layer::BuiltIn),
    );
    let flapping = Unstable { changes: 6, nights: 10, percent: 58.0 };
    all.push(Finding { unstable: Some(flapping), ..since(net, 48, Change::Unchanged) });
    let gc = over(
        finding("jvm.gc_share", "host:kafka-7/process:kafka", State::Warn),
        8.1,
        Unit::Percent,
        (Level::Warn, "> 10 %", Layer::Role(Role::KafkaBroker)),
    );
    all.push(Finding { recovering: true, ..since(gc, 96, Change::Better) });
    for (check, about, why) in [
        (
            "logs.signatures",
            "host:zk-3/signature:ZK-FSYNC",
            "the log /var/log/zookeeper/zookeeper.log is not readable: permission denied",
        ),
        ("net.mesh", "host:kafka-9", "the agent answered after the deadline of 120 s"),
        ("topic.offset_regress", "cluster:orders", "member kafka-9 gave no view in round 2"),
    ] {
        let one = finding(check, about, State::Unknown);
        all.push(Finding { note: Some(why.to_owned()), confidence: Confidence::Medium, ..one });
    }
    all
}

fn accounted_for() -> Vec<Finding> {
    let mut all = Vec::new();
    for n in 1..=3 {
        let one =
            since(finding("sysctl.swappiness", &format!("host:zk-{n}"), State::Waived), 24 * 90, Change::Unchanged);
        let waiver = "li.wei until 2026-01-19: shared hosts, swap is needed by the backup program".to_owned();
        all.push(Finding { judged: State::Warn, waiver: Some(waiver), ..text(one, "60", &["vm.swappiness = 60"]) });
    }
    for n in 1..=4 {
        let one = finding("os.service_restarts", &format!("host:kafka-{n}/unit:kafka.service"), State::Expected);
        let one = over(one, 1.0, Unit::Count, (Level::Warn, "> 0", Layer::BuiltIn));
        let window = "2026-01-15 14:00 to 15:00 UTC: roll restart orders (run 0194-c1)".to_owned();
        all.push(Finding { judged: State::Warn, window: Some(window), ..one });
    }
    let info =
        text(finding("fleet.kafka_version", "cluster:orders", State::Info), "3.9.1 on 11 hosts, 3.9.0 on kafka-9", &[]);
    all.push(since(info, 24 * 5, Change::Unchanged));
    let files = text(
        finding("fleet.file_drift", "host:kafka-1/file:/etc/sysctl.d/60-kafka.conf", State::Info),
        "differs from its group",
        &["-vm.max_map_count = 262144", "+vm.max_map_count = 1048576"],
    );
    all.push(Finding { acknowledged: Some("zhang.min".to_owned()), ..since(files, 24, Change::Unchanged) });
    all
}

fn cleared() -> Vec<Cleared> {
    let one = |check: &str, about: &str, was, change, hours| Cleared {
        check: CheckId::new(check),
        object: object(about),
        was,
        change,
        since: ago(hours),
        title: CATALOGUE.get(check).unwrap().title.clone(),
    };
    vec![
        one("limits.nofile", "host:kafka-10/process:kafka", State::Crit, Change::Fixed, 24 * 9),
        one("topic.preferred_leader", "cluster:orders", State::Warn, Change::Fixed, 24 * 2),
        one("group.lag_status", "cluster:orders/group:tmp-replay", State::Warn, Change::Gone, 24 * 6),
    ]
}

fn forecasts() -> Vec<Forecast> {
    let disk = |name: &str, used: f64, days: i64, early: i64, late: Option<i64>| Forecast {
        object: object(&format!("host:{name}")),
        key: "disk.used_bytes".to_owned(),
        now: Quantity::new(used, Unit::Bytes),
        limit: Quantity::new(2e12, Unit::Bytes),
        per_day: Quantity::new(((2e12 - used) / f64::from(i32::try_from(days).unwrap())).round(), Unit::Bytes),
        reached: ahead(24 * days),
        earliest: ahead(24 * early - 6),
        latest: late.map(|late| ahead(24 * late)),
        nights: 30,
    };
    vec![
        disk("kafka-2/volume:/data1", 1.826e12, 2, 1, Some(3)),
        disk("kafka-5/volume:/data2", 1.662e12, 9, 6, Some(15)),
        disk("kafka-8/volume:/data1", 1.568e12, 26, 17, None),
        Forecast {
            object: object("cluster:zk-main"),
            key: "zk.zxid".to_owned(),
            now: Quantity::new(81.0, Unit::Percent),
            limit: Quantity::new(100.0, Unit::Percent),
            per_day: Quantity::new(0.4, Unit::Percent),
            reached: ahead(24 * 47),
            earliest: ahead(24 * 41),
            latest: Some(ahead(24 * 55)),
            nights: 28,
        },
    ]
}

fn happenings() -> Vec<Happening> {
    let one = |hours: Option<i64>, kind, about: &str, what: &str| Happening {
        at: hours.map(ago),
        kind,
        object: object(about),
        what: what.to_owned(),
    };
    vec![
        one(
            Some(5),
            HappeningKind::Operation,
            "cluster:orders",
            "roll restart orders by wang.fang (run 0194-c1), succeeded",
        ),
        one(Some(5), HappeningKind::Config, "host:kafka-1", "server.properties num.io.threads: 8 -> 16"),
        one(Some(4), HappeningKind::Leadership, "cluster:orders", "active controller: kafka-1 -> kafka-6"),
        one(Some(1), HappeningKind::Leadership, "cluster:orders", "26 leaders left kafka-4"),
        one(
            None,
            HappeningKind::Topic,
            "cluster:orders/topic:audit.v2",
            "created, 24 partitions, replication factor 3",
        ),
        one(None, HappeningKind::Package, "host:kafka-9", "openjdk-17-jre-headless: 17.0.12 -> 17.0.13"),
    ]
}

/// Half of the hosts do not answer, and nothing that was seen is wrong.
#[must_use]
pub fn half_missing() -> Sample {
    let seen: Vec<HostName> = hosts().into_iter().take(8).collect();
    let missing: Vec<(String, &str)> = (9..=12)
        .map(|n| (format!("kafka-{n}"), "no connection to 10.8.3.0/24: connect timed out after 10 s"))
        .chain((1..=3).map(|n| (format!("zk-{n}"), "the agent is too old: it has no inspection")))
        .collect();
    let missing: Vec<(&str, &str)> = missing.iter().map(|(name, why)| (name.as_str(), *why)).collect();
    let unknown = |check: &str, about: &str, why: &str| Finding {
        note: Some(why.to_owned()),
        ..finding(check, about, State::Unknown)
    };
    let findings = vec![
        unknown("zk.serving", "cluster:zk-main", "no member answered"),
        unknown("zk.one_leader", "cluster:zk-main", "no member answered"),
        unknown("topic.under_replicated", "cluster:orders", "8 of 12 members gave a view"),
        text(finding("fleet.inspection", "fleet", State::Crit), "8 of 15 hosts were seen (53 %)", &[]),
    ];
    let inspection = inspection("prod-sh", &seen, &missing, findings);
    let mut restart = restart(None);
    for member in restart.clusters.values_mut().flat_map(|cluster| &mut cluster.members) {
        member.restart = Restartable::Unknown(vec![Reason::TooFewViews { got: 8, need: 12 }]);
    }
    Sample { name: "half-missing", inspection, trends: trends(71.0), restart, happenings: Vec::new() }
}

/// Texts that want to be more than text.
#[must_use]
pub fn hostile() -> Sample {
    let script = "<script>document.title='owned'</script><img src=x onerror=alert(1)>";
    let quotes = "\"'`--></textarea></style></script>{{ 7*7 }}{% raw %}&amp;&#60;\\";
    let control = "a\u{0}b\u{7}c\u{1b}[31mred\r\nnext\u{85}line";
    let turned = "invoice\u{202e}fdp.exe \u{2066}hidden\u{2069} zero\u{200b}width";
    let long = "x".repeat(20_000);
    let mut findings = Vec::new();
    for (n, evil) in [script, quotes, control, turned, &long].into_iter().enumerate() {
        let about = Object::new(
            object("host:kafka-1").owner,
            Some(kfleet_inspect::Part::new(kfleet_inspect::PartKind::Topic, evil)),
        );
        let one = finding("topic.under_replicated", "cluster:orders", [State::Crit, State::Warn][n % 2]);
        findings.push(Finding {
            object: about,
            reading: Some(Shown::Text(evil.to_owned())),
            note: Some(evil.to_owned()),
            evidence: vec![evil.to_owned(), format!("=cmd|' /C calc'!A0{evil}")],
            source: Some(evil.to_owned()),
            threshold: Some(Fired {
                level: Level::Warn,
                limit: None,
                condition: evil.to_owned(),
                layer: Layer::HostLabel(evil.to_owned()),
            }),
            waiver: Some(evil.to_owned()),
            acknowledged: Some(evil.to_owned()),
            title: Bilingual { en: evil.to_owned(), zh: evil.to_owned() },
            why: Bilingual { en: evil.to_owned(), zh: evil.to_owned() },
            advice: Bilingual { en: evil.to_owned(), zh: evil.to_owned() },
            fix: Some(format!("echo '{evil}'")),
            ..one
        });
    }
    let mut inspection = inspection("prod-sh", &hosts(), &[("kafka-99", script)], findings);
    inspection.waivers = vec![WaiverNotice {
        check: script.to_owned(),
        object: quotes.to_owned(),
        owner: turned.to_owned(),
        expires: ahead(30),
        expired: false,
        unused: true,
    }];
    let happenings = vec![Happening {
        at: None,
        kind: HappeningKind::Config,
        object: object("host:kafka-1"),
        what: script.to_owned(),
    }];
    Sample { name: "hostile", inspection, trends: trends(50.0), restart: restart(None), happenings }
}

/// A fleet of 500 hosts with this many findings.
#[must_use]
pub fn huge(count: usize) -> Sample {
    let hosts: Vec<HostName> = (1..=500).map(|n| host(format!("broker-{n:03}.dc1.example.net"))).collect();
    let checks = [
        ("disk.space", State::Crit),
        ("os.thp", State::Warn),
        ("clock.offset", State::Warn),
        ("net.retrans", State::Warn),
        ("limits.fd_usage", State::Crit),
        ("jvm.gc_share", State::Warn),
        ("os.dns", State::Unknown),
        ("sysctl.swappiness", State::Warn),
    ];
    let one = |n: usize| {
        let (check, state) = checks[(n / hosts.len()) % checks.len()];
        let about = format!("host:{}/volume:/data{}", hosts[n % hosts.len()], n / (hosts.len() * checks.len()));
        let limit = (Level::Warn, "> 75 %", Layer::BuiltIn);
        let number = f64::from(u32::try_from(n % 25).unwrap()) + 75.0;
        let one = over(finding(check, &about, state), number, Unit::Percent, limit);
        let change = if n.is_multiple_of(3) { Change::New } else { Change::Unchanged };
        let one = Finding { evidence: vec![format!("line {n}: statvfs /data: used {number} %")], ..one };
        since(one, i64::try_from(n % 200).unwrap(), change)
    };
    let findings = (0..count).map(one).collect();
    let inspection = inspection("world", &hosts, &[], findings);
    Sample { name: "huge", inspection, trends: trends(12.0), restart: restart(None), happenings: Vec::new() }
}
