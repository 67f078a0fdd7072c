//! The template engine: Jinja with Ansible's filters, tests, lookups and habits.
//!
//! Text and variables in, values out. minijinja parses; evaluation is our own, because Ansible's semantics are Python's
//! (what `none` prints, what a missing variable may be asked, what `append` changes) and those can not be grafted on
//! from outside. Variables are fetched lazily from the caller, text of the operator's is templated when it is touched,
//! and text that came from a host never is. Nothing here reads a file, the clock or chance; that goes through
//! [`Lookups`].

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "operators and filters name the few types of value they take; every other type, a new one too, is refused"
)]

mod cache;
mod error;
mod eval;
mod filters;
mod format;
mod globals;
mod ir;
mod lookups;
mod lower;
mod methods;
mod names;
mod predicates;
mod source;
mod value;
mod vars;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use crate::yaml::UNSAFE_KEY;

pub use self::error::{ErrorKind, Place, Result, TemplateError};
pub use self::names::Names;
pub use self::source::Syntax;
pub use self::vars::{FileTest, LookupError, Lookups, Moment, NoLookups, OMIT, VAULT_KEY, Var, VarMap, Vars, is_omit};

use self::cache::{Cache, Mode};
use self::eval::{Interp, Sink};
use self::ir::{Expression, Template};
use self::lower::Backslashes;
use self::value::Value as Inner;

/// What a condition did that its author should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The result was not true or false but a value of this kind, judged by its truth.
    NotBoolean {
        /// The kind, with an article: "a string".
        kind: String,
    },
    /// The condition is written with `{{ }}`, which it does not need.
    Delimiters,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotBoolean { kind } => {
                write!(
                    f,
                    "the condition gives {kind}, not true or false; its truth was taken (add `| bool` or compare)"
                )
            }
            Self::Delimiters => f.write_str("a condition is an expression already; leave out the {{ }}"),
        }
    }
}

/// The engine: compiles templates once and renders them for any host.
///
/// It is shared by reference between threads; a rendering changes nothing in it but its cache.
pub struct Engine {
    lookups: Arc<dyn Lookups>,
    variables: Cache<Arc<str>, Arc<Template>>,
    files: Cache<Arc<str>, Arc<Template>>,
    conditions: Cache<Arc<str>, Arc<Expression>>,
    regexes: Cache<Arc<str>, fancy_regex::Regex>,
}

impl Engine {
    /// An engine that reaches the world through `lookups` only.
    pub fn new(lookups: Arc<dyn Lookups>) -> Self {
        Self {
            lookups,
            variables: Cache::default(),
            files: Cache::default(),
            conditions: Cache::default(),
            regexes: Cache::default(),
        }
    }

    /// Renders a text: one `{{ }}` alone gives a value of its own type, anything else gives text.
    ///
    /// # Errors
    /// When the text is not well formed, or an expression in it fails; see [`ErrorKind`].
    pub fn render(&self, text: &str, vars: &dyn Vars) -> Result<Value> {
        self.native(text, vars)
    }

    /// Renders every text in a value, keys of objects too; an object marked with [`UNSAFE_KEY`] gives its text as it is.
    ///
    /// Items and members that are `omit` are left out; only a lone `omit` comes back as the marker.
    ///
    /// # Errors
    /// As [`render`](Self::render), for the first text that fails.
    pub fn render_value(&self, value: &Value, vars: &dyn Vars) -> Result<Value> {
        self.value(value, vars)
    }

