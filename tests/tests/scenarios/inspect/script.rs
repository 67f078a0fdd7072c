//! Shell scripts on hosts, with the words that they share.

use crate::support::Stage;
use anyhow::{Context, Result};
use std::time::Duration;

/// Longer than any wait in a script together with some starts of a JVM on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// What scripts may say. Everything that waits has an end, and says what it waited for.
///
/// `keep` and `back` hold a file's first content over any number of edits; `value` writes into a file that may lie over
/// one of the kernel's, so never a new one in its place.
const WORDS: &str = r#"set -eu
base=/run/kfleet-inspect
keep() { mkdir -p "$base/kept$(dirname "$1")"; [ -e "$base/kept$1" ] || cp -p "$1" "$base/kept$1"; }
back() { if [ -e "$base/kept$1" ]; then cp -p "$base/kept$1" "$1"; rm "$base/kept$1"; fi; }
value() { printf '%s\n' "$2" > "$base/$1"; }
wait_until() {
    for _try in $(seq 90); do if "$@" > /dev/null 2>&1; then return 0; fi; sleep 0.5; done
    echo "it did not come true in 90 tries: $*" >&2; "$@" >&2 || true; return 1
}
tool() { /usr/bin/java -Xmx128m -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' "$@"; }
topic() { tool org.apache.kafka.tools.TopicCommand --bootstrap-server kafka1:9092 "$@"; }
group() { tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server kafka1:9092 "$@"; }
write() {
    tool org.apache.kafka.tools.ProducerPerformance --topic "$1" --num-records "$2" --record-size 16 --throughput -1 \
        --producer-props bootstrap.servers=kafka1:9092 acks=all > /dev/null
}
read_as() {
    tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server kafka1:9092 --group "$1" --topic "$2" \
        --from-beginning --max-messages "$3" --timeout-ms 40000 > /dev/null
}
in_step() { chronyc -c tracking | grep -q ',Normal$'; }
now() { date -u '+%Y-%m-%d %H:%M:%S,000'; }
"#;

/// Runs a script as root on a host; it must succeed.
pub(super) async fn run(stage: &Stage, host: &str, script: &str) -> Result<String> {
    let script = format!("{WORDS}{script}");
    let finished = stage.lab.host(host)?.run(&["sh", "-c", &script], LIMIT).await;
    Ok(finished.with_context(|| format!("a script on {host}"))?.stdout)
}

/// The same on several hosts at the same time.
pub(super) async fn run_on(stage: &Stage, hosts: &[&str], script: &str) -> Result<()> {
    let all = futures::future::join_all(hosts.iter().map(|host| run(stage, host, script))).await;
    all.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(())
}
