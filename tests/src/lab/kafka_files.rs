//! The files of Kafka and ZooKeeper on a lab host: units, settings, log settings, start scripts. Pure text.
//!
//! They are shaped as operators' files are (heap and flags in `/etc/default`, settings in `/etc/kafka`, data below
//! `/var/lib`, logs below `/var/log`), so that playbooks and checks meet what they will meet in the field.

use super::files::{HostFile, Owner};
use super::topology::{HostSpec, Kind, Role, Topology};

/// The id that the KRaft nodes format their folders with: 16 bytes in base64, as Kafka wants it. Labs never meet.
const CLUSTER_ID: &str = "uHy0ZRuh4-wrmYYp37pBPw";

/// What Kafka asks for; a container's hard limit can be lower, and a unit that asks for more than that does not start.
const OPEN_FILES: u64 = 65_536;

/// Everything a host needs for its role. `open_files` is the hard limit that containers on this machine get.
pub(super) fn service_files(topology: &Topology, host: &HostSpec, open_files: u64) -> Vec<HostFile> {
    let limit = open_files.min(OPEN_FILES);
    match host.role {
        Role::Bare => Vec::new(),
        Role::ZooKeeper => zookeeper_files(topology, host, limit),
        Role::Broker | Role::Combined => kafka_files(topology, host, limit),
    }
}

fn zookeeper_files(topology: &Topology, host: &HostSpec, limit: u64) -> Vec<HostFile> {
    let mut files = vec![
        HostFile::text("/etc/systemd/system/zookeeper.service", zookeeper_unit(limit)),
        HostFile::text("/etc/default/zookeeper", ZOOKEEPER_DEFAULTS),
        HostFile::text("/etc/zookeeper/zoo.cfg", zoo_cfg(topology, host)),
        HostFile::text("/etc/zookeeper/log4j.properties", ZOOKEEPER_LOG4J),
        HostFile::folder("/var/lib/zookeeper", Owner::ZooKeeper),
        HostFile::text("/var/lib/zookeeper/myid", format!("{}\n", host.id)).owned_by(Owner::ZooKeeper),
        HostFile::folder("/var/log/zookeeper", Owner::ZooKeeper),
        HostFile::enable("zookeeper.service", "/etc/systemd/system/zookeeper.service"),
    ];
    files.extend(scripts());
    files
}

fn kafka_files(topology: &Topology, host: &HostSpec, limit: u64) -> Vec<HostFile> {
    let version = topology.kind.kafka_version().unwrap_or("of an unknown release");
    let mut files = vec![
        HostFile::text("/etc/systemd/system/kafka.service", kafka_unit(version, topology.kind, limit)),
        HostFile::text("/etc/kafka/server.properties", server_properties(topology, host)),
        HostFile::folder("/var/lib/kafka", Owner::Kafka),
        HostFile::folder("/var/log/kafka", Owner::Kafka),
        HostFile::enable("kafka.service", "/etc/systemd/system/kafka.service"),
    ];
    match topology.kind {
        Kind::Zk | Kind::Bare => {
            files.push(HostFile::text("/etc/default/kafka", kafka_defaults(LOG4J_1)));
            files.push(HostFile::text("/etc/kafka/log4j.properties", KAFKA_LOG4J));
        }
        Kind::Kraft => {
            files.push(HostFile::text("/etc/default/kafka", kafka_defaults(LOG4J_2)));
            files.push(HostFile::text("/etc/kafka/log4j2.properties", KAFKA_LOG4J2));
            files.push(HostFile::text("/etc/systemd/system/kafka-format.service", format_unit()));
        }
    }
    files.extend(scripts());
    files
}

