//! What the journal must survive: cuts and flips at every byte, compaction, full disks, many threads.

use super::*;
use kfleet_model::Map;
use proptest::prelude::*;
use std::sync::Arc;

/// In memory where the system offers that: hundreds of journals are opened here, and each syncs.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn id(name: &str) -> OpId {
    OpId::new(name).unwrap()
}

fn accepted(name: &str) -> Accepted {
    Accepted {
        op_id: id(name),
        run_id: RunId::new("run").unwrap(),
        digest: format!("digest of {name}"),
        module: "file".into(),
        params: Map::new(),
        no_log: false,
        boot_id: "boot".into(),
        unix_ms: 1,
        deadline_unix_ms: 2,
    }
}

fn finished(name: &str, msg: &str) -> Finished {
    Finished {
        op_id: id(name),
        run_id: RunId::new("run").unwrap(),
        digest: format!("digest of {name}"),
        module: "file".into(),
        unix_ms: 3,
        effects: true,
        end: OpEnd::Done { result: TaskResult { msg: Some(msg.to_owned()), ..TaskResult::default() } },
        stored: false,
    }
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, JournalLimits { min_free_bytes: 0, ..JournalLimits::default() }, "boot").unwrap()
}

fn small(dir: &Path) -> Journal {
    let limits = JournalLimits { file_bytes: 4000, keep_ops: 5, min_free_bytes: 0 };
    Journal::open(dir, limits, "boot").unwrap()
}

fn is_finished(journal: &Journal, name: &str) -> bool {
    matches!(journal.find(&id(name)).unwrap(), Some(Known::Finished(_)))
}

#[test]
fn what_was_written_is_known_after_a_restart() {
    let dir = folder();
    let journal = open(dir.path());
    journal.accept(accepted("a")).unwrap();
    journal.finish(finished("a", "well")).unwrap();
    journal.accept(accepted("b")).unwrap();
    let cluster = ClusterName::new("kafka").unwrap();
    assert_eq!(journal.see_generation(&cluster, Generation(7)).unwrap(), Ok(()));
    drop(journal);
    let journal = open(dir.path());
    assert_eq!(journal.find(&id("a")).unwrap(), Some(Known::Finished(Box::new(finished("a", "well")))));
    assert_eq!(journal.open_ops(), [accepted("b")]);
    assert_eq!(journal.find(&id("c")).unwrap(), None);
    assert_eq!(journal.see_generation(&cluster, Generation(6)).unwrap(), Err(Generation(7)));
    assert_eq!(journal.see_generation(&cluster, Generation(7)).unwrap(), Ok(()));
    assert_eq!(journal.warnings(), Vec::<String>::new());
}

/// A journal with three ops, the bytes of its file, and where the record of each op's end stops.
fn three_ops() -> (Vec<u8>, Vec<usize>) {
    let dir = folder();
    let journal = open(dir.path());
    for name in ["op-0", "op-1", "op-2"] {
        journal.accept(accepted(name)).unwrap();
        journal.finish(finished(name, "x")).unwrap();
    }
    drop(journal);
    let bytes = std::fs::read(dir.path().join("journal/journal.1")).unwrap();
    let ends = frame::scan(&bytes).records.iter().skip(2).step_by(2).map(|range| range.end).collect();
    (bytes, ends)
}

fn reopened(bytes: &[u8]) -> (tempfile::TempDir, Journal) {
    let dir = folder();
    std::fs::create_dir_all(dir.path().join("journal")).unwrap();
    std::fs::write(dir.path().join("journal/journal.1"), bytes).unwrap();
    let journal = open(dir.path());
    (dir, journal)
}

/// Every byte is tried where frames are read (`frame`); here every eleventh, because each opens a journal.
#[test]
fn a_file_that_is_cut_at_any_byte_keeps_all_before_the_cut_and_takes_new_ops() {
    let (bytes, ends) = three_ops();
    for cut in (0..*ends.last().unwrap()).step_by(11) {
        let (dir, journal) = reopened(&bytes[..cut]);
        for (n, end) in ends.iter().enumerate() {
            assert!(cut < *end || is_finished(&journal, &format!("op-{n}")), "cut at {cut}: op-{n}");
        }
        journal.accept(accepted("new")).unwrap();
        journal.finish(finished("new", "x")).unwrap();
        drop(journal);
        assert!(is_finished(&open(dir.path()), "new"), "cut at {cut}");
    }
}

