//! Bare hosts made into clusters by the shipped playbooks, in a lab of their own; a real client uses what they made.

use crate::mirror::Mirror;
use crate::roll;
use crate::support::{Ended, Stage, expect_code};
use anyhow::{Context, Result, ensure};
use kfleet_tests::lab::{Kind, Progress, Subnet, Topology};
use kfleet_tests::programs::repository;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// Beside the other scenarios' lab.
const LAB: &str = "kfleet-deploy";

const ENSEMBLE: [&str; 3] = ["zk1", "zk2", "zk3"];
const BROKERS: [&str; 3] = ["kafka1", "kafka2", "kafka3"];
const NODES: [&str; 3] = ["kraft1", "kraft2", "kraft3"];

/// The link to the release in use; the lab's image has a folder at the usual place, where other labs mount their jars.
const HOME: &str = "/opt/kafka-current";

/// Made for this lab, as an operator's vault would have it.
const PASSWORD: &str = "correct-horse.battery/staple";

/// Six bare hosts become a ZooKeeper ensemble and a Kafka cluster with TLS, SCRAM and ACLs. A client with a name and a
/// right writes and reads, one without is refused; a second run changes nothing; the secured cluster rolls. A host with
/// too little space ends it all before the first change.
pub(crate) async fn secured() -> Result<()> {
    let names: Vec<&str> = ENSEMBLE.into_iter().chain(BROKERS).collect();
    in_lab(Kind::Zk, &names, async |stage, archive| {
        let folder = stage.folder("deploy")?;
        write_inventory(stage, &[("zookeeper", "zookeeper", &ENSEMBLE), ("kafka", "broker", &BROKERS)])?;
        certificates(&folder.join("tls"), &BROKERS).await?;
        let vars = serde_json::json!({
            "kafka_archive": archive, "kafka_archive_sha512": sha512(archive).await?, "kafka_version": "3.9.1", "kafka_tls": true, "kafka_tls_dir": folder.join("tls"),
            "kafka_scram": true, "kafka_acl": true, "kafka_admin_password": PASSWORD,
            "kafka_users": [{"name": "alice", "password": PASSWORD}, {"name": "mallory", "password": PASSWORD}],
            "kafka_acls": [
                {"principal": "User:alice", "operations": ["create", "write", "read", "describe"], "name": "orders"},
                {"principal": "User:alice", "operations": ["read"], "resource": "group", "name": "*"},
            ],
            "kafka_heap": "-Xms256m -Xmx384m", "kafka_home": HOME,
        });
        refused_early(stage, "deploy-zookeeper-mode.yml", &vars, &names).await?;
        deploy_twice(stage, "deploy-zookeeper-mode.yml", &vars, 6).await?;
        let topic = format!(
            "/usr/bin/java -Xmx128m -cp '{HOME}/libs/*' org.apache.kafka.tools.TopicCommand \
             --bootstrap-server kafka1:9092 --command-config /etc/kafka/admin.properties \
             --create --topic orders --partitions 6 --replication-factor 3"
        );
        stage.on("kafka1", &["sh", "-c", &topic]).await?;
        let ca = folder.join("tls/ca.pem");
        let alice = [
            "security.protocol=sasl_ssl".to_owned(),
            format!("ssl.ca.location={}", ca.display()),
            "sasl.mechanism=SCRAM-SHA-512".to_owned(),
            "sasl.username=alice".to_owned(),
            format!("sasl.password={PASSWORD}"),
        ];
        let mallory: Vec<String> = alice.iter().map(|setting| setting.replace("=alice", "=mallory")).collect();
        write_and_read(stage, "kafka1:9092", &alice).await?;
        let refused = produce(stage, "kafka1:9092", &mallory).await?;
        ensure!(refused.code != 0, "who may nothing could write");
        ensure!(refused.stderr.to_lowercase().contains("authoriz"), "{}", refused.stderr);
        let unencrypted = produce(stage, "kafka1:9092", &["security.protocol=plaintext".to_owned()]).await?;
        ensure!(unencrypted.code != 0, "a client without TLS could write");
        // The agents ask the secured brokers as these ask each other, so a roll works as on any other cluster.
        roll::restart(stage, "kafka", &BROKERS, "kafka").await?;
        write_and_read(stage, "kafka2:9092", &alice).await
    })
    .await
}

