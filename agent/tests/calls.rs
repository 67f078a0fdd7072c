//! The calls of the contract against a real agent: identities, commands, cancel, deadlines, files, limits.

mod harness;

use harness::{Agent, Events, FLEET, op, run, shell, until};
use jiff::Timestamp;
use kfleet_model::{FleetName, OpEnd, OperatorName};
use kfleet_pki::FleetStore;
use kfleet_proto::v1;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use tonic::Code;

#[tokio::test]
async fn the_handshake_tells_versions_and_a_foreign_protocol_is_refused() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let hello = |min, max| v1::HandshakeRequest { min_protocol: min, max_protocol: max, version: "test".into() };
    let answer = client.handshake(hello(1, 3)).await.unwrap().into_inner();
    assert_eq!(answer.protocol, 1);
    assert_eq!(answer.catalogue_sha256.len(), 64);
    assert!((answer.unix_ms - Timestamp::now().as_millisecond()).abs() < 10_000);
    assert_eq!(client.handshake(hello(2, 9)).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn ping_and_command_answer() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let ping = run(&mut client, &op("a", "ansible.builtin.ping", json!({}))).await;
    assert_eq!(ping.done().data["ping"], json!("pong"));
    assert!(!ping.done().changed);
    let seen = run(&mut client, &op("b", "command", json!({"cmd": "printf 'a b'", "stdin": "x"}))).await;
    assert_eq!((seen.text().as_str(), &seen.done().data["rc"]), ("a b", &json!(0)));
    assert_eq!((seen.started, seen.done().changed), (1, true));
}

#[tokio::test]
async fn only_an_operator_of_this_fleet_is_heard() {
    let agent = Agent::start().await;
    let (now, dir) = (Timestamp::now(), agent.dir.path());
    let ping = op("a", "ping", json!({}));
    // An operator of another fleet that has the same name.
    let other = FleetStore::create(&dir.join("other"), &FleetName::new(FLEET).unwrap(), now).unwrap();
    let name = OperatorName::new("tester").unwrap();
    other.issue_operator(&name, now, None).unwrap();
    let stranger = other.load_operator(&name, now).unwrap();
    assert!(!is_heard(agent.client_as(&stranger).await, &ping).await);
    run(&mut agent.client().await, &ping).await.done();
    // The host's own certificate, used as a client's by somebody who broke into the host and has other software.
    assert!(!is_heard(agent.client_with(harness::hosts_own_config(&agent)).await, &ping).await);
    until("the reason in the log", || agent.log().contains("refused")).await;
}

async fn is_heard(client: Result<harness::Client, tonic::transport::Error>, op: &kfleet_model::Op) -> bool {
    match client {
        Ok(mut client) => Events::submit(&mut client, op).await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn much_output_passes_whole() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let seen = run(&mut client, &shell("a", "seq -f 'line number %012.0f' 1 400000")).await;
    let mut wanted = String::new();
    for n in 1..=400_000 {
        writeln!(wanted, "line number {n:012}").unwrap();
    }
    assert_eq!(seen.stdout.len(), wanted.len());
    assert!(seen.stdout == wanted.as_bytes());
    let result = seen.done();
    assert!(result.data["stdout"].as_str().unwrap().contains("bytes left out"), "the result holds a bounded part");
}

#[tokio::test]
async fn of_output_beyond_the_cap_head_and_tail_arrive_and_the_gap_is_told() {
    let agent = Agent::start_with("[limits]\noutput_bytes = 1000000\n").await;
    let mut client = agent.client().await;
    let seen = run(&mut client, &shell("a", "seq -f '%09.0f' 1 1000000")).await;
    let lines: Vec<&[u8]> = seen.stdout.split(|&b| b == b'\n').collect();
    assert_eq!(lines[0], b"000000001");
    assert_eq!(lines[lines.len() - 2], b"001000000");
    assert!(seen.stdout.len() >= 500_000 && seen.stdout.len() <= 1_100_000, "{}", seen.stdout.len());
    let left_out: u64 = seen
        .progress
        .iter()
        .find_map(|text| text.strip_suffix(" bytes of output were left out here")?.parse().ok())
        .unwrap_or_else(|| panic!("{:?}", seen.progress));
    assert_eq!(left_out + seen.stdout.len() as u64, 10_000_000);
}

#[tokio::test]
async fn output_arrives_while_the_command_runs() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let begun = Instant::now();
    let mut events = Events::submit(&mut client, &shell("a", "echo early; sleep 8; echo late")).await.unwrap();
    while events.next().await.unwrap().unwrap().seq < 1 {}
    assert!(begun.elapsed() < Duration::from_secs(8), "the output came only with the end of the command");
    assert_eq!(events.all().await.text(), "late\n");
}

