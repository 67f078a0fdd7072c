use super::*;
use crate::lines::Lines;
use proptest::prelude::*;

/// A folder with one log in memory, written and rotated as loggers and logrotate do it.
#[derive(Debug, Default)]
struct Folder {
    files: BTreeMap<String, (u64, Vec<u8>, i64)>,
    clock: i64,
    written: u64,
}

const BASE: &str = "/l/server.log";

impl Folder {
    fn new() -> Self {
        let mut folder = Self::default();
        folder.create(BASE.to_owned(), Vec::new());
        folder
    }

    /// The smallest inode that is free, as file systems like to give.
    fn create(&mut self, path: String, content: Vec<u8>) {
        self.clock += 1;
        let used: Vec<u64> = self.files.values().map(|(inode, ..)| *inode).collect();
        let inode = (1..).find(|inode| !used.contains(inode)).unwrap();
        self.files.insert(path, (inode, content, self.clock));
    }

    fn write(&mut self, text: &str) {
        self.clock += 1;
        let clock = self.clock;
        let (_, content, modified) = self.files.get_mut(BASE).unwrap();
        content.extend_from_slice(text.as_bytes());
        *modified = clock;
    }

    fn line(&mut self) -> String {
        self.written += 1;
        format!("line {} of this log", self.written)
    }

    fn shift(&mut self) {
        for number in (1..20).rev() {
            if let Some(file) = self.files.remove(&format!("{BASE}.{number}")) {
                self.files.insert(format!("{BASE}.{}", number + 1), file);
            }
        }
    }

    fn rename(&mut self) {
        self.shift();
        let file = self.files.remove(BASE).unwrap();
        self.files.insert(format!("{BASE}.1"), file);
        self.create(BASE.to_owned(), Vec::new());
    }

    fn copy_truncate(&mut self) {
        self.shift();
        let content = std::mem::take(&mut self.files.get_mut(BASE).unwrap().1);
        self.create(format!("{BASE}.1"), content);
        self.clock += 1;
        self.files.get_mut(BASE).unwrap().2 = self.clock;
    }

    fn now(&self) -> Vec<FileNow> {
        let now = |(path, (inode, content, modified_ns)): (&String, &(u64, Vec<u8>, i64))| FileNow {
            path: path.clone(),
            device: 1,
            inode: *inode,
            size: content.len() as u64,
            modified_ns: *modified_ns,
            head: content[..content.len().min(HEAD)].to_vec(),
        };
        families(self.files.iter().map(now).collect()).remove(BASE).unwrap()
    }

