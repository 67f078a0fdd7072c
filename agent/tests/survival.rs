//! What must survive the agent's death, the loss of calls, and repeats: with real processes.

mod harness;

use harness::{Agent, Events, Seen, lines_of, op, run, shell, until};
use kfleet_model::{Generation, OpEnd};
use serde_json::json;
use std::time::{Duration, Instant};

/// Twenty numbered lines in two seconds, then status 3.
const SLOW: &str = "for n in $(seq 1 40); do echo line $n; sleep 0.05; done; echo end >&2; exit 3";

fn slow_lines() -> String {
    (1..=40).map(|n| format!("line {n}\n")).collect()
}

#[tokio::test]
async fn killing_the_agent_while_a_command_runs_loses_neither_output_nor_status() {
    let mut agent = Agent::start().await;
    let mut client = agent.client().await;
    let mut events = Events::submit(&mut client, &shell("r1-0-1", SLOW)).await.unwrap();
    let mut seen = Seen::default();
    while seen.stdout.len() < 60 {
        seen.take(events.next().await.unwrap().unwrap());
    }
    agent.kill();
    // What was on its way may still arrive; then the stream breaks.
    while let Ok(Some(event)) = events.next().await {
        seen.take(event);
    }
    assert!(seen.end.is_none());
    agent.launch().await;
    let mut client = agent.client().await;
    let mut events = Events::attach(&mut client, "r1-0-1", seen.next).await.unwrap();
    while let Some(event) = events.next().await.unwrap() {
        seen.take(event);
    }
    assert_eq!(seen.text(), slow_lines());
    assert_eq!(seen.stderr, b"end\n");
    let OpEnd::Failed { result } = seen.end() else { panic!("status 3 is a failure: {:?}", seen.end()) };
    assert_eq!(result.data["rc"], json!(3));
    assert_eq!(result.data["stdout"], json!(slow_lines().trim_end()));
    // Again from the beginning, from a second restart, and by a repeated submit: the same, and never run again.
    agent.kill();
    agent.launch().await;
    let mut client = agent.client().await;
    for again in [
        Events::attach(&mut client, "r1-0-1", 0).await.unwrap().all().await,
        run(&mut client, &shell("r1-0-1", SLOW)).await,
    ] {
        assert_eq!((again.text(), again.end()), (slow_lines(), seen.end()));
        assert_eq!(again.started, 1);
    }
}

#[tokio::test]
async fn a_command_that_ends_while_no_agent_runs_has_its_result_afterwards() {
    let mut agent = Agent::start().await;
    let mut client = agent.client().await;
    let mut events =
        Events::submit(&mut client, &shell("r1-0-1", "echo begun; sleep 0.4; echo ended; exit 5")).await.unwrap();
    while events.next().await.unwrap().unwrap().seq < 1 {}
    agent.kill();
    let exit = agent.state().join("ops/r1-0-1/exit");
    until("the command's end", || exit.exists()).await;
    agent.launch().await;
    let seen = Events::attach(&mut agent.client().await, "r1-0-1", 0).await.unwrap().all().await;
    assert_eq!(seen.text(), "begun\nended\n");
    let OpEnd::Failed { result } = seen.end() else { panic!("{:?}", seen.end()) };
    assert_eq!(result.data["rc"], json!(5));
    assert!(agent.leftovers().is_empty(), "{:?}", agent.leftovers());
}

#[tokio::test]
async fn the_deadline_holds_even_while_no_agent_runs() {
    let mut agent = Agent::start().await;
    let mut client = agent.client().await;
    let mut late = shell("r1-0-1", "echo begun; sleep 60");
    late.deadline = Duration::from_millis(700);
    let mut events = Events::submit(&mut client, &late).await.unwrap();
    while events.next().await.unwrap().unwrap().seq < 1 {}
    agent.kill();
    until("the command's end by the shim", || agent.leftovers().is_empty()).await;
    agent.launch().await;
    let seen = Events::attach(&mut agent.client().await, "r1-0-1", 0).await.unwrap().all().await;
    let OpEnd::Failed { result } = seen.end() else { panic!("{:?}", seen.end()) };
    assert!(result.msg.as_ref().unwrap().contains("deadline"), "{result:?}");
}