/// Three bare hosts become a KRaft cluster of Kafka 4, every node broker and controller, with the release from a mirror that
/// cuts each first transfer. An archive that is not the one that its checksum tells of is not unpacked anywhere.
pub(crate) async fn kraft() -> Result<()> {
    in_lab(Kind::Kraft, &NODES, async |stage, archive| {
        write_inventory(stage, &[("kraft", "combined", &NODES)])?;
        let folder = archive.parent().context("the archive has a folder")?;
        let release = folder.join("4.1.1");
        std::fs::create_dir_all(&release)?;
        let name = archive.file_name().context("the archive has a name")?;
        std::fs::rename(archive, release.join(name))?;
        let sums = release.join(format!("{}.sha512", name.display()));
        let sum = sha512(&release.join(name)).await?;
        let address = stage.lab.topology().subnet.controller();
        let mirror = Mirror::start(&stage.lab.layout().namespace(), address.into(), folder)?;
        let vars = serde_json::json!({
            "kafka_mirror": mirror.url(), "kafka_version": "4.1.1", "kafka_cluster_id": "2M5dGZz9S4mpF8nYvVr1pA",
            "kafka_heap": "-Xms256m -Xmx384m", "kafka_home": HOME, "kafka_settings": {"auto.create.topics.enable": "true"},
        });
        let forged = "0".repeat(sum.len());
        std::fs::write(&sums, format!("{forged}  {}\n", name.display()))?;
        let playbook = repository().join("playbooks/deploy-kraft.yml").display().to_string();
        let refused = stage.kfleet(&["run", &playbook, "-e", &vars.to_string()]).await?;
        expect_code(&refused, 2)?;
        ensure!(refused.stdout.contains(&format!("has the checksum {sum}, not {forged}")), "{}", refused.stdout);
        for host in NODES {
            stage.on(host, &["sh", "-c", "test -z \"$(ls -A /opt/dist)\" && test ! -e /opt/kafka-4.1.1"]).await?;
        }
        ensure!(mirror.resumed() >= NODES.len(), "{} transfers went on where they were cut", mirror.resumed());
        std::fs::write(&sums, format!("{sum}  {}\n", name.display()))?;
        deploy_twice(stage, "deploy-kraft.yml", &vars, 3).await?;
        write_and_read(stage, "kraft1:9092", &[]).await?;
        roll::restart(stage, "kraft", &NODES, "kafka").await?;
        write_and_read(stage, "kraft3:9092", &[]).await
    })
    .await
}

/// Three bare hosts become a KRaft cluster with certificates of the fleet's own, SCRAM and ACLs on all listeners. Kafka's own
/// client is the judge: Debian's kcat can not authenticate by SCRAM to Kafka 4 (librdkafka before 2.6.1, its issue 4895).
pub(crate) async fn kraft_secured() -> Result<()> {
    in_lab(Kind::Kraft, &NODES, async |stage, archive| {
        write_inventory(stage, &[("kraft", "combined", &NODES)])?;
        let vars = serde_json::json!({
            "kafka_archive": archive, "kafka_version": "4.1.1", "kafka_cluster_id": "2M5dGZz9S4mpF8nYvVr1pA",
            "kafka_tls": true, "kafka_certificates": "kfleet", "kafka_scram": true, "kafka_acl": true,
            "kafka_admin_password": PASSWORD, "kafka_controller_password": PASSWORD,
            "kafka_users": [{"name": "alice", "password": PASSWORD}, {"name": "mallory", "password": PASSWORD}],
            "kafka_acls": [
                {"principal": "User:alice", "operations": ["create", "write", "read", "describe"], "name": "orders"},
                {"principal": "User:alice", "operations": ["read"], "resource": "group", "name": "*"},
            ],
            "kafka_heap": "-Xms256m -Xmx384m", "kafka_home": HOME,
        });
        deploy_twice(stage, "deploy-kraft.yml", &vars, 3).await?;
        keys_stayed(stage)?;
        let [alice, mallory] = [client_file(stage, "alice").await?, client_file(stage, "mallory").await?];
        let topic = "org.apache.kafka.tools.TopicCommand --bootstrap-server kraft1:9092 \
                     --command-config /etc/kafka/admin.properties --create --topic orders --partitions 6 \
                     --replication-factor 3";
        ensure!(tool(stage, topic).await?.contains("rc=0"), "the administrator could not make a topic");
        through_kafkas_client(stage, "kraft1:9092", &alice).await?;
        let refused = tool(stage, &producer("kraft1:9092", &mallory)).await?;
        ensure!(
            refused.contains("Not authorized") && refused.contains("rc=1"),
            "who may nothing could write: {refused}"
        );
        let controllers = format!(
            "org.apache.kafka.tools.MetadataQuorumCommand --bootstrap-controller kraft1:9093 \
             --command-config {alice} describe --status"
        );
        let refused = tool(stage, &controllers).await?;
        ensure!(!refused.contains("rc=0"), "a client's name is let in to a controller: {refused}");
        roll::restart(stage, "kraft", &NODES, "kafka").await?;
        through_kafkas_client(stage, "kraft3:9092", &alice).await
    })
    .await
}