    /// Reads as an agent does, and moves the bookmark.
    fn read(&self, mark: &mut Option<Bookmark>, found: &mut Vec<String>) -> Vec<Told> {
        let plan = plan(&self.now(), mark.as_ref(), 0);
        for part in plan.parts {
            let content = &self.files[&part.file.path].1;
            let from = usize::try_from(part.start.offset()).unwrap();
            let mut lines = Lines::default();
            for piece in content[from..].chunks(7) {
                lines.take(piece, |line| found.push(line.to_owned()));
            }
            if part.growth == Growth::Finished {
                lines.finish(|line| found.push(line.to_owned()));
            }
            *mark = Some(Bookmark::of(&part.file, part.start.offset() + lines.consumed()));
        }
        plan.told
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Line,
    Half,
    Rename,
    CopyTruncate,
    Read,
    /// The oldest file is removed when it was read.
    Remove,
}

fn run(steps: &[Step]) -> (Vec<String>, Vec<String>, Vec<Told>) {
    let (mut folder, mut mark, mut found, mut wanted, mut told) =
        (Folder::new(), None, Vec::new(), Vec::new(), Vec::new());
    let mut half: Option<String> = None;
    for step in steps {
        match step {
            Step::Line => {
                let line = folder.line();
                match half.take() {
                    Some(begun) => {
                        folder.write(&format!("{line}\n"));
                        wanted.push(begun + &line);
                    }
                    None => {
                        folder.write(&format!("{line}\n"));
                        wanted.push(line);
                    }
                }
            }
            Step::Half => {
                let line = folder.line();
                folder.write(&line);
                half = Some(half.unwrap_or_default() + &line);
            }
            // A logger ends its line before it rotates; logrotate does not know of lines.
            Step::Rename | Step::CopyTruncate => {
                wanted.extend(half.take());
                match step {
                    Step::Rename => folder.rename(),
                    Step::CopyTruncate | Step::Line | Step::Half | Step::Read | Step::Remove => folder.copy_truncate(),
                }
            }
            Step::Read => told.extend(folder.read(&mut mark, &mut found)),
            Step::Remove => {
                told.extend(folder.read(&mut mark, &mut found));
                let oldest = folder.now().remove(0);
                if oldest.path != BASE {
                    folder.files.remove(&oldest.path);
                }
            }
        }
    }
    told.extend(folder.read(&mut mark, &mut found));
    (found, wanted, told)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Line),
        2 => Just(Step::Half),
        2 => Just(Step::Rename),
        2 => Just(Step::CopyTruncate),
        3 => Just(Step::Read),
        1 => Just(Step::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_rotation_loses_a_line_or_counts_one_twice(steps in proptest::collection::vec(step(), 0..60)) {
        let (found, wanted, told) = run(&steps);
        prop_assert_eq!(found, wanted);
        prop_assert!(!told.contains(&Told::Gone), "{:?}", told);
    }
}

#[test]
fn a_log_that_was_empty_at_the_bookmark_and_copied_since_is_read() {
    let (found, wanted, _) = run(&[Step::Read, Step::Line, Step::CopyTruncate, Step::Line]);
    assert_eq!(found, wanted);
}

fn file(path: &str, inode: u64, modified_ns: i64, content: &str) -> FileNow {
    FileNow {
        path: path.into(),
        device: 1,
        inode,
        size: content.len() as u64,
        modified_ns,
        head: content.as_bytes()[..content.len().min(HEAD)].to_vec(),
    }
}

fn told(plan: &Plan) -> (Vec<(String, Start)>, Vec<Told>) {
    (plan.parts.iter().map(|part| (part.file.path.clone(), part.start)).collect(), plan.told.clone())
}

fn from(path: &str, start: Start) -> (String, Start) {
    (path.to_owned(), start)
}

#[test]
fn names_of_rotated_files_lead_to_their_log() {
    for (name, base) in [
        ("server.log", "server.log"),
        ("server.log.1", "server.log"),
        ("server.log.2026-01-02-03", "server.log"),
        ("server.log-20260102", "server.log"),
        ("server.log-20260102.gz", "server.log"),
        ("server-2026-01-02-1.log.gz", "server.log"),
        ("kafkaServer-gc.log.0.current", "kafkaServer-gc.log"),
        ("zookeeper-root-server-zk-1.log", "zookeeper-root-server-zk-1.log"),
        ("zookeeper-root-server-zk-1.log.3", "zookeeper-root-server-zk-1.log"),
        ("kafkaServer.out", "kafkaServer.out"),
        ("state-change.log", "state-change.log"),
    ] {
        assert_eq!(base_name(name), base, "{name}");
    }
}

#[test]
fn without_a_bookmark_what_is_new_enough_is_read() {
    let files =
        [file("/l/a.log.2", 1, 10, "old\n"), file("/l/a.log.1", 2, 20, "new\n"), file("/l/a.log", 3, 30, "now\n")];
    let plan = plan(&files, None, 15);
    assert_eq!(
        told(&plan),
        (vec![from("/l/a.log.1", Start::Line(0)), from("/l/a.log", Start::Line(0))], vec![Told::First])
    );
    assert_eq!((plan.parts[0].growth, plan.parts[1].growth), (Growth::Finished, Growth::Open));
}

#[test]
fn what_was_compressed_in_between_is_told() {
    let mark = Bookmark::of(&file("/l/a.log", 3, 30, "first\n"), 6);
    let files = [
        file("/l/a.log.3.gz", 4, 20, "gz"),
        file("/l/a.log.2.gz", 5, 40, "gz"),
        file("/l/a.log.1", 6, 50, "third\n"),
        file("/l/a.log", 7, 60, "fourth\n"),
    ];
    let (parts, said) = told(&plan(&files, Some(&mark), 0));
    assert_eq!(parts, [from("/l/a.log.1", Start::Line(0)), from("/l/a.log", Start::Line(0))]);
    assert_eq!(said, [Told::Gone, Told::Compressed { path: "/l/a.log.2.gz".into() }]);
}

#[test]
fn an_inode_that_came_again_is_another_file() {
    let mark = Bookmark::of(&file("/l/a.log", 3, 30, "first\n"), 6);
    let (parts, said) = told(&plan(&[file("/l/a.log", 3, 60, "another file\n")], Some(&mark), 0));
    assert_eq!((parts, said), (vec![from("/l/a.log", Start::Line(0))], vec![Told::Gone]));
}

#[test]
fn a_bound_passes_over_the_oldest_and_says_so() {
    let files = [file("/l/a.log.1", 1, 10, "0123456789"), file("/l/a.log", 2, 20, "0123456789")];
    let all = plan(&files, None, 0);
    assert_eq!(all.clone().within(20), all);
    let (parts, said) = told(&all.clone().within(15));
    assert_eq!(parts, [from("/l/a.log.1", Start::Middle(5)), from("/l/a.log", Start::Line(0))]);
    assert_eq!(said, [Told::First, Told::PassedOver { bytes: 5 }]);
    let (parts, said) = told(&all.within(4));
    assert_eq!(parts, [from("/l/a.log", Start::Middle(6))]);
    assert_eq!(said, [Told::First, Told::PassedOver { bytes: 16 }]);
}