#[tokio::test]
async fn a_repeated_submit_attaches_and_the_command_runs_once() {
    let agent = Agent::start().await;
    let runs = agent.dir.path().join("runs");
    let once = shell("r1-0-1", &format!("echo run >> {}; sleep 0.2; echo out", runs.display()));
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (mut client, once) = (agent.client().await, once.clone());
        waiting.spawn(async move {
            tokio::time::sleep(Duration::from_millis(n * 60)).await;
            run(&mut client, &once).await
        });
    }
    while let Some(seen) = waiting.join_next().await {
        let seen = seen.unwrap();
        assert_eq!(seen.text(), "out\n");
        assert_eq!(seen.done().data["rc"], json!(0));
    }
    assert_eq!(lines_of(&runs), 1);
    let mut client = agent.client().await;
    let other = Events::submit(&mut client, &shell("r1-0-1", "echo something else")).await;
    assert_eq!(other.err().unwrap().code(), tonic::Code::AlreadyExists);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let agent = Agent::start().await;
    let mark = agent.dir.path().join("mark");
    let mut client = agent.client().await;
    let events =
        Events::submit(&mut client, &shell("r1-0-1", &format!("sleep 0.2; echo x > {}", mark.display()))).await;
    drop(events);
    drop(client);
    until("the op's work", || lines_of(&mark) == 1).await;
    let seen = Events::attach(&mut agent.client().await, "r1-0-1", 0).await.unwrap().all().await;
    assert_eq!(seen.done().data["rc"], json!(0));
}

