//! Faults of topics and of the groups that read them, made with Kafka's own tools.

use super::fault::{Act, Fault, Group, fault};

/// Topics that lose data one day, and groups that do not get theirs.
pub(super) const UNSAFE: Group =
    Group { name: "topics and groups", faults: FAULTS, also: &[], made: Act::Nothing, mended: Act::Nothing };

const FAULTS: &[Fault] = &[
    fault(
        "a topic with one copy",
        "kafka1",
        &["topic.rf_low@cluster:kafka/topic:single"],
        "topic --create --topic single --replica-assignment 3",
        "topic --delete --if-exists --topic single",
    ),
    fault(
        "a topic with two copies",
        "kafka1",
        &["topic.rf_low@cluster:kafka/topic:double"],
        "topic --create --topic double --replica-assignment 1:2 --config min.insync.replicas=1",
        "topic --delete --if-exists --topic double",
    ),
    fault(
        "a topic that wants every copy in sync",
        "kafka1",
        &[
            "topic.rf_vs_min_isr@cluster:kafka/topic:strict",
            "cap.restart_safe@cluster:kafka/broker:1",
            "cap.restart_safe@cluster:kafka/broker:2",
            "cap.restart_safe@cluster:kafka/broker:3",
        ],
        "topic --create --topic strict --replica-assignment 1:2:3 --config min.insync.replicas=3",
        "topic --delete --if-exists --topic strict",
    ),
    fault(
        "a topic that may lose what was acknowledged",
        "kafka1",
        &["cfg.unclean@cluster:kafka/topic:careless"],
        "topic --create --topic careless --replica-assignment 2:3:1 --config unclean.leader.election.enable=true",
        "topic --delete --if-exists --topic careless",
    ),
    fault(
        "a throttle that was left behind",
        "kafka1",
        &["cfg.left_throttle@cluster:kafka"],
        "topic --create --topic throttled --replica-assignment 3:1:2 --config leader.replication.throttled.replicas=0:3",
        "topic --delete --if-exists --topic throttled",
    ),
    // It had read ten of twenty records when it began to hang: a member is there, and commits nothing.
    fault(
        "a consumer that hangs",
        "kafka1",
        &["group.lag_status@cluster:kafka/group:stalled"],
        "systemctl reset-failed seeded-reader 2> /dev/null || true; \
         systemd-run --quiet --collect --unit seeded-reader /usr/bin/java -Xmx128m -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' \
         org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server kafka1:9092 --topic work --group stalled \
         --consumer-property enable.auto.commit=false; \
         is_member() { group --describe --state --group stalled | grep -q Stable; }; wait_until is_member",
        "systemctl stop seeded-reader 2> /dev/null || true",
    ),
    // Somebody writes, nobody reads. When nobody writes any more, a group without members is one that was given up.
    fault(
        "a consumer that was stopped while its lag grows",
        "kafka2",
        &["group.lag_status@cluster:kafka/group:stopped"],
        "systemctl reset-failed seeded-writer 2> /dev/null || true; \
         systemd-run --quiet --collect --unit seeded-writer /usr/bin/java -Xmx128m -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' \
         org.apache.kafka.tools.ProducerPerformance --topic work --num-records 1000000 --record-size 16 --throughput 20 \
         --producer-props bootstrap.servers=kafka1:9092; wait_until systemctl is-active seeded-writer",
        "systemctl stop seeded-writer 2> /dev/null || true",
    ),
    // Retention came past what one group has not read and is on its way to what the other has not. Records do not come
    // back, so both are taken away with it.
    fault(
        "records that went before they were read",
        "kafka3",
        &[
            "group.data_loss@cluster:kafka/group:lost",
            "group.loss_eta@cluster:kafka/group:racing",
        ],
        "echo '{\"version\": 1, \"partitions\": [{\"topic\": \"archive\", \"partition\": 0, \"offset\": 50}]}' > \"$base/records.json\"; \
         tool org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server kafka1:9092 --offset-json-file \"$base/records.json\"",
        "group --delete --group lost > /dev/null 2>&1 || true; group --delete --group racing > /dev/null 2>&1 || true",
    )
    .also(&["group.loss_eta@cluster:kafka/group:lost"]),
];
