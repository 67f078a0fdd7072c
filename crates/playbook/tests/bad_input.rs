//! Classic mistakes and what people read about them, word for word.
//!
//! Each file of `bad_input/` holds a small playbook with a mistake and, behind the line `=== shows`, the whole text
//! that `kfleet lint` prints for it. `UPDATE_GOLDEN=1 cargo test -p kfleet-playbook --test bad_input` writes the
//! texts anew; read the difference before you commit it.

use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind, param};
use kfleet_playbook::Marks;
use kfleet_playbook::catalogue::{Catalogue, actions};
use kfleet_playbook::files::MemoryFiles;
use kfleet_playbook::lint::Lint;
use kfleet_playbook::parse::{Options, load_playbooks};
use kfleet_playbook::template::{Engine, NoLookups};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SHOWS: &str = "=== shows\n";

fn doc(name: &str, free_form: Option<&str>, params: Vec<ParamDoc>) -> ModuleDoc {
    ModuleDoc {
        name: name.to_owned(),
        summary: String::new(),
        idempotent: true,
        check_mode: CheckMode::Full,
        free_form: free_form.map(str::to_owned),
        params,
        returns: Vec::new(),
        examples: String::new(),
    }
}

/// A few modules as an agent has them: this test is about the texts, not about the modules.
fn catalogue() -> Catalogue {
    use ParamKind::{Bool, Dict, List, Mode, Path, Str};
    let config = || {
        let mut params = vec![param("version", Str, ""), param("kind", Str, ""), param("settings", Dict, "")];
        params.extend([param("exclusive", Bool, ""), param("checks", Str, ""), param("extra_keys", List, "")]);
        params
    };
    let command = || vec![param("cmd", Str, "").required(), param("chdir", Path, ""), param("creates", Path, "")];
    let owned = || vec![param("mode", Mode, ""), param("owner", Str, ""), param("group", Str, "")];
    let file = vec![
        param("path", Path, "").required().aliases(&["dest", "name"]),
        param("state", Str, "").choices(&["file", "directory", "absent", "touch", "link"]),
    ];
    let copy = vec![param("src", Path, ""), param("content", Str, ""), param("dest", Path, "").required()];
    let service = vec![
        param("name", Str, "").required(),
        param("state", Str, "").choices(&["started", "stopped", "restarted", "reloaded"]),
        param("enabled", Bool, ""),
    ];
    let docs = [
        doc("command", Some("cmd"), command()),
        doc("shell", Some("cmd"), command()),
        doc("file", None, file.into_iter().chain(owned()).collect()),
        doc("copy", None, copy.into_iter().chain(owned()).collect()),
        doc("service", None, service),
        doc("kafka_config", None, config()),
        doc("zookeeper_config", None, config()),
        doc("ping", None, Vec::new()),
    ];
    let all = actions();
    Catalogue::new(&docs, all.iter().map(|(doc, _)| doc.name.as_str()))
}

/// The files of a case: `--- path` begins each.
fn files_of(text: &str) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    for part in text.split("--- ").skip(1) {
        let (path, content) = part.split_once('\n').expect("a file of a case has a path and a text");
        files.insert(path.trim(), content);
    }
    files
}

fn shown(text: &str) -> String {
    let (files, catalogue, options) = (files_of(text), catalogue(), Options::default());
    let engine = Engine::new(Arc::new(NoLookups));
    let inventory: BTreeSet<String> = ["kafka_port", "kafka_version"].map(str::to_owned).into();
    let loaded = load_playbooks(&files, &catalogue, &options, &["site.yml".to_owned()]);
    let lint =
        Lint { files: &files, catalogue: &catalogue, options: &options, engine: &engine, inventory: Some(&inventory) };
    let mut all = loaded.diagnostics;
    all.extend(lint.check(&loaded.plan));
    all.sort();
    all.render(&Marks::PLAIN)
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the folder of cases is there").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[test]
fn people_read_what_is_wrong_where_and_what_to_do() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = String::new();
    let paths = cases();
    assert!(paths.len() >= 25, "there are cases");
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (input, wanted) = text.split_once(SHOWS).unwrap_or((&text, ""));
        let found = shown(input);
        if update {
            std::fs::write(&path, format!("{input}{SHOWS}{found}")).unwrap();
        } else if found != wanted {
            writeln!(wrong, "{}\nwanted:\n{wanted}\nfound:\n{found}\n", path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
