//! The modules that a playbook may use: the agent's, and those that never leave the controller.
//!
//! Purpose: finding a module by the name that a playbook writes, and saying what is wrong with a name that is not
//! there.
//! Place in the flow: the parser needs it to tell a module from a misspelt keyword, lint to check parameters.
//! Not here: what the modules do.

use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc, ParamKind, nearest, param};
use std::collections::BTreeMap;

/// The modules of the agent of this version: a copy of its table, so that lint and `kfleet doc` work without a host.
///
/// # Panics
/// When the copy that is built in is no catalogue; the agent's tests compare it with the table.
#[must_use]
pub fn agent_modules() -> Vec<ModuleDoc> {
    serde_json::from_str(include_str!("catalogue.json"))
        .expect("the built-in catalogue is written by the agent's tests")
}

/// The modules that are known in a run.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    modules: BTreeMap<String, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    doc: ModuleDoc,
    /// It takes any further parameter: `set_fact`, `add_host`.
    open: bool,
}

impl Catalogue {
    /// Takes the agent's modules, and by their names those actions of the controller ([`actions`]) that the
    /// executor has. An action wins over a module of the same name.
    pub fn new<'a>(
        modules: impl IntoIterator<Item = &'a ModuleDoc>,
        actions: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut known: BTreeMap<String, Known> =
            modules.into_iter().map(|doc| (doc.name.clone(), Known { doc: doc.clone(), open: false })).collect();
        for name in actions {
            if let Some((doc, open)) = self::actions().into_iter().find(|(doc, _)| doc.name == name) {
                // A module that the agent documents more fully keeps its document: `copy`, `template`.
                known.entry(name.to_owned()).or_insert(Known { doc, open });
            }
        }
        Self { modules: known }
    }

    /// The document of a module, by any of the names that a playbook may write.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ModuleDoc> {
        self.modules.get(short(name)).map(|known| &known.doc)
    }

    /// The module takes parameters of any name.
    #[must_use]
    pub fn is_open(&self, name: &str) -> bool {
        self.modules.get(short(name)).is_some_and(|known| known.open)
    }

    /// The short names of all modules, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// The nearest known name to a wrong one, in the form in which it was written.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<String> {
        let short = short(name);
        let prefix = name.strip_suffix(short).unwrap_or("");
        nearest(short, self.names()).map(|found| format!("{prefix}{found}"))
    }
}