/// The fleet's folder has a certificate of each node, and of keys that of the authority alone.
fn keys_stayed(stage: &Stage) -> Result<()> {
    let folder = stage.fleet.join("pki/services/certificates/kafka");
    for host in NODES {
        let pem = std::fs::read_to_string(folder.join(format!("{host}.pem")))?;
        ensure!(pem.contains("BEGIN CERTIFICATE") && !pem.contains("PRIVATE KEY"), "{host}: {pem}");
    }
    Ok(())
}

/// A client's properties on the first node, with which Kafka's tools are a user.
async fn client_file(stage: &Stage, user: &str) -> Result<String> {
    let path = format!("/root/{user}.properties");
    let text = format!(
        "security.protocol=SASL_SSL\nssl.truststore.type=PEM\nssl.truststore.location=/etc/kafka/tls/ca.pem\n\
         sasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \
         required username=\"{user}\" password=\"{PASSWORD}\";\n"
    );
    stage.on(NODES[0], &["sh", "-c", "umask 077; printf %s \"$1\" > \"$2\"", "sh", &text, &path]).await?;
    Ok(path)
}

/// One of Kafka's own tools on the first node: what it says, and `rc=` with its exit code.
async fn tool(stage: &Stage, arguments: &str) -> Result<String> {
    let script = format!("echo 'a line' | timeout 50 java -Xmx128m -cp '{HOME}/libs/*' {arguments} 2>&1; echo rc=$?");
    stage.on(NODES[0], &["sh", "-c", &script]).await
}

fn producer(broker: &str, client: &str) -> String {
    format!(
        "org.apache.kafka.tools.ConsoleProducer --bootstrap-server {broker} --topic orders --producer.config {client} \
         --request-required-acks all --max-block-ms 20000 --sync"
    )
}

/// Writes a line with `acks=all` and reads one back.
async fn through_kafkas_client(stage: &Stage, broker: &str, client: &str) -> Result<()> {
    let written = tool(stage, &producer(broker, client)).await?;
    ensure!(written.contains("rc=0"), "writing failed: {written}");
    let consumer = format!(
        "org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server {broker} --topic orders --from-beginning \
         --max-messages 1 --timeout-ms 30000 --consumer.config {client}"
    );
    let read = tool(stage, &consumer).await?;
    ensure!(read.lines().any(|line| line == "a line"), "not read back: {read}");
    Ok(())
}

/// A lab of bare hosts with agents, and the archive of the release of a kind; taken down at the end, whatever it is.
async fn in_lab<F>(kind: Kind, hosts: &[&str], work: F) -> Result<()>
where
    F: AsyncFnOnce(&Stage, &Path) -> Result<()>,
{
    let topology = Topology::bare(Subnet::for_name(LAB), hosts)?;
    let stage = Stage::of_hosts(LAB, topology).await?;
    let outcome = async {
        let archive = archive(&stage, kind).await?;
        work(&stage, &archive).await
    }
    .await;
    stage.strike().await;
    outcome
}

/// A release archive in the shape of the project's own, made of the published jars.
async fn archive(stage: &Stage, kind: Kind) -> Result<PathBuf> {
    let version = kind.kafka_version().context("no release")?;
    let jars = kfleet_tests::lab::jars(kind, &Progress::terminal()).await?;
    let archive = stage.folder("dist")?.join(format!("kafka_2.13-{version}.tgz"));
    let within = format!("s,^libs,kafka_2.13-{version}/libs,");
    let mut tar = Command::new("tar");
    tar.args(["--create", "--gzip", "--dereference", "--transform", &within, "--file"]).arg(&archive);
    run(tar.arg("--directory").arg(jars.parent().context("jars have a folder")?).arg("libs")).await?;
    Ok(archive)
}

fn write_inventory(stage: &Stage, groups: &[(&str, &str, &[&str])]) -> Result<()> {
    let mut text = String::new();
    for (group, role, hosts) in groups {
        writeln!(text, "[{group}]")?;
        for (id, host) in (1..).zip(*hosts) {
            let address = stage.lab.host(host)?.spec().address;
            writeln!(
                text,
                "{host} ansible_host={address} {}={id}",
                if *role == "zookeeper" { "myid" } else { "broker_id" }
            )?;
        }
        writeln!(text, "[{group}:vars]\nkfleet_role={role}\n")?;
    }
    std::fs::write(stage.fleet.join("inventory/hosts.ini"), text)?;
    Ok(())
}