    /// Renders a file's text as the template module does, with the syntax that its `#jinja2:` line may set.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_file(&self, name: &str, text: &str, vars: &dyn Vars) -> Result<String> {
        self.compile_file(name, text).and_then(|template| self.run_text(&template, vars))
    }

    /// [`render_file`](Self::render_file) with the syntax that the task's parameters ask for.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_file_with(&self, name: &str, text: &str, syntax: &Syntax, vars: &dyn Vars) -> Result<String> {
        compile_with(name, text, syntax.clone()).and_then(|template| self.run_text(&Arc::new(template), vars))
    }

    /// Judges a condition: `when`, `changed_when`, `failed_when`, `until`, or one of an assertion's `that`.
    ///
    /// A result that is not true or false is judged by its truth, as Ansible did up to 2.18, with a warning.
    ///
    /// # Errors
    /// As [`render`](Self::render); a missing variable is an error and not false.
    pub fn condition(&self, expr: &str, vars: &dyn Vars) -> Result<(bool, Option<Warning>)> {
        self.judge(expr, vars)
    }

    /// The value of a bare expression, as `debug: var=` wants it.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn expression(&self, expr: &str, vars: &dyn Vars) -> Result<Value> {
        self.expression_value(expr, vars)
    }

    /// Checks a text without variables: its syntax, and that every filter and test exists.
    ///
    /// # Errors
    /// The first mistake found.
    pub fn check(&self, text: &str) -> Result<()> {
        let template = self.compile(text, None, Mode::Variable)?;
        names::unknown_in(&template, None).map_or(Ok(()), Err)
    }

    /// [`check`](Self::check) for a template file.
    ///
    /// # Errors
    /// The first mistake found.
    pub fn check_file(&self, name: &str, text: &str) -> Result<()> {
        let template = self.compile_file(name, text)?;
        names::unknown_in(&template, None).map_or(Ok(()), Err)
    }

    /// [`check`](Self::check) for a condition.
    ///
    /// # Errors
    /// The first mistake found.
    pub fn check_condition(&self, expr: &str) -> Result<()> {
        let compiled = self.compile_condition(expr)?;
        names::unknown_in(&compiled.template, Some(&compiled.expr)).map_or(Ok(()), Err)
    }

    /// The variables that a text needs; none when it is not well formed.
    pub fn names(&self, text: &str) -> Names {
        self.compile(text, None, Mode::Variable).map(|template| names::of_template(&template)).unwrap_or_default()
    }

    /// The variables that a condition needs; none when it is not well formed.
    pub fn condition_names(&self, expr: &str) -> Names {
        self.compile_condition(expr).map(|compiled| names::of_expression(&compiled.expr)).unwrap_or_default()
    }

    fn lookups(&self) -> &dyn Lookups {
        &*self.lookups
    }

    fn native(&self, text: &str, vars: &dyn Vars) -> Result<Value> {
        if !value::is_template(text) {
            return Ok(Value::String(text.to_owned()));
        }
        let template = self.compile(text, None, Mode::Variable)?;
        self.interpret(&template, vars, |interp| {
            let mut sink = Sink::native();
            interp.run(&template, &mut sink)?;
            value::to_json(interp, &sink.into_value(text))
        })
    }

    fn value(&self, value: &Value, vars: &dyn Vars) -> Result<Value> {
        Ok(match value {
            Value::String(text) => self.native(text, vars)?,
            Value::Array(items) => {
                let mut rendered = items.iter().map(|item| self.value(item, vars)).collect::<Result<Vec<_>>>()?;
                rendered.retain(|item| !is_omit(item));
                Value::Array(rendered)
            }
            Value::Object(map) => {
                if let (1, Some(text)) = (map.len(), map.get(UNSAFE_KEY)) {
                    return Ok(text.clone());
                }
                if map.len() == 1 && map.contains_key(VAULT_KEY) {
                    let message = "a value is encrypted by ansible-vault, which kfleet can not decrypt yet";
                    return Err(TemplateError::failed(message));
                }
                let mut rendered = Map::with_capacity(map.len());
                for (key, member) in map {
                    let key = match self.native(key, vars)? {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    let member = self.value(member, vars)?;
                    if !is_omit(&member) {
                        rendered.insert(key, member);
                    }
                }
                Value::Object(rendered)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    fn run_text(&self, template: &Arc<Template>, vars: &dyn Vars) -> Result<String> {
        self.interpret(template, vars, |interp| {
            let mut sink = Sink::text();
            interp.run(template, &mut sink)?;
            let mut output = sink.into_text();
            source::restore_newlines(&template.source, &mut output);
            Ok(output)
        })
    }

    fn judge(&self, text: &str, vars: &dyn Vars) -> Result<(bool, Option<Warning>)> {
        if text.trim().is_empty() {
            return Ok((true, None));
        }
        let compiled = self.compile_condition(text)?;
        self.interpret(&compiled.template, vars, |interp| {
            let value = interp.value_of(&compiled.expr)?;
            let warning = compiled.delimiters.then_some(Warning::Delimiters);
            if let Inner::Bool(flag) = value {
                return Ok((flag, warning));
            }
            // What `{{ }}` gave was once read again as an expression, so a text "False" was false.
            let word = if compiled.delimiters { value.as_str().and_then(truth_of_word) } else { None };
            let truth = match word {
                Some(truth) => truth,
                None => interp.truth(&value)?,
            };
            Ok((truth, Some(Warning::NotBoolean { kind: value.kind_text() })))
        })
    }

    fn expression_value(&self, text: &str, vars: &dyn Vars) -> Result<Value> {
        let compiled = self.compile_condition(text)?;
        self.interpret(&compiled.template, vars, |interp| {
            let value = interp.value_of(&compiled.expr)?;
            value::to_json(interp, &value)
        })
    }

    fn interpret<T>(
        &self,
        template: &Arc<Template>,
        vars: &dyn Vars,
        inside: impl FnOnce(&mut Interp<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut interp = Interp::new(self, vars, template.clone());
        let result = inside(&mut interp);
        result.map_err(|error| interp.suggest(error))
    }

    fn compile(&self, text: &str, name: Option<&str>, mode: Mode) -> Result<Arc<Template>> {
        let cache = match mode {
            Mode::Variable => &self.variables,
            Mode::File => &self.files,
        };
        if let Some(template) = cache.get(text) {
            return Ok(template);
        }
        let mut syntax = Syntax::default();
        let template = Arc::new(match mode {
            Mode::Variable => lower::template(name, text, 0, syntax.config()?, Backslashes::Keep)?,
            Mode::File => {
                let header = syntax.read_header(text)?;
                lower::template(name, text, header, syntax.config()?, Backslashes::Escape)?
            }
        });
        cache.put(text, template.clone());
        Ok(template)
    }

    fn compile_file(&self, name: &str, text: &str) -> Result<Arc<Template>> {
        // The name is part of the compiled form, so two files of the same text are compiled twice.
        let template = self.compile(text, Some(name), Mode::File)?;
        if template.name.as_deref() == Some(name) {
            return Ok(template);
        }
        compile_with(name, text, Syntax::default()).map(Arc::new)
    }

    fn compile_condition(&self, text: &str) -> Result<Arc<Expression>> {
        if let Some(compiled) = self.conditions.get(text) {
            return Ok(compiled);
        }
        let (source, delimiters) = source::condition(text)?;
        let expr = lower::expression(&source)?;
        // A rewritten condition of the same length has the same places, and people know their own words best.
        let shown = if source.len() == text.len() { text } else { &source };
        let template = Arc::new(Template { name: None, source: shown.into(), body: Vec::new() });
        let compiled = Arc::new(Expression { template, expr, delimiters });
        self.conditions.put(text, compiled.clone());
        Ok(compiled)
    }
}

fn compile_with(name: &str, text: &str, mut syntax: Syntax) -> Result<Template> {
    let header = syntax.read_header(text)?;
    lower::template(Some(name), text, header, syntax.config()?, Backslashes::Escape)
}

fn truth_of_word(word: &str) -> Option<bool> {
    match word.trim() {
        "True" | "true" => Some(true),
        "False" | "false" | "None" | "none" | "" | "0" => Some(false),
        _ => None,
    }
}