/// The published artifacts have no `bin`, so the scripts that an operator reaches for are made here.
fn scripts() -> Vec<HostFile> {
    let script = |name: &str, class: &str| {
        let text = format!(
            "#!/bin/sh\n# Written by `lab up`.\nexec /usr/bin/java -Xmx256m -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' {class} \"$@\"\n"
        );
        let content = super::files::Content::Script(text);
        HostFile { path: format!("/opt/kafka/bin/{name}"), content, owner: Owner::Root }
    };
    vec![
        script("kafka-run-class.sh", ""),
        script("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
        script("kafka-metadata-quorum.sh", "org.apache.kafka.tools.MetadataQuorumCommand"),
        script("kafka-leader-election.sh", "org.apache.kafka.tools.LeaderElectionCommand"),
    ]
}

/// No `Restart=` in any unit: a fault that a scenario makes stays until the scenario, or kfleet, mends it.
fn zookeeper_unit(limit: u64) -> String {
    format!(
        "# Written by `lab up`.\n\
[Unit]
Description=Apache ZooKeeper
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User=zookeeper
Group=zookeeper
EnvironmentFile=/etc/default/zookeeper
ExecStart=/usr/bin/java $ZOOKEEPER_HEAP_OPTS $ZOOKEEPER_JVM_OPTS $ZOOKEEPER_LOG_OPTS -cp /opt/kafka/libs/* \
org.apache.zookeeper.server.quorum.QuorumPeerMain /etc/zookeeper/zoo.cfg
SuccessExitStatus=143
TimeoutStopSec=180
LimitNOFILE={limit}
StateDirectory=zookeeper
LogsDirectory=zookeeper
WorkingDirectory=/var/lib/zookeeper

[Install]
WantedBy=multi-user.target
"
    )
}

/// 143 is how a JVM ends on SIGTERM; a controlled shutdown may take minutes, hence the long stop timeout.
fn kafka_unit(version: &str, kind: Kind, limit: u64) -> String {
    let formatted = match kind {
        Kind::Kraft => "Requires=kafka-format.service\nAfter=kafka-format.service\n",
        Kind::Zk | Kind::Bare => "",
    };
    format!(
        "# Written by `lab up`.\n\
[Unit]
Description=Apache Kafka {version}
Wants=network-online.target
After=network-online.target
{formatted}
[Service]
Type=exec
User=kafka
Group=kafka
EnvironmentFile=/etc/default/kafka
ExecStart=/usr/bin/java $KAFKA_HEAP_OPTS $KAFKA_JVM_PERFORMANCE_OPTS $KAFKA_GC_LOG_OPTS $KAFKA_LOG4J_OPTS $KAFKA_OPTS \
-cp /opt/kafka/libs/* kafka.Kafka /etc/kafka/server.properties
SuccessExitStatus=143
TimeoutStopSec=180
LimitNOFILE={limit}
StateDirectory=kafka
LogsDirectory=kafka
WorkingDirectory=/var/lib/kafka

[Install]
WantedBy=multi-user.target
"
    )
}

/// Formats the metadata folder once, before the first start. `meta.properties` appears last, so a crash repeats it.
fn format_unit() -> String {
    format!(
        "# Written by `lab up`.\n\
[Unit]
Description=Format of the KRaft metadata folder, once
ConditionPathExists=!/var/lib/kafka/data/meta.properties

[Service]
Type=oneshot
User=kafka
Group=kafka
StateDirectory=kafka
ExecStart=/usr/bin/java -Xmx128m -XX:TieredStopAtLevel=1 -cp /opt/kafka/libs/* \
kafka.tools.StorageTool format -t {CLUSTER_ID} -c /etc/kafka/server.properties
"
    )
}

const ZOOKEEPER_DEFAULTS: &str = "\
# Written by `lab up`. Read by zookeeper.service.
ZOOKEEPER_HEAP_OPTS=-Xms128m -Xmx256m
# The lowest compiler tier: six JVMs share a small machine, and a quick start matters more than peak speed.
ZOOKEEPER_JVM_OPTS=-XX:+UseG1GC -XX:TieredStopAtLevel=1 -Dzookeeper.jmx.log4j.disable=true
ZOOKEEPER_LOG_OPTS=-Dzookeeper.log.dir=/var/log/zookeeper -Dlog4j.configuration=file:/etc/zookeeper/log4j.properties
";

const LOG4J_1: &str = "-Dlog4j.configuration=file:/etc/kafka/log4j.properties";
const LOG4J_2: &str = "-Dlog4j2.configurationFile=/etc/kafka/log4j2.properties";

fn kafka_defaults(log_option: &str) -> String {
    format!(
        "# Written by `lab up`. Read by kafka.service; the names are those of Kafka's own start scripts.\n\
         KAFKA_HEAP_OPTS=-Xms256m -Xmx384m\n\
         # The lowest compiler tier: six JVMs share a small machine, and a quick start matters more than peak speed.\n\
         KAFKA_JVM_PERFORMANCE_OPTS=-XX:+UseG1GC -XX:TieredStopAtLevel=1\n\
         KAFKA_GC_LOG_OPTS=-Xlog:gc*:file=/var/log/kafka/kafkaServer-gc.log:time,tags:filecount=10,filesize=100M\n\
         KAFKA_LOG4J_OPTS={log_option} -Dkafka.logs.dir=/var/log/kafka\n\
         KAFKA_OPTS=\n"
    )
}

fn zoo_cfg(topology: &Topology, host: &HostSpec) -> String {
    let server = |host: &HostSpec| format!("server.{}={}:2888:3888", host.id, topology.known_as(host));
    let servers: Vec<String> = topology.with_role(Role::ZooKeeper).map(server).collect();
    let address = topology.listens_on(host);
    format!(
        "# Written by `lab up`.\n\
         tickTime=2000\n\
         initLimit=10\n\
         syncLimit=5\n\
         dataDir=/var/lib/zookeeper\n\
         clientPort=2181\n\
         clientPortAddress={address}\n\
         maxClientCnxns=0\n\
         # All four-letter words: probes and kfleet read srvr, mntr and dump.\n\
         4lw.commands.whitelist=*\n\
         # 8080 is the default, and what other services want too.\n\
         admin.serverPort=9081\n\
         admin.serverAddress={address}\n\
         autopurge.snapRetainCount=3\n\
         autopurge.purgeInterval=24\n\
         {}\n",
        servers.join("\n")
    )
}

fn server_properties(topology: &Topology, host: &HostSpec) -> String {
    let mode =
        if host.role == Role::Combined { kraft_settings(topology, host) } else { zookeeper_settings(topology, host) };
    format!(
        "# Written by `lab up`.\n\
         {mode}\n\
         log.dirs=/var/lib/kafka/data\n\
         \n\
         # Three copies of everything, two of which must have a record before it is acknowledged.\n\
         num.partitions=6\n\
         default.replication.factor=3\n\
         min.insync.replicas=2\n\
         offsets.topic.replication.factor=3\n\
         offsets.topic.num.partitions=10\n\
         transaction.state.log.replication.factor=3\n\
         transaction.state.log.min.isr=2\n\
         transaction.state.log.num.partitions=10\n\
         \n\
         controlled.shutdown.enable=true\n\
         # Leadership goes back to preferred leaders only by an act: a roll has to give it back itself, and a test can\n\
         # see that it did. Left on, Kafka would do it after minutes, at a moment that no test chooses.\n\
         auto.leader.rebalance.enable=false\n\
         # A consumer group starts without waiting for members that a test does not have.\n\
         group.initial.rebalance.delay.ms=0\n"
    )
}

fn zookeeper_settings(topology: &Topology, host: &HostSpec) -> String {
    let member = |host: &HostSpec| format!("{}:2181", topology.known_as(host));
    let ensemble: Vec<String> = topology.with_role(Role::ZooKeeper).map(member).collect();
    format!(
        "broker.id={}\n\
         listeners=PLAINTEXT://{}:9092\n\
         advertised.listeners=PLAINTEXT://{}:9092\n\
         zookeeper.connect={}\n\
         # A broker that lost its power is given up after 6 s instead of 18, so that scenarios are short.\n\
         zookeeper.session.timeout.ms=6000\n\
         # Hosts of the lab boot together: a broker waits for the ensemble's first election.\n\
         zookeeper.connection.timeout.ms=60000",
        host.id,
        topology.listens_on(host),
        topology.known_as(host),
        ensemble.join(",")
    )
}

fn kraft_settings(topology: &Topology, host: &HostSpec) -> String {
    let voter = |host: &HostSpec| format!("{}@{}:9093", host.id, topology.known_as(host));
    let voters: Vec<String> = topology.with_role(Role::Combined).map(voter).collect();
    format!(
        "process.roles=broker,controller\n\
         node.id={}\n\
         listeners=PLAINTEXT://{address}:9092,CONTROLLER://{address}:9093\n\
         advertised.listeners=PLAINTEXT://{name}:9092,CONTROLLER://{name}:9093\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.voters={}",
        host.id,
        voters.join(","),
        address = topology.listens_on(host),
        name = topology.known_as(host)
    )
}

const ZOOKEEPER_LOG4J: &str = "\
# Written by `lab up`.
log4j.rootLogger=INFO, file
log4j.appender.file=org.apache.log4j.RollingFileAppender
log4j.appender.file.File=/var/log/zookeeper/zookeeper.log
log4j.appender.file.MaxFileSize=50MB
log4j.appender.file.MaxBackupIndex=2
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=%d{ISO8601} [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n
";

const KAFKA_LOG4J: &str = "\
# Written by `lab up`. File names and pattern are those of Kafka's own log4j.properties.
log4j.rootLogger=INFO, server
log4j.appender.server=org.apache.log4j.RollingFileAppender
log4j.appender.server.File=${kafka.logs.dir}/server.log
log4j.appender.server.MaxFileSize=50MB
log4j.appender.server.MaxBackupIndex=2
log4j.appender.server.layout=org.apache.log4j.PatternLayout
log4j.appender.server.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.appender.controller=org.apache.log4j.RollingFileAppender
log4j.appender.controller.File=${kafka.logs.dir}/controller.log
log4j.appender.controller.MaxFileSize=50MB
log4j.appender.controller.MaxBackupIndex=2
log4j.appender.controller.layout=org.apache.log4j.PatternLayout
log4j.appender.controller.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.appender.state=org.apache.log4j.RollingFileAppender
log4j.appender.state.File=${kafka.logs.dir}/state-change.log
log4j.appender.state.MaxFileSize=50MB
log4j.appender.state.MaxBackupIndex=2
log4j.appender.state.layout=org.apache.log4j.PatternLayout
log4j.appender.state.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.logger.org.apache.zookeeper=INFO
log4j.logger.kafka.controller=INFO, controller
log4j.additivity.kafka.controller=false
log4j.logger.state.change.logger=INFO, state
log4j.additivity.state.change.logger=false
";

const KAFKA_LOG4J2: &str = "\
# Written by `lab up`. File names and pattern are those of Kafka's own log4j2 settings.
status=error
appender.server.type=RollingFile
appender.server.name=server
appender.server.fileName=${sys:kafka.logs.dir}/server.log
appender.server.filePattern=${sys:kafka.logs.dir}/server.log.%i
appender.server.layout.type=PatternLayout
appender.server.layout.pattern=[%d] %p %m (%c)%n
appender.server.policies.type=SizeBasedTriggeringPolicy
appender.server.policies.size=50MB
appender.server.strategy.type=DefaultRolloverStrategy
appender.server.strategy.max=2
appender.controller.type=RollingFile
appender.controller.name=controller
appender.controller.fileName=${sys:kafka.logs.dir}/controller.log
appender.controller.filePattern=${sys:kafka.logs.dir}/controller.log.%i
appender.controller.layout.type=PatternLayout
appender.controller.layout.pattern=[%d] %p %m (%c)%n
appender.controller.policies.type=SizeBasedTriggeringPolicy
appender.controller.policies.size=50MB
appender.controller.strategy.type=DefaultRolloverStrategy
appender.controller.strategy.max=2
rootLogger.level=info
rootLogger.appenderRef.server.ref=server
logger.controller.name=org.apache.kafka.controller
logger.controller.level=info
logger.controller.additivity=false
logger.controller.appenderRef.controller.ref=controller
";

#[cfg(test)]
mod tests {
    use super::super::files::Content;
    use super::super::topology::Subnet;
    use super::*;

    fn text(kind: Kind, host: &str, path: &str) -> String {
        let lab = Topology::of(kind, Subnet::for_name("kfleet-lab"));
        let files = service_files(&lab, lab.host(host).unwrap(), 20_000);
        let file = files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{host} has no {path}"));
        let Content::Text(text) = &file.content else { panic!("{path} is {:?}", file.content) };
        text.clone()
    }

    fn settings(text: &str) -> std::collections::BTreeMap<&str, &str> {
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect()
    }

    #[test]
    fn brokers_keep_three_copies_and_give_leadership_back_only_when_told() {
        for (kind, host) in [(Kind::Zk, "kafka2"), (Kind::Kraft, "kraft2")] {
            let text = text(kind, host, "/etc/kafka/server.properties");
            let settings = settings(&text);
            for (key, value) in [
                ("default.replication.factor", "3"),
                ("min.insync.replicas", "2"),
                ("offsets.topic.replication.factor", "3"),
                ("auto.leader.rebalance.enable", "false"),
                ("controlled.shutdown.enable", "true"),
                ("group.initial.rebalance.delay.ms", "0"),
            ] {
                assert_eq!(settings.get(key), Some(&value), "{kind}: {key}");
            }
        }
    }

    #[test]
    fn a_broker_in_zookeeper_mode_names_its_whole_ensemble() {
        let text = text(Kind::Zk, "kafka3", "/etc/kafka/server.properties");
        let settings = settings(&text);
        assert_eq!(settings["broker.id"], "3");
        assert_eq!(settings["zookeeper.connect"], "zk1:2181,zk2:2181,zk3:2181");
        assert_eq!(settings["advertised.listeners"], "PLAINTEXT://kafka3:9092");
        assert!(!settings.contains_key("process.roles"));
    }

    #[test]
    fn a_combined_node_names_all_voters_and_no_zookeeper() {
        let text = text(Kind::Kraft, "kraft3", "/etc/kafka/server.properties");
        let settings = settings(&text);
        assert_eq!(settings["node.id"], "3");
        assert_eq!(settings["controller.quorum.voters"], "1@kraft1:9093,2@kraft2:9093,3@kraft3:9093");
        assert!(!text.contains("zookeeper"), "{text}");
    }

    #[test]
    fn the_ensemble_answers_four_letter_words_and_leaves_port_8080_alone() {
        let text = text(Kind::Zk, "zk1", "/etc/zookeeper/zoo.cfg");
        let settings = settings(&text);
        assert_eq!(settings["4lw.commands.whitelist"], "*");
        assert_eq!(settings["admin.serverPort"], "9081");
        assert_eq!(settings["server.3"], "zk3:2888:3888");
    }

    #[test]
    fn units_never_ask_for_more_files_than_a_container_may_have() {
        for (kind, host, unit) in
            [(Kind::Zk, "zk1", "zookeeper"), (Kind::Zk, "kafka1", "kafka"), (Kind::Kraft, "kraft1", "kafka")]
        {
            let text = text(kind, host, &format!("/etc/systemd/system/{unit}.service"));
            for line in ["LimitNOFILE=20000", "Type=exec", "SuccessExitStatus=143", "TimeoutStopSec=180"] {
                assert!(text.lines().any(|found| found == line), "{host}: no {line} in {text}");
            }
            assert!(!text.contains("Restart="), "{host}: a fault must stay until somebody mends it");
        }
        let lab = Topology::of(Kind::Zk, Subnet::for_name("x"));
        let files = service_files(&lab, &lab.hosts[0], 1_000_000);
        assert!(
            files
                .iter()
                .any(|file| matches!(&file.content, Content::Text(text) if text.contains("LimitNOFILE=65536\n")))
        );
    }

    #[test]
    fn only_kraft_nodes_format_a_folder() {
        assert!(text(Kind::Kraft, "kraft1", "/etc/systemd/system/kafka-format.service").contains(CLUSTER_ID));
        let lab = Topology::of(Kind::Zk, Subnet::for_name("x"));
        for host in &lab.hosts {
            assert!(
                service_files(&lab, host, 20_000).iter().all(|file| !file.path.contains("format")),
                "{}",
                host.name
            );
        }
    }
}
