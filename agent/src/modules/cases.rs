//! Runs the case files of `tests/cases` and the promises that every module keeps.
//!
//! A case is a host, parameters and what must come of it. Each is run four ways: in check mode, where nothing may be
//! written; for real; for real once more, where nothing may be left to do; and with a fault at every single call to
//! the host, after which each file is whole.

use super::{AnyModule, Call, MODULES, ModuleError};
use crate::host::fake::{FakeHost, FileSpec, Spec};
use kfleet_model::module::{CheckMode, text};
use kfleet_model::{Change, Map, TaskResult, Value};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde::Deserialize;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it shows, as a sentence.
    name: String,
    #[serde(default)]
    host: Spec,
    #[serde(default)]
    params: Map,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    #[serde(default)]
    changed: bool,
    /// Object, property, from and to of every change.
    changes: Option<Vec<(String, String, Value, Value)>>,
    /// Keys of the result; others may be there.
    #[serde(default)]
    result: Map,
    msg: Option<String>,
    /// The task fails, and its message contains this.
    fails: Option<String>,
    /// Paths afterwards; null is gone, and what a path does not name is not compared.
    #[serde(default)]
    files: BTreeMap<PathBuf, Option<FileSpec>>,
    /// Every write, in order.
    writes: Option<Vec<String>>,
    /// A text that is in the differences.
    diff: Option<String>,
    /// Facts; others may be there.
    #[serde(default)]
    facts: Map,
    /// A progress text.
    tells: Option<String>,
    /// The unit that the guard rail hears of before anything is done.
    stops: Option<String>,
    /// A second run has something to do again.
    #[serde(default)]
    again: bool,
    /// Check mode can not tell.
    #[serde(default)]
    check_skips: bool,
}

/// One run of a case.
struct Run {
    host: FakeHost,
    outcome: Result<TaskResult, ModuleError>,
    /// The unit that it said it would stop.
    stops: Option<super::UnitStop>,
}

fn run(module: &dyn AnyModule, host: FakeHost, params: &Map, check: bool) -> Run {
    let called = Cell::new(0);
    let mut stops = None;
    let outcome = {
        let mut before = |stop: Option<&super::UnitStop>| {
            assert!(host.writes().is_empty() || called.get() > 0, "it wrote before it was let: {:?}", host.writes());
            called.set(called.get() + 1);
            stops = stop.cloned();
            Ok(())
        };
        let outcome = module.run(&host, Call { params, check, diff: true }, &mut before);
        assert!(called.get() <= 1, "it asked {} times", called.get());
        outcome
    };
    Run { host, outcome, stops }
}

fn cases() -> Vec<(PathBuf, Case)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut all = Vec::new();
    for folder in std::fs::read_dir(root).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            for document in yaml(&source, &path) {
                let case =
                    serde_json::from_value(document).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                all.push((path.clone(), case));
            }
        }
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

fn module_of(path: &Path) -> &'static dyn AnyModule {
    let name = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let found = MODULES.iter().find(|module| module.doc().name == name);
    *found.unwrap_or_else(|| panic!("{} is in the folder of no module", path.display()))
}

fn yaml(source: &str, path: &Path) -> Vec<Value> {
    let documents = Yaml::load_from_str(source).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    documents.iter().map(value).collect()
}

fn value(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(yes)) => (*yes).into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::FloatingPoint(number)) => number.into_inner().into(),
        Yaml::Value(Scalar::String(text)) => text.to_string().into(),
        Yaml::Sequence(items) => items.iter().map(value).collect(),
        Yaml::Mapping(pairs) => {
            Value::Object(pairs.iter().map(|(key, item)| (text(&value(key)).unwrap(), value(item))).collect())
        }
        other @ (Yaml::Representation(..) | Yaml::Tagged(..) | Yaml::Alias(_) | Yaml::BadValue) => {
            panic!("no plain YAML: {other:?}")
        }
    }
}

fn contains(got: &Map, wanted: &Map, place: &str) {
    for (key, value) in wanted {
        match (value, got.get(key)) {
            (Value::Object(wanted), Some(Value::Object(got))) => contains(got, wanted, &format!("{place}.{key}")),
            (wanted, got) => assert_eq!(got, Some(wanted), "{place}.{key}"),
        }
    }
}