#[test]
fn a_flipped_byte_costs_one_record_is_reported_and_never_frees_an_id_that_can_still_be_read() {
    let (bytes, ends) = three_ops();
    for at in (0..*ends.last().unwrap()).step_by(11) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        let (dir, journal) = reopened(&damaged);
        let known = (0..3).filter(|n| journal.find(&id(&format!("op-{n}"))).unwrap().is_some()).count();
        assert_eq!(known, 3, "byte {at}: an op is known by its other record, or by the id in the damaged one");
        assert!(!journal.warnings().is_empty(), "byte {at}");
        assert!(dir.path().join("journal/quarantine").read_dir().unwrap().count() > 0, "byte {at}");
        drop(journal);
        open(dir.path()).accept(accepted("new")).unwrap();
    }
}

#[test]
fn compaction_keeps_new_ops_whole_and_old_ones_by_their_end() {
    let dir = folder();
    let journal = small(dir.path());
    journal.accept(accepted("open")).unwrap();
    let cluster = ClusterName::new("kafka").unwrap();
    journal.see_generation(&cluster, Generation(3)).unwrap().unwrap();
    for n in 0..100 {
        journal.accept(accepted(&format!("op-{n}"))).unwrap();
        journal.finish(finished(&format!("op-{n}"), "x")).unwrap();
    }
    for journal in [journal, small(dir.path())] {
        for n in 0..100 {
            let known = journal.find(&id(&format!("op-{n}"))).unwrap();
            match known {
                Some(Known::Old(old)) => assert_eq!(old.end, EndKind::Done),
                Some(Known::Finished(_)) => assert!(n > 50, "op-{n} should have left the journal"),
                Some(Known::Open(_)) | None => panic!("op-{n}: {known:?}"),
            }
        }
        assert!(is_finished(&journal, "op-99"));
        assert_eq!(journal.open_ops(), [accepted("open")]);
        assert_eq!(journal.generation(&cluster), Some(Generation(3)));
    }
    let files = log::numbers(&dir.path().join("journal")).unwrap();
    assert_eq!(files.len(), 2, "two generations are kept: {files:?}");
}

#[test]
fn an_id_that_was_refused_and_comes_again_is_open_again_also_after_restart_and_compaction() {
    let dir = folder();
    let journal = small(dir.path());
    journal.accept(accepted("again")).unwrap();
    journal.finish(Finished { end: OpEnd::Refused { why: "x".into() }, ..finished("again", "") }).unwrap();
    journal.accept(accepted("again")).unwrap();
    let is_open = |journal: &Journal| matches!(journal.find(&id("again")).unwrap(), Some(Known::Open(_)));
    assert!(is_open(&journal));
    drop(journal);
    let journal = small(dir.path());
    assert!(is_open(&journal));
    for n in 0..100 {
        journal.finish(finished(&format!("op-{n}"), "x")).unwrap();
    }
    drop(journal);
    let journal = small(dir.path());
    assert!(is_open(&journal));
    journal.finish(finished("again", "")).unwrap();
    drop(journal);
    let journal = small(dir.path());
    assert!(is_finished(&journal, "again"));
    assert!(journal.open_ops().is_empty());
}

#[test]
fn large_records_do_not_make_every_write_a_compaction() {
    let dir = folder();
    let limits = JournalLimits { file_bytes: 100_000, keep_ops: 1000, min_free_bytes: 0 };
    let journal = Journal::open(dir.path(), limits, "boot").unwrap();
    for n in 0..60 {
        journal.finish(finished(&format!("op-{n}"), &"x".repeat(5_000))).unwrap();
    }
    let newest = *log::numbers(&dir.path().join("journal")).unwrap().last().unwrap();
    assert!((3..15).contains(&newest), "300 KB in files of 100 KB: {newest} files");
    assert!(is_finished(&journal, "op-59") && is_finished(&journal, "op-55"));
    assert!(matches!(journal.find(&id("op-0")).unwrap(), Some(Known::Old(_))));
}

#[test]
fn a_damaged_new_file_loses_nothing_that_the_one_before_has() {
    let dir = folder();
    let journal = small(dir.path());
    let mut n = 0;
    while log::numbers(&dir.path().join("journal")).unwrap().len() < 2 {
        journal.accept(accepted(&format!("op-{n}"))).unwrap();
        journal.finish(finished(&format!("op-{n}"), "x")).unwrap();
        n += 1;
    }
    drop(journal);
    std::fs::write(dir.path().join("journal/journal.2"), b"").unwrap();
    let journal = small(dir.path());
    for n in 0..n {
        assert!(journal.find(&id(&format!("op-{n}"))).unwrap().is_some(), "op-{n}");
    }
}