#[tokio::test]
async fn cancel_ends_a_command_and_all_that_it_started() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let dir = agent.dir.path().display().to_string();
    let text = format!("trap '' INT; (exec -a {dir}/a sleep 60) & timeout 50 sh -c 'echo up {dir}; sleep 40'; wait");
    let mut bash = shell("a", &text);
    bash.params.insert("executable".into(), "/bin/bash".into());
    let mut events = Events::submit(&mut client, &bash).await.unwrap();
    while events.next().await.unwrap().unwrap().seq < 1 {}
    let begun = Instant::now();
    let cancel = |id: &str| v1::CancelRequest { op_id: id.into() };
    let outcome = client.cancel(cancel("a")).await.unwrap().into_inner().outcome();
    assert_eq!(outcome, v1::CancelOutcome::Stopping);
    let seen = events.all().await;
    let OpEnd::Failed { result } = seen.end() else { panic!("{:?}", seen.end()) };
    assert!(result.msg.as_ref().unwrap().contains("cancelled"), "{result:?}");
    assert!(begun.elapsed() < Duration::from_secs(35), "the command ran to its own end");
    until("the end of all its processes", || agent.leftovers().is_empty()).await;
    assert_eq!(client.cancel(cancel("a")).await.unwrap().into_inner().outcome(), v1::CancelOutcome::TooLate);
    assert_eq!(client.cancel(cancel("b")).await.unwrap().into_inner().outcome(), v1::CancelOutcome::UnknownOp);
}

#[tokio::test]
async fn a_command_ends_at_its_deadline_and_one_that_never_started_expires() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let with = |id: &str, ms| {
        let mut op = shell(id, "sleep 30");
        op.deadline = Duration::from_millis(ms);
        op
    };
    let mut first = Events::submit(&mut client, &with("a", 800)).await.unwrap();
    first.next().await.unwrap().unwrap();
    let waiting = run(&mut client, &with("b", 200)).await;
    assert!(matches!(waiting.end(), OpEnd::Expired { why } if why.contains("waited")), "{:?}", waiting.end());
    assert_eq!(waiting.started, 0);
    let begun = Instant::now();
    let late = first.all().await;
    assert!(matches!(late.end(), OpEnd::Failed { result } if result.msg.as_ref().unwrap().contains("deadline")));
    assert!(begun.elapsed() < Duration::from_secs(25), "the command ran to its own end");
}

#[tokio::test]
async fn reading_goes_on_beside_the_one_op_that_changes_the_host() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let mut long = Events::submit(&mut client, &shell("a", "sleep 8; echo done")).await.unwrap();
    long.next().await.unwrap().unwrap();
    let begun = Instant::now();
    run(&mut client, &op("b", "ping", json!({}))).await.done();
    assert!(begun.elapsed() < Duration::from_secs(8), "the reading waited for the command");
    let mut second = Events::submit(&mut client, &shell("c", "echo c")).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), second.next()).await.is_err(), "it waits for its turn");
    assert_eq!(long.all().await.text(), "done\n");
    assert_eq!(second.all().await.text(), "c\n");
}

#[tokio::test]
async fn bad_ops_are_refused_with_what_is_wrong() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let cases = [
        (op("a", "comand", json!({})), "did you mean 'command'"),
        (op("b", "command", json!({"cmd": "true", "chdri": "/"})), "did you mean 'chdir'"),
        (op("c", "ping", json!({"data": [1]})), "must be a text"),
    ];
    for (op, wanted) in cases {
        let seen = run(&mut client, &op).await;
        let OpEnd::Refused { why } = seen.end() else { panic!("{:?}", seen.end()) };
        assert!(why.contains(wanted), "{why}");
    }
    let gone = run(&mut client, &op("d", "command", json!({"argv": ["no-such-program-here"]}))).await;
    let OpEnd::Failed { result } = gone.end() else { panic!("{:?}", gone.end()) };
    assert!(result.msg.as_ref().unwrap().contains("was not found on this host"), "{result:?}");
    let mut no_deadline = kfleet_proto::convert::submit_request(&op("e", "ping", json!({})));
    no_deadline.deadline_ms = 0;
    assert_eq!(client.submit(no_deadline).await.unwrap_err().code(), Code::InvalidArgument);
    let unknown = client.attach(v1::AttachRequest { op_id: "never".into(), from_seq: 0 }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_read_only_host_is_looked_at_and_not_changed() {
    let agent = Agent::start_with("[guard]\nread_only = true\n").await;
    let mut client = agent.client().await;
    let made = agent.dir.path().join("made");
    let touch = json!({"cmd": format!("touch {}", made.display())});
    for mut op in [
        op("a", "ping", json!({})),
        op("b", "file", json!({"path": agent.dir.path().to_str(), "state": "directory"})),
        op("c", "file", json!({"path": made.to_str(), "state": "touch"})),
    ] {
        op.check = op.op_id.as_str() == "c";
        let seen = run(&mut client, &op).await;
        assert_eq!(seen.done().changed, op.check, "{}", op.module);
    }
    for op in [op("d", "command", touch), op("e", "file", json!({"path": made.to_str(), "state": "touch"}))] {
        let seen = run(&mut client, &op).await;
        let OpEnd::Refused { why } = seen.end() else { panic!("{:?}", seen.end()) };
        assert!(why.contains("this host is read-only: guard.read_only is set"), "{why}");
    }
    assert!(!made.exists());
}

#[tokio::test]
async fn a_command_runs_as_the_user_and_with_the_environment_that_were_asked_for() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: switching users needs root");
        return;
    }
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let mut whoami = shell("a", "id -un; id -gn; echo $USER $EXTRA; umask; pwd");
    whoami.become_user = Some("nobody".into());
    whoami.environment = [("EXTRA".to_owned(), "more".to_owned())].into();
    let seen = run(&mut client, &whoami).await;
    assert_eq!(seen.text(), "nobody\nnogroup\nnobody more\n0022\n/\n");
    let mut nobody = shell("b", "true");
    nobody.become_user = Some("no-such-user".into());
    let refused = run(&mut client, &nobody).await;
    assert!(matches!(refused.end(), OpEnd::Failed { result } if result.msg.as_ref().unwrap().contains("no-such-user")));
}

