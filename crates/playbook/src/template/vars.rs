//! What the caller gives the engine: variables, and the lookups that need more than the variables.
//!
//! Both are traits so that this crate reads no file, clock or environment itself. Variables are fetched one by one, when
//! a template names them; nobody converts a host's whole set of facts to render one line.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

/// The text that stands for `omit` in rendered values.
///
/// A parameter whose rendered value [`is_omit`] is to be dropped, as if it had never been written.
pub const OMIT: &str = "__kfleet_omit_this_parameter__";

/// In a trusted value, an object with this single key holds ciphertext of ansible-vault; using it is an error.
///
/// It is the form of Ansible's own JSON. Unlike a missing variable it can not be replaced by `default`.
pub const VAULT_KEY: &str = "__ansible_vault";

/// Tells whether a rendered value is the `omit` marker.
pub fn is_omit(value: &Value) -> bool {
    value.as_str() == Some(OMIT)
}

/// One variable as a template sees it.
#[derive(Clone)]
pub enum Var {
    /// A plain value.
    Value {
        /// The value; shared, so that fetching a variable never copies it.
        value: Arc<Value>,
        /// Trusted text was written by the operator and is itself a template. Untrusted text (facts, registered
        /// results, `!unsafe`) is data and never evaluated.
        trusted: bool,
    },
    /// A mapping of further variables with a scope of their own, such as `hostvars['b1']`: the templates in it are
    /// evaluated with its own variables, not with those of the host that asks.
    Scope(Arc<dyn Vars>),
}

impl Var {
    /// A value written by the operator.
    pub fn trusted(value: impl Into<Value>) -> Self {
        Self::Value { value: Arc::new(value.into()), trusted: true }
    }

    /// A value that came from a host.
    pub fn untrusted(value: impl Into<Value>) -> Self {
        Self::Value { value: Arc::new(value.into()), trusted: false }
    }
}

/// The variables of one host and task, layered by the caller.
pub trait Vars: Send + Sync {
    /// The variable of this name, or nothing.
    fn get(&self, name: &str) -> Option<Var>;
    /// Every name, for messages that suggest one and for `vars`, `varnames` and loops over a scope.
    fn names(&self) -> Vec<String>;
}

/// A plain set of variables: good for tests, and for the innermost layers.
#[derive(Clone, Default)]
pub struct VarMap(HashMap<String, Var>);

impl VarMap {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces one variable.
    pub fn insert(&mut self, name: impl Into<String>, var: Var) {
        self.0.insert(name.into(), var);
    }

    /// Takes each member of an object as a trusted variable.
    pub fn trusted(values: &Map<String, Value>) -> Self {
        Self(values.iter().map(|(name, value)| (name.clone(), Var::trusted(value.clone()))).collect())
    }
}

impl Vars for VarMap {
    fn get(&self, name: &str) -> Option<Var> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.keys().cloned().collect();
        names.sort();
        names
    }
}

/// Why a lookup of the caller gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// The caller has no lookup of that name.
    Unknown,
    /// It has, and it failed: one fragment that names file, variable or address.
    Failed(String),
}

/// A question about a path on the controller, asked by tests such as `is file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileTest {
    /// `is exists`: something is there, links followed.
    Exists,
    /// `is link_exists`: something is there, links not followed.
    LinkExists,
    /// `is file`.
    File,
    /// `is directory`.
    Directory,
    /// `is link`.
    Link,
    /// `is mount`.
    Mount,
}

/// A moment for `now()` and `strftime`: seconds and nanoseconds since 1970 in UTC, and the local offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Whole seconds since 1970-01-01 00:00 UTC.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
    /// Seconds that local time is ahead of UTC.
    pub offset_seconds: i32,
}

/// The outside world as templates may see it; everything refuses unless the caller provides it.
pub trait Lookups: Send + Sync {
    /// Runs the lookup `name` (without `ansible.builtin.`) and gives its list of results.
    ///
    /// `dict`, `items`, `sequence`, `nested`, `template`, `vars`, ... are answered by the engine and never get here.
    ///
    /// # Errors
    /// [`LookupError::Unknown`] when there is no such lookup, else the reason it failed.
    fn lookup(
        &self,
        name: &str,
        terms: &[Value],
        options: &Map<String, Value>,
        vars: &dyn Vars,
    ) -> Result<Vec<Value>, LookupError> {
        let _ = (name, terms, options, vars);
        Err(LookupError::Unknown)
    }

    /// The text of a template file, for `include`, `import`, `extends` and `lookup('template')`.
    fn load(&self, name: &str, vars: &dyn Vars) -> Option<String> {
        let _ = (name, vars);
        None
    }

    /// Answers a test about a path, or nothing when paths may not be asked about.
    fn file_test(&self, test: FileTest, path: &str) -> Option<bool> {
        let _ = (test, path);
        None
    }

    /// The present moment, or nothing when templates are to be free of time.
    fn now(&self) -> Option<Moment> {
        None
    }

    /// A seed for `random`, `shuffle` and `random_choice`, or nothing when templates are to be free of chance.
    fn seed(&self) -> Option<u64> {
        None
    }
}

/// Lookups of a template that may see nothing but its variables.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLookups;

impl Lookups for NoLookups {}