#[test]
fn a_large_end_is_kept_beside_the_journal_and_comes_back_whole() {
    let dir = folder();
    let large = finished("large", &"x".repeat(2_000_000));
    open(dir.path()).finish(large.clone()).unwrap();
    assert!(std::fs::metadata(dir.path().join("journal/journal.1")).unwrap().len() < 1_000_000);
    let Some(Known::Finished(found)) = open(dir.path()).find(&id("large")).unwrap() else { panic!("it is finished") };
    assert_eq!(found.end, large.end);
    std::fs::remove_dir_all(dir.path().join("ops/large")).unwrap();
    let Some(Known::Finished(found)) = open(dir.path()).find(&id("large")).unwrap() else { panic!("it is finished") };
    let OpEnd::Done { result } = found.end else { panic!("it is still done") };
    assert!(result.warnings[0].contains("no longer kept"), "{result:?}");
}

#[test]
fn many_threads_write_at_once_and_every_record_is_there() {
    let dir = folder();
    let journal = Arc::new(open(dir.path()));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let journal = journal.clone();
            scope.spawn(move || {
                for n in 0..25 {
                    journal.accept(accepted(&format!("op-{thread}-{n}"))).unwrap();
                    journal.finish(finished(&format!("op-{thread}-{n}"), "x")).unwrap();
                }
            });
        }
    });
    drop(journal);
    let journal = open(dir.path());
    assert_eq!(journal.newest(1000).len(), 200);
    assert!(journal.open_ops().is_empty());
}

#[test]
fn too_little_space_refuses_new_work_and_names_the_bound() {
    let dir = folder();
    let limits = JournalLimits { min_free_bytes: u64::MAX, ..JournalLimits::default() };
    let journal = Journal::open(dir.path(), limits, "boot").unwrap();
    let error = journal.ready().unwrap_err();
    assert!(error.is_full());
    assert!(error.to_string().contains(&u64::MAX.to_string()), "{error}");
    journal.finish(finished("a", "what runs can still end")).unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Accept(u8),
    Finish(u8),
    Generation(u64),
    Restart,
    /// Cuts so many bytes off what was written since the last sync point that the model knows of.
    Cut(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..20u8).prop_map(Step::Accept),
        4 => (0..20u8).prop_map(Step::Finish),
        1 => (0..9u64).prop_map(Step::Generation),
        1 => Just(Step::Restart),
        1 => any::<u8>().prop_map(Step::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever is written, compacted, restarted and torn at its end: an op that was accepted is known for ever, its end
    /// is not lost once told, and generations never go down.
    #[test]
    fn an_op_that_was_accepted_is_never_forgotten(steps in proptest::collection::vec(step(), 1..80)) {
        let dir = folder();
        let mut journal = small(dir.path());
        let cluster = ClusterName::new("kafka").unwrap();
        let (mut open_ops, mut ended, mut highest) = (BTreeMap::new(), BTreeMap::new(), 0);
        for step in steps {
            match step {
                Step::Accept(n) if !open_ops.contains_key(&n) && !ended.contains_key(&n) => {
                    journal.accept(accepted(&format!("op-{n}"))).unwrap();
                    open_ops.insert(n, ());
                }
                Step::Finish(n) if open_ops.remove(&n).is_some() => {
                    journal.finish(finished(&format!("op-{n}"), "x")).unwrap();
                    ended.insert(n, ());
                }
                Step::Accept(_) | Step::Finish(_) => {}
                Step::Generation(n) => {
                    let seen = journal.see_generation(&cluster, Generation(n)).unwrap();
                    prop_assert_eq!(seen.is_ok(), n >= highest);
                    highest = highest.max(n);
                }
                Step::Restart => {
                    drop(journal);
                    journal = small(dir.path());
                }
                Step::Cut(bytes) => {
                    // A write that a crash cut: half a record behind all that was synced.
                    let number = *log::numbers(&dir.path().join("journal")).unwrap().last().unwrap();
                    let end = journal.lock().current.written();
                    drop(journal);
                    let path = dir.path().join(format!("journal/journal.{number}"));
                    let mut half = Vec::new();
                    frame::encode(br#"{"record":"boot","format":1,"boot_id":"","version":"","unix_ms":0}"#, &mut half);
                    half.truncate(usize::from(bytes) % half.len());
                    let mut content = std::fs::read(&path).unwrap();
                    content.truncate(usize::try_from(end).unwrap());
                    content.extend(half);
                    std::fs::write(&path, content).unwrap();
                    journal = small(dir.path());
                }
            }
            for n in open_ops.keys() {
                let known = journal.find(&id(&format!("op-{n}"))).unwrap();
                prop_assert!(matches!(known, Some(Known::Open(_))), "op-{}: {:?}", n, known);
            }
            for n in ended.keys() {
                let known = journal.find(&id(&format!("op-{n}"))).unwrap();
                prop_assert!(matches!(known, Some(Known::Finished(_) | Known::Old(_))), "op-{}: {:?}", n, known);
            }
        }
    }
}