#[tokio::test]
async fn secrets_of_an_op_reach_neither_journal_nor_log() {
    const CANARY: &str = "canary-7f3a";
    let mut agent = Agent::start().await;
    let mut client = agent.client().await;
    let mut secret = shell("a", &format!("printf {CANARY}"));
    secret.no_log = true;
    let seen = run(&mut client, &secret).await;
    assert_eq!(seen.done().data["stdout"], json!(CANARY), "the caller gets the result");
    agent.kill();
    agent.launch().await;
    assert!(!agent.log().contains(CANARY));
    for entry in std::fs::read_dir(agent.state().join("journal")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(CANARY));
    }
    assert!(!agent.state().join("ops/a/spec.json").exists());
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn chunks(content: &[u8], name: &str, from: usize, to: usize) -> Vec<v1::BlobChunk> {
    let pieces = content[from..to].chunks(100_000).enumerate();
    pieces
        .map(|(n, data)| v1::BlobChunk {
            sha256: name.into(),
            total_bytes: content.len() as u64,
            offset: (from + n * 100_000) as u64,
            data: bytes::Bytes::copy_from_slice(data),
            crc32: crc32fast::hash(data),
        })
        .collect()
}

#[tokio::test]
async fn a_file_transfer_that_is_cut_goes_on_and_the_file_can_be_used() {
    let agent = Agent::start().await;
    let mut client = agent.client().await;
    let content: Vec<u8> = (0..3_000_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let name = sha256(&content);
    let find = |name: &str| v1::FindBlobsRequest { sha256: vec![name.to_owned()] };
    let missing = client.find_blobs(find(&name)).await.unwrap().into_inner().missing;
    assert_eq!(missing[0].have_bytes, 0);
    // Half of it, then the connection is gone.
    let half = tokio_stream::iter(chunks(&content, &name, 0, 1_500_000));
    let cut = client.put_blob(half).await.unwrap_err();
    assert_eq!(cut.code(), Code::Aborted, "{cut}");
    let mut client = agent.client().await;
    let have = client.find_blobs(find(&name)).await.unwrap().into_inner().missing[0].have_bytes;
    assert_eq!(have, 1_500_000);
    let from = usize::try_from(have).unwrap();
    let rest = tokio_stream::iter(chunks(&content, &name, from, content.len()));
    assert_eq!(client.put_blob(rest).await.unwrap().into_inner().stored_bytes, content.len() as u64);
    assert!(client.find_blobs(find(&name)).await.unwrap().into_inner().missing.is_empty());
    let wrong = tokio_stream::iter(chunks(b"other content", &sha256(b"x"), 0, 13));
    assert_eq!(client.put_blob(wrong).await.unwrap_err().code(), Code::DataLoss);
    let escaping = tokio_stream::iter(chunks(b"x", "../../../tmp/x", 0, 1));
    assert_eq!(client.put_blob(escaping).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_idle_agent_is_small_and_does_nothing() {
    let agent = Agent::start().await;
    run(&mut agent.client().await, &op("a", "ping", json!({}))).await.done();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(ticks() - before <= 1, "an idle agent used {} ticks of 10 ms in 3 s", ticks() - before);
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let rss = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: u64 = rss.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    eprintln!("resident: {kib} KiB");
    assert!(kib < 40 * 1024, "{rss}");
}