fn compare(case: &Case, run: &Run) {
    let expect = &case.expect;
    match (&run.outcome, &expect.fails) {
        (Ok(_), Some(wanted)) => panic!("it did not fail with {wanted:?}"),
        (Err(error), None) => panic!("it failed: {error}"),
        (Err(error), Some(wanted)) => {
            assert!(error.to_string().contains(wanted.as_str()), "it failed otherwise: {error}");
            if let ModuleError::Failed { data, .. } = error {
                contains(data, &expect.result, "result");
            }
        }
        (Ok(result), None) => {
            assert_eq!(result.changed, expect.changed, "changed; {:?}", result.changes);
            if let Some(wanted) = &expect.changes {
                let of = |c: &Change| (c.object.clone(), c.property.clone(), c.from.clone(), c.to.clone());
                assert_eq!(&result.changes.iter().map(of).collect::<Vec<_>>(), wanted, "changes");
            }
            contains(&result.data, &expect.result, "result");
            contains(&result.facts, &expect.facts, "facts");
            if let Some(msg) = &expect.msg {
                assert_eq!(result.msg.as_ref(), Some(msg), "msg");
            }
            if let Some(wanted) = &expect.diff {
                let diffs: Vec<&String> = result.changes.iter().filter_map(|change| change.diff.as_ref()).collect();
                assert!(diffs.iter().any(|diff| diff.contains(wanted.as_str())), "diff: {diffs:?}");
            }
        }
    }
    let stops = run.stops.as_ref().map(|stop| &stop.unit.name);
    assert_eq!(stops, expect.stops.as_ref(), "the unit that it stops");
    let files = run.host.files();
    for (path, wanted) in &expect.files {
        let got = files.get(path);
        match wanted {
            None => assert_eq!(got, None, "{}", path.display()),
            Some(wanted) => {
                let got = got.unwrap_or_else(|| panic!("{} is not there", path.display()));
                assert!(covers(got, wanted), "{}: {got:?}, wanted {wanted:?}", path.display());
            }
        }
    }
    if let Some(wanted) = &expect.writes {
        assert_eq!(&run.host.writes(), wanted, "writes");
    }
    if let Some(wanted) = &expect.tells {
        assert!(run.host.told().contains(wanted), "told: {:?}", run.host.told());
    }
}

/// Whether a file is as far as it is described.
fn covers(got: &FileSpec, wanted: &FileSpec) -> bool {
    let pairs = [(&got.kind, &wanted.kind), (&got.content, &wanted.content), (&got.mode, &wanted.mode)];
    pairs.iter().all(|(got, wanted)| wanted.is_none() || got == wanted)
        && (wanted.owner.is_none() || got.owner == wanted.owner)
        && (wanted.group.is_none() || got.group == wanted.group)
        && (wanted.target.is_none() || got.target == wanted.target)
}

/// In check mode nothing is written, and what would change is what does change.
fn check_mode(module: &dyn AnyModule, case: &Case, params: &Map) {
    let checked = run(module, FakeHost::new(&case.host), params, true);
    assert_eq!(checked.host.writes(), Vec::<String>::new(), "check mode wrote");
    let Ok(result) = &checked.outcome else { return };
    assert_eq!(result.skipped, case.expect.check_skips, "skipped in check mode");
    if !result.skipped && case.expect.fails.is_none() {
        assert_eq!(result.changed, case.expect.changed, "changed in check mode; {:?}", result.changes);
    }
}

/// A fault at any call leaves every file as it was, or as it shall be.
fn faults(module: &dyn AnyModule, case: &Case, params: &Map, after: &Run) {
    let old = FakeHost::new(&case.host).files();
    let new = after.host.files();
    for n in 0..after.host.calls() {
        let host = FakeHost::new(&case.host);
        host.fail_at(n);
        let broken = run(module, host, params, false);
        let now = broken.host.files();
        for path in old.keys().chain(new.keys()).chain(now.keys()).collect::<BTreeSet<_>>() {
            let content = |files: &BTreeMap<PathBuf, FileSpec>| files.get(path).map(|file| file.content.clone());
            // No call of the kernel puts a link where an empty directory is, so that may be gone for a moment.
            let was_folder = matches!(content(&old), Some(None)) && content(&now).is_none();
            let whole = content(&now) == content(&old) || content(&now) == content(&new) || was_folder;
            assert!(whole, "after a fault at call {n} {} is neither old nor new", path.display());
        }
    }
}