/// The name without the collections whose modules have short names of old.
#[must_use]
pub fn short(name: &str) -> &str {
    ["ansible.builtin.", "ansible.legacy.", "ansible.posix.", "community.general."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// A module of ansible-core, whether kfleet has it or not: "not there" and "misspelt" are told apart by it.
#[must_use]
pub fn is_ansible(name: &str) -> bool {
    ANSIBLE_BUILTIN.binary_search(&short(name)).is_ok()
}

/// The names of the modules in ansible-core 2.19 (`ansible-doc -l ansible.builtin`), sorted.
const ANSIBLE_BUILTIN: &[&str] = &[
    "add_host",
    "apt",
    "apt_key",
    "apt_repository",
    "assemble",
    "assert",
    "async_status",
    "blockinfile",
    "command",
    "copy",
    "cron",
    "deb822_repository",
    "debconf",
    "debug",
    "dnf",
    "dnf5",
    "dpkg_selections",
    "expect",
    "fail",
    "fetch",
    "file",
    "find",
    "gather_facts",
    "get_url",
    "getent",
    "git",
    "group",
    "group_by",
    "hostname",
    "import_playbook",
    "import_role",
    "import_tasks",
    "include",
    "include_role",
    "include_tasks",
    "include_vars",
    "iptables",
    "known_hosts",
    "lineinfile",
    "meta",
    "mount_facts",
    "package",
    "package_facts",
    "pause",
    "ping",
    "pip",
    "raw",
    "reboot",
    "replace",
    "rpm_key",
    "script",
    "service",
    "service_facts",
    "set_fact",
    "set_stats",
    "setup",
    "shell",
    "slurp",
    "stat",
    "subversion",
    "systemd",
    "systemd_service",
    "sysvinit",
    "tempfile",
    "template",
    "unarchive",
    "uri",
    "user",
    "validate_argument_spec",
    "wait_for",
    "wait_for_connection",
    "yum",
    "yum_repository",
];

fn action(name: &str, summary: &str, free_form: Option<&str>, params: Vec<ParamDoc>) -> ModuleDoc {
    ModuleDoc {
        name: name.to_owned(),
        summary: summary.to_owned(),
        idempotent: true,
        check_mode: CheckMode::Full,
        free_form: free_form.map(str::to_owned),
        params,
        returns: Vec::new(),
        examples: String::new(),
    }
}

/// The documents of all actions of the controller that the language knows, each with whether it takes parameters
/// of any name.
#[must_use]
pub fn actions() -> Vec<(ModuleDoc, bool)> {
    let mut all = language_actions();
    all.extend(value_actions());
    all.extend(transfer_actions());
    all
}

fn role_params() -> Vec<ParamDoc> {
    use ParamKind::{Bool, Dict, Str};
    vec![
        param("name", Str, "the role").required().aliases(&["role"]),
        param("tasks_from", Str, "the file of tasks in it").default("main"),
        param("vars_from", Str, "the file of variables in it").default("main"),
        param("defaults_from", Str, "the file of defaults in it").default("main"),
        param("handlers_from", Str, "the file of handlers in it").default("main"),
        param("allow_duplicates", Bool, "take it in again").default("true"),
        param("public", Bool, "its variables stay visible to the rest of the play"),
        param("rolespec_validate", Bool, "check the role's argument specification").default("true"),
        param("apply", Dict, "keywords for its tasks"),
    ]
}

fn language_actions() -> Vec<(ModuleDoc, bool)> {
    use ParamKind::{Dict, Str};
    let file = || param("file", Str, "the file of tasks").required();
    let apply = || param("apply", Dict, "keywords for the tasks that are taken in");
    let import_role = role_params().into_iter().filter(|p| p.name != "apply").collect();
    vec![
        (action("include", "takes in tasks; the old form", Some("file"), vec![file(), apply()]), true),
        (action("include_tasks", "takes in tasks when it is reached", Some("file"), vec![file(), apply()]), false),
        (action("import_tasks", "takes in tasks before the run", Some("file"), vec![file()]), false),
        (action("include_role", "takes in a role when it is reached", None, role_params()), false),
        (action("import_role", "takes in a role before the run", None, import_role), false),
        (
            action(
                "meta",
                "gives the executor an order",
                Some("action"),
                vec![param("action", Str, "the order").required()],
            ),
            false,
        ),
    ]
}

fn value_actions() -> Vec<(ModuleDoc, bool)> {
    use ParamKind::{Bool, Dict, Int, List, Path, Raw, Str};
    let texts = |name: &str, doc: &str| param(name, Str, doc);
    vec![
        (
            action(
                "debug",
                "shows a message or a variable",
                None,
                vec![
                    param("msg", Raw, "the message").default("Hello world!"),
                    texts("var", "the expression to show; excludes msg"),
                    param("verbosity", Int, "show it only with so many -v").default("0"),
                ],
            ),
            false,
        ),
        (
            action(
                "set_fact",
                "sets variables of the host",
                None,
                vec![param("cacheable", Bool, "keep them as facts, too").default("false")],
            ),
            true,
        ),
        (
            action(
                "assert",
                "fails unless conditions hold",
                None,
                vec![
                    param("that", Raw, "the condition, or a list of them").required(),
                    param("fail_msg", Raw, "the message when one does not hold").aliases(&["msg"]),
                    param("success_msg", Raw, "the message when all hold"),
                    param("quiet", Bool, "show only failures").default("false"),
                ],
            ),
            false,
        ),
        (action("fail", "fails with a message", None, vec![param("msg", Raw, "the message")]), false),
        (
            action(
                "include_vars",
                "reads variables of files",
                Some("file"),
                vec![
                    param("file", Path, "the file"),
                    param("dir", Path, "the folder of files"),
                    param("name", Str, "the variable that shall hold them, as a mapping"),
                    param("depth", Int, "how deep to go into folders; 0 for all").default("0"),
                    param("files_matching", Str, "a regular expression for names in the folder"),
                    param("ignore_files", List, "names in the folder that are left out"),
                    param("extensions", List, "endings that are read").default("[yaml, yml, json]"),
                    param("ignore_unknown_extensions", Bool, "leave out other endings without failing")
                        .default("false"),
                    param("hash_behaviour", Str, "whether mappings are merged").choices(&["replace", "merge"]),
                ],
            ),
            false,
        ),
        (
            action(
                "add_host",
                "adds a host to the inventory of this run",
                None,
                vec![
                    param("name", Str, "the host").required().aliases(&["host", "hostname"]),
                    param("groups", List, "its groups").aliases(&["group", "groupname"]),
                ],
            ),
            true,
        ),
        (
            action(
                "group_by",
                "makes groups of the value of a variable",
                None,
                vec![
                    param("key", Str, "the name of the group").required(),
                    param("parents", List, "the groups above it").default("[all]"),
                ],
            ),
            false,
        ),
        (
            action(
                "set_stats",
                "sets values that are shown at the end of the run",
                None,
                vec![
                    param("data", Dict, "the values").required(),
                    param("per_host", Bool, "keep them for each host").default("false"),
                    param("aggregate", Bool, "add to earlier values").default("true"),
                ],
            ),
            false,
        ),
    ]
}

fn transfer_actions() -> Vec<(ModuleDoc, bool)> {
    use ParamKind::{Bool, Int, Mode, Path, Raw, Str};
    vec![
        (
            action(
                "pause",
                "waits for a time or for the operator",
                None,
                vec![
                    param("seconds", Raw, "how many seconds"),
                    param("minutes", Raw, "how many minutes"),
                    param("prompt", Str, "the question to the operator"),
                    param("echo", Bool, "show what is typed").default("true"),
                ],
            ),
            false,
        ),
        (
            action(
                "wait_for_connection",
                "waits until the agent answers",
                None,
                vec![
                    param("timeout", Int, "seconds to wait at most").default("600"),
                    param("delay", Int, "seconds before the first try").default("0"),
                    param("sleep", Int, "seconds between two tries").default("1"),
                    param("connect_timeout", Int, "seconds for one try").default("5"),
                ],
            ),
            false,
        ),
        (
            action(
                "template",
                "renders a template onto the host",
                None,
                vec![
                    param("src", Path, "the template on the controller").required(),
                    param("dest", Path, "the file on the host").required(),
                    param("mode", Mode, "its mode"),
                    param("owner", Str, "its owner"),
                    param("group", Str, "its group"),
                    param("backup", Bool, "keep the old file beside it").default("false"),
                    param("force", Bool, "replace a file that differs").default("true"),
                    param("follow", Bool, "follow a link at the destination").default("false"),
                    param("validate", Str, "a command that must accept the new file; %s stands for its path"),
                    param("newline_sequence", Str, "the line end").default("\\n"),
                    param("trim_blocks", Bool, "drop the line end after a block").default("true"),
                    param("lstrip_blocks", Bool, "drop blanks before a block").default("false"),
                    param("block_start_string", Str, "opens a block").default("{%"),
                    param("block_end_string", Str, "closes a block").default("%}"),
                    param("variable_start_string", Str, "opens an expression").default("{{"),
                    param("variable_end_string", Str, "closes an expression").default("}}"),
                    param("comment_start_string", Str, "opens a comment").default("{#"),
                    param("comment_end_string", Str, "closes a comment").default("#}"),
                    param("output_encoding", Str, "the encoding of the file").default("utf-8"),
                ],
            ),
            false,
        ),
        (
            action(
                "fetch",
                "copies a file from the host to the controller",
                None,
                vec![
                    param("src", Path, "the file on the host").required(),
                    param("dest", Path, "the folder on the controller").required(),
                    param("flat", Bool, "take dest as the file's name").default("false"),
                    param("fail_on_missing", Bool, "fail when it is not there").default("true"),
                    param("validate_checksum", Bool, "compare the copy").default("true"),
                ],
            ),
            false,
        ),
        (
            action(
                "script",
                "runs a script of the controller on the host",
                Some("cmd"),
                vec![
                    param("cmd", Str, "the script on the controller and its arguments").required(),
                    param("chdir", Path, "the folder to run it in"),
                    param("creates", Path, "skip it when this exists"),
                    param("removes", Path, "skip it when this does not exist"),
                    param("executable", Str, "the interpreter"),
                ],
            ),
            false,
        ),
        (
            action(
                "raw",
                "runs a command line without looking at the host",
                Some("cmd"),
                vec![param("cmd", Str, "the command line").required(), param("executable", Path, "the shell")],
            ),
            false,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_found_by_all_its_names_and_a_misspelt_one_by_its_nearest() {
        let catalogue = Catalogue::new(&[], ["template", "debug", "set_fact"]);
        for name in ["template", "ansible.builtin.template", "ansible.legacy.template"] {
            assert_eq!(catalogue.get(name).map(|doc| doc.name.as_str()), Some("template"), "{name}");
        }
        assert_eq!(catalogue.nearest("ansible.builtin.tempalte").as_deref(), Some("ansible.builtin.template"));
        assert_eq!(catalogue.nearest("zzz"), None);
        assert!(catalogue.is_open("set_fact") && !catalogue.is_open("debug"));
        assert!(catalogue.get("fail").is_none(), "only the actions that were named are known");
    }

    #[test]
    fn the_names_of_ansible_are_sorted_so_that_they_are_found() {
        assert!(ANSIBLE_BUILTIN.is_sorted());
        assert!(is_ansible("ansible.builtin.unarchive") && !is_ansible("kafka_cluster_info"));
    }
}