#[tokio::test]
async fn whenever_the_agent_is_killed_a_command_starts_at_most_once_and_its_end_is_told() {
    let mut agent = Agent::start().await;
    let runs = agent.dir.path().join("runs");
    for n in 0..12u64 {
        let id = format!("kill-{n}");
        let once = shell(&id, &format!("echo {id} >> {}; sleep 0.03; echo out", runs.display()));
        let mut client = agent.client().await;
        let submitting = tokio::spawn({
            let once = once.clone();
            async move { Events::submit(&mut client, &once).await }
        });
        tokio::time::sleep(Duration::from_millis(n * 4)).await;
        agent.kill();
        drop(submitting.await);
        agent.launch().await;
        // The controller does not know how far it came, so it submits again.
        let mut client = agent.client().await;
        let seen = run(&mut client, &once).await;
        let starts = std::fs::read_to_string(&runs).unwrap_or_default().lines().filter(|line| *line == id).count();
        match seen.end() {
            OpEnd::Done { result } => {
                assert_eq!((starts, &result.data["stdout"]), (1, &json!("out")), "{id}");
            }
            // Killed between the promise and the first process: nobody can know, so it is not run again.
            OpEnd::Unknown { .. } => assert!(starts <= 1, "{id}"),
            other @ (OpEnd::Failed { .. } | OpEnd::Refused { .. } | OpEnd::Expired { .. }) => panic!("{id}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_op_that_was_cut_in_the_middle_without_a_command_is_unknown_and_never_run_again() {
    let mut agent = Agent::start().await;
    let target = agent.dir.path().join("file");
    // A named pipe as validator: the module hangs after its op was accepted.
    let hang = op("r1-0-1", "copy", json!({"content": "x", "dest": target, "validate": "sh -c 'exec sleep 30' %s"}));
    let mut client = agent.client().await;
    let _events = Events::submit(&mut client, &hang).await.unwrap();
    let journal = agent.state().join("journal/journal.1");
    until("the accepted record", || String::from_utf8_lossy(&std::fs::read(&journal).unwrap()).contains("r1-0-1"))
        .await;
    agent.kill();
    agent.launch().await;
    let mut client = agent.client().await;
    for _ in 0..2 {
        let seen = run(&mut client, &hang).await;
        assert!(matches!(seen.end(), OpEnd::Unknown { .. }), "{:?}", seen.end());
    }
    assert!(!target.exists());
}

#[tokio::test]
async fn a_lower_generation_is_refused_also_after_a_restart() {
    let mut agent = Agent::start().await;
    let with = |id: &str, generation| {
        let mut op = op(id, "ping", json!({}));
        let cluster = kfleet_model::ClusterName::new("kafka").unwrap();
        op.lease = Some(kfleet_model::op::Lease { cluster, generation: Generation(generation) });
        op
    };
    let mut client = agent.client().await;
    assert!(run(&mut client, &with("a", 5)).await.end().result().is_some());
    agent.kill();
    agent.launch().await;
    let mut client = agent.client().await;
    let OpEnd::Refused { why } = run(&mut client, &with("b", 4)).await.end().clone() else {
        panic!("4 is lower than 5")
    };
    assert!(why.contains("generation 5 was seen"), "{why}");
    assert!(run(&mut client, &with("b", 6)).await.end().result().is_some(), "a refused id is free again");
}

#[tokio::test]
async fn a_stop_by_the_service_manager_is_quick_and_leaves_commands_running() {
    let mut agent = Agent::start().await;
    let mut client = agent.client().await;
    let mut events = Events::submit(&mut client, &shell("r1-0-1", SLOW)).await.unwrap();
    while events.next().await.unwrap().unwrap().seq < 2 {}
    let begun = Instant::now();
    assert_eq!(agent.terminate(), Some(0), "{}", agent.log());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    agent.launch().await;
    let seen = Events::attach(&mut agent.client().await, "r1-0-1", 0).await.unwrap().all().await;
    assert_eq!(seen.text(), slow_lines());
}

#[tokio::test]
async fn an_op_that_has_not_begun_when_the_agent_stops_can_be_submitted_to_the_next_one() {
    let mut agent = Agent::start().await;
    let mut client = agent.client().await;
    let mut first = Events::submit(&mut client, &shell("r1-0-1", SLOW)).await.unwrap();
    while first.next().await.unwrap().unwrap().seq < 1 {}
    let second = shell("r1-0-2", "echo second");
    let mut waiting = Events::submit(&mut client, &second).await.unwrap();
    let told = tokio::spawn(async move { waiting.next().await });
    assert_eq!(agent.terminate(), Some(0));
    // Told by the agent, or by the closed connection: in no case that the op is over.
    assert!(told.await.unwrap().is_err());
    agent.launch().await;
    let mut client = agent.client().await;
    let unknown = Events::attach(&mut client, "r1-0-2", 0).await.err().unwrap();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    assert_eq!(run(&mut client, &second).await.text(), "second\n");
    let first = Events::attach(&mut client, "r1-0-1", 0).await.unwrap().all().await;
    assert_eq!(first.text(), slow_lines(), "and it waited for the command of the first");
}

#[tokio::test]
async fn damage_in_the_journal_is_reported_and_does_not_keep_the_agent_from_starting() {
    let mut agent = Agent::start().await;
    let mut client = agent.client().await;
    for n in 0..3 {
        run(&mut client, &shell(&format!("op-{n}"), "true")).await.done();
    }
    agent.kill();
    let path = agent.state().join("journal/journal.1");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = String::from_utf8_lossy(&bytes).find("op-1").unwrap();
    bytes[at + 30] ^= 0xff;
    std::fs::write(&path, bytes).unwrap();
    agent.launch().await;
    let mut client = agent.client().await;
    let request = kfleet_proto::v1::ObserveRequest { kind: 5, params_json: Vec::new(), deadline_ms: 5000 };
    let mut stream = client.observe(request).await.unwrap().into_inner();
    let mut json = Vec::new();
    while let Some(chunk) = stream.message().await.unwrap() {
        json.extend(chunk.data);
    }
    let document: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert!(document["warnings"][0].as_str().unwrap().contains("damaged record"), "{document}");
    assert!(agent.log().contains("damaged record"));
    let again = run(&mut client, &shell("op-1", "true")).await;
    assert!(!matches!(again.end(), OpEnd::Refused { .. }), "{:?}", again.end());
}