/// An operator's own authority, and a certificate with its key for each host, as `openssl` makes them.
async fn certificates(folder: &Path, hosts: &[&str]) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut script = String::from(
        "set -eu; umask 077; \
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=lab-authority \
         -keyout ca.key -out ca.pem; ",
    );
    for host in hosts {
        write!(
            script,
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={host} \
             -addext subjectAltName=DNS:{host} -keyout {host}.key -out {host}.csr; \
             openssl x509 -req -in {host}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -copy_extensions copy \
             -out {host}.crt; cat {host}.key {host}.crt > {host}.pem; "
        )?;
    }
    run(Command::new("sh").args(["-c", &script]).current_dir(folder)).await
}

async fn run(command: &mut Command) -> Result<()> {
    let output = command.output().await?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A host that lacks something ends the deployment before anything is changed on any host.
async fn refused_early(stage: &Stage, playbook: &str, vars: &serde_json::Value, hosts: &[&str]) -> Result<()> {
    let mut vars = vars.clone();
    vars["preflight_free_mb"] = 1_000_000_000.into();
    let playbook = repository().join("playbooks").join(playbook).display().to_string();
    let refused = stage.kfleet(&["run", &playbook, "-e", &vars.to_string()]).await?;
    expect_code(&refused, 2)?;
    ensure!(refused.stdout.contains("1000000000 are needed"), "{}", refused.stdout);
    for host in hosts {
        stage.on(host, &["sh", "-c", "test ! -e /opt/dist && test ! -e /etc/kafka/server.properties"]).await?;
    }
    Ok(())
}

/// As the project publishes it beside its archives.
async fn sha512(archive: &Path) -> Result<String> {
    let output = Command::new("sha512sum").arg(archive).output().await?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().context("no checksum")?.to_owned())
}

/// The first run makes everything, the second finds nothing to do.
async fn deploy_twice(stage: &Stage, playbook: &str, vars: &serde_json::Value, hosts: usize) -> Result<()> {
    let playbook = repository().join("playbooks").join(playbook).display().to_string();
    let vars = vars.to_string();
    let begun = tokio::time::Instant::now();
    let first = stage.kfleet(&["run", &playbook, "-e", &vars]).await?;
    expect_code(&first, 0)?;
    ensure!(!first.stdout.contains(PASSWORD), "the password is shown");
    println!("    deployed in {} s", begun.elapsed().as_secs());
    let second = stage.kfleet(&["run", &playbook, "-e", &vars]).await?;
    expect_code(&second, 0)?;
    let unchanged = second.stdout.lines().filter(|line| line.contains("changed=0 ")).count();
    ensure!(unchanged == hosts, "a second run changed something:\n{}", second.stdout);
    Ok(())
}

/// Writes lines to the topic with `acks=all` and reads them back, as any client does.
async fn write_and_read(stage: &Stage, broker: &str, settings: &[String]) -> Result<()> {
    let written = produce(stage, broker, settings).await?;
    ensure!(written.code == 0, "writing failed: {}", written.stderr);
    let options = options(settings);
    let mut kcat = stage.lab.controller_command("kcat")?;
    kcat.args(["-b", broker, "-C", "-t", "orders", "-o", "beginning", "-e", "-q"]).args(options);
    let read = tokio::time::timeout(Duration::from_secs(60), kcat.output()).await.context("reading did not end")??;
    let text = String::from_utf8_lossy(&read.stdout);
    ensure!(
        text.lines().any(|line| line == "a line"),
        "not read back: {text} {}",
        String::from_utf8_lossy(&read.stderr)
    );
    Ok(())
}

async fn produce(stage: &Stage, broker: &str, settings: &[String]) -> Result<Ended> {
    let script = "echo 'a line' | exec timeout 40 kcat -P -X acks=all -X message.timeout.ms=20000 \"$@\"";
    let mut shell = stage.lab.controller_command("sh")?;
    shell.args(["-c", script, "kcat", "-b", broker, "-t", "orders"]).args(options(settings));
    let output = shell.output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ended { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

fn options(settings: &[String]) -> Vec<String> {
    settings.iter().flat_map(|setting| ["-X".to_owned(), setting.clone()]).collect()
}