#[test]
fn every_case_ends_as_it_says_in_check_mode_for_real_again_and_with_faults() {
    let all = cases();
    let mut wrong = Vec::new();
    for (path, case) in &all {
        let module = module_of(path);
        let works = catch_unwind(AssertUnwindSafe(|| {
            let params =
                module.doc().normalise(&case.params, |_| false).unwrap_or_else(|e| panic!("parameters: {e:?}"));
            check_mode(module, case, &params);
            let done = run(module, FakeHost::new(&case.host), &params, false);
            compare(case, &done);
            faults(module, case, &params, &done);
            if done.outcome.is_ok() {
                // The second run starts with a clean list of writes, on the host that the first one left.
                let again = run_again(module, done, &params);
                assert_eq!(
                    again.is_ok_and(|result| result.changed),
                    case.expect.again,
                    "a second run changes something"
                );
            }
        }));
        if let Err(panic) = works {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            wrong.push(format!("{}: {}: {said}", path.display(), case.name));
        }
    }
    assert!(all.len() > 90, "only {} cases were found", all.len());
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

fn run_again(module: &dyn AnyModule, done: Run, params: &Map) -> Result<TaskResult, ModuleError> {
    module.run(&done.host, Call { params, check: false, diff: false }, &mut |_| Ok(()))
}

#[test]
fn every_module_has_cases_or_needs_a_live_cluster() {
    let with: BTreeSet<String> = cases().iter().map(|(path, _)| module_of(path).doc().name).collect();
    let without: Vec<String> =
        MODULES.iter().map(|module| module.doc().name).filter(|name| !with.contains(name)).collect();
    assert_eq!(without, Vec::<String>::new());
}

#[test]
fn every_document_is_complete() {
    for module in MODULES {
        let doc = module.doc();
        let name = &doc.name;
        assert!(!doc.summary.is_empty() && !doc.summary.ends_with('.'), "{name}: the summary is a fragment");
        assert!(!doc.returns.is_empty(), "{name} returns nothing");
        let mut names = BTreeSet::new();
        for param in &doc.params {
            for word in std::iter::once(&param.name).chain(&param.aliases) {
                assert!(names.insert(word.clone()), "{name}: {word} is there twice");
            }
            assert!(param.doc.ends_with('.'), "{name}.{}: the text is a sentence", param.name);
            assert!(!(param.required && param.default.is_some()), "{name}.{}: needed, with a default", param.name);
            let default = param.default.as_deref().unwrap_or_default().trim_matches('"').replace("\\n", "\n");
            let fits = param.choices.is_empty() || default.is_empty() || param.choices.contains(&default);
            assert!(fits, "{name}.{}: the default {default:?} is no choice", param.name);
        }
        assert!(doc.free_form.as_ref().is_none_or(|free| doc.param(free).is_some()), "{name}: free_form");
    }
}

#[test]
fn every_example_is_a_list_of_tasks_whose_parameters_are_right() {
    for module in MODULES {
        let doc = module.doc();
        let documents = yaml(&doc.examples, Path::new(&doc.name));
        let tasks = documents[0].as_array().unwrap_or_else(|| panic!("{}: no list", doc.name));
        assert!(!tasks.is_empty(), "{} has no example", doc.name);
        for task in tasks {
            let task = task.as_object().unwrap();
            assert!(task["name"].is_string(), "{}: a task without a name", doc.name);
            let params = match task.get(&doc.name) {
                Some(Value::Object(params)) => params.clone(),
                Some(Value::Null) => Map::new(),
                Some(Value::String(_)) if doc.free_form.is_some() => Map::new(),
                other => panic!("{}: an example with {other:?}", doc.name),
            };
            let open = |value: &Value| value.as_str().is_some_and(|text| text.contains("{{"));
            if let Err(errors) = doc.normalise(&params, open) {
                panic!("{}: {errors:?}", doc.name);
            }
        }
    }
}

#[test]
fn every_module_refuses_a_parameter_that_it_does_not_have() {
    for module in MODULES {
        let doc = module.doc();
        let params = Map::from_iter([("no_such_parameter".to_owned(), Value::from(1))]);
        let errors = doc.normalise(&params, |_| false).unwrap_err();
        let told = errors.iter().any(|error| error.param() == "no_such_parameter");
        assert!(told, "{}: {errors:?}", doc.name);
        // A parameter that slips past the document is caught by the module's own type.
        let outcome = run(*module, FakeHost::new(&Spec::default()), &params, true).outcome;
        let error = outcome.err().unwrap_or_else(|| panic!("{} takes any parameter", doc.name)).to_string();
        assert!(error.contains("no_such_parameter"), "{}: {error}", doc.name);
    }
}

#[test]
fn every_parameter_of_a_document_is_one_of_the_module() {
    for module in MODULES {
        let doc = module.doc();
        for param in &doc.params {
            // A value of no type at all: the module's own type must complain of it, not of the name.
            let params = Map::from_iter([(param.name.clone(), Value::Object(Map::new()))]);
            let outcome = run(*module, FakeHost::new(&Spec::default()), &params, true).outcome;
            if let Err(error) = outcome {
                let text = error.to_string();
                assert!(!text.contains("unknown field"), "{}.{}: {text}", doc.name, param.name);
            }
        }
    }
}

#[test]
fn a_module_that_only_reads_says_so_and_writes_nothing() {
    for (path, case) in cases() {
        let module = module_of(&path);
        if module.doc().check_mode == CheckMode::ReadOnly {
            let params = module.doc().normalise(&case.params, |_| false).unwrap();
            let done = run(module, FakeHost::new(&case.host), &params, false);
            assert_eq!(done.host.writes(), Vec::<String>::new(), "{}: {}", path.display(), case.name);
        }
    }
}
