//! Lookups: those that need nothing but their arguments are here, the others are the caller's.

use std::sync::Arc;

use serde_json::Value as Json;

use super::error::{ErrorKind, Result, TemplateError};
use super::eval::{Args, Interp, Sink, required};
use super::filters::{self, short_name};
use super::source::restore_newlines;
use super::value::{self, Key, Map, Value};
use super::vars::LookupError;

type Options = Vec<(Arc<str>, Value)>;

/// `lookup(...)`: a single result as it is, several joined by commas, a list with `wantlist=true`.
///
/// # Errors
/// When the lookup does not exist or fails, unless `errors` says otherwise.
pub(super) fn lookup(interp: &mut Interp<'_>, mut args: Args) -> Result<Value> {
    let want_list = args.take_named("wantlist");
    let want_list = interp.arg_flag(want_list, false)?;
    let Some(mut results) = tolerant(interp, args)? else { return Ok(Value::None) };
    if want_list {
        return Ok(Value::list(results));
    }
    if results.len() == 1 {
        return Ok(results.remove(0));
    }
    if results.iter().all(|result| matches!(result, Value::Str(_))) {
        let texts: Vec<&str> = results.iter().filter_map(Value::as_str).collect();
        return Ok(Value::str(texts.join(",")));
    }
    Ok(Value::list(results))
}

/// `query(...)` and `q(...)`: always a list.
///
/// # Errors
/// As [`lookup`].
pub(super) fn query(interp: &mut Interp<'_>, mut args: Args) -> Result<Value> {
    args.take_named("wantlist");
    tolerant(interp, args).map(|results| Value::list(results.unwrap_or_default()))
}

/// Runs a lookup; nothing when it failed and `errors` is `ignore` or `warn`.
fn tolerant(interp: &mut Interp<'_>, mut args: Args) -> Result<Option<Vec<Value>>> {
    let errors = args.take_named("errors");
    let strict = match interp.arg_text_or(errors, "strict")?.as_str() {
        "strict" => true,
        "ignore" | "warn" => false,
        other => return Err(TemplateError::failed(format!("`errors` is strict, warn or ignore, not `{other}`"))),
    };
    if args.positional.is_empty() {
        return Err(TemplateError::failed("needs the name of a lookup"));
    }
    let name = args.positional.remove(0);
    let name = interp.text(&name)?;
    match run(interp, &name, args.positional, args.named) {
        Ok(results) => Ok(Some(results)),
        Err(error) if !strict && error.kind == ErrorKind::Failed => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs one lookup.
///
/// # Errors
/// When it does not exist, or fails.
pub(super) fn run(interp: &mut Interp<'_>, name: &str, terms: Vec<Value>, options: Options) -> Result<Vec<Value>> {
    for value in terms.iter().chain(options.iter().map(|(_, value)| value)) {
        value.defined()?;
    }
    let short = short_name(name);
    let result = match short {
        "items" => flatten(interp, &terms, 1),
        "list" => Ok(terms),
        "flattened" => flatten(interp, &terms, usize::MAX),
        "dict" => dict(interp, &terms),
        "indexed_items" => indexed_items(interp, &terms),
        "nested" | "cartesian" => nested(interp, &terms),
        "together" => together(interp, &terms),
        "subelements" => subelements(interp, terms, options),
        "sequence" => sequence(interp, &terms, options),
        "random_choice" => {
            let items = flatten(interp, &terms, 1)?;
            filters::draw(interp, items).map(|item| item.into_iter().collect())
        }
        "vars" => vars(interp, &terms, options),
        "varnames" => variable_names(interp, &terms),
        "template" => template(interp, &terms, options),
        _ => outside(interp, short, name, &terms, &options),
    };
    result.map_err(|mut error| {
        if error.kind == ErrorKind::Failed && error.place.is_none() && !error.message.starts_with("lookup") {
            error.message = format!("lookup `{short}`: {}", error.message);
        }
        error
    })
}

fn outside(interp: &mut Interp<'_>, short: &str, name: &str, terms: &[Value], options: &Options) -> Result<Vec<Value>> {
    let terms = terms.iter().map(|term| value::to_json(interp, term)).collect::<Result<Vec<Json>>>()?;
    let mut map = serde_json::Map::new();
    for (option, value) in options {
        map.insert(option.to_string(), value::to_json(interp, value)?);
    }
    match interp.with_vars(|vars| interp.engine.lookups().lookup(short, &terms, &map, vars)) {
        // What a lookup brings in is data, whatever braces it holds.
        Ok(results) => Ok(results.iter().map(value::from_json).collect()),
        Err(LookupError::Failed(message)) => Err(TemplateError::failed(message)),
        Err(LookupError::Unknown) => {
            Err(TemplateError::new(ErrorKind::UnknownLookup, format!("there is no lookup `{name}`")))
        }
    }
}

fn flatten(interp: &mut Interp<'_>, terms: &[Value], levels: usize) -> Result<Vec<Value>> {
    let mut flat = Vec::new();
    for term in terms {
        if term.is_list() && levels > 0 {
            let items = interp.items(term)?;
            flat.extend(if levels == 1 {
                items
            } else {
                interp.inside(|interp| flatten(interp, &items, levels - 1))?
            });
        } else {
            flat.push(term.clone());
        }
    }
    Ok(flat)
}

fn pair(a: Value, b: Value) -> Value {
    Value::list(vec![a, b])
}

fn dict(interp: &mut Interp<'_>, terms: &[Value]) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for term in flatten(interp, terms, 1)? {
        for (key, value) in interp.entries(&term)? {
            let row = [(Key::from("key"), key.to_value()), (Key::from("value"), value)];
            rows.push(Value::dict(row.into_iter().collect()));
        }
    }
    Ok(rows)
}

fn indexed_items(interp: &mut Interp<'_>, terms: &[Value]) -> Result<Vec<Value>> {
    let items = flatten(interp, terms, 1)?;
    Ok(items.into_iter().enumerate().map(|(at, item)| pair(Value::int(at), item)).collect())
}

/// The lists that several terms, or one list of lists, stand for.
fn columns(interp: &mut Interp<'_>, terms: &[Value]) -> Result<Vec<Vec<Value>>> {
    let terms = match terms {
        [one] if one.is_list() => {
            let items = interp.items(one)?;
            if items.iter().any(Value::is_list) { items } else { vec![one.clone()] }
        }
        several => several.to_vec(),
    };
    if terms.is_empty() {
        return Err(TemplateError::failed("needs at least one list"));
    }
    terms.iter().map(|term| if term.is_list() { interp.items(term) } else { Ok(vec![term.clone()]) }).collect()
}

fn nested(interp: &mut Interp<'_>, terms: &[Value]) -> Result<Vec<Value>> {
    let columns = columns(interp, terms)?;
    let mut rows = Vec::new();
    for row in filters::cartesian(&columns)? {
        rows.push(Value::list(flatten(interp, &row, 1)?));
    }
    Ok(rows)
}

fn together(interp: &mut Interp<'_>, terms: &[Value]) -> Result<Vec<Value>> {
    let columns = columns(interp, terms)?;
    let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |column: &Vec<Value>, at: usize| column.get(at).cloned().unwrap_or(Value::None);
    Ok((0..rows).map(|at| Value::list(columns.iter().map(|column| cell(column, at)).collect())).collect())
}

fn subelements(interp: &mut Interp<'_>, terms: Vec<Value>, options: Options) -> Result<Vec<Value>> {
    // `with_subelements` gives everything as one list.
    let terms = match &terms[..] {
        [one] if one.is_list() => interp.items(one)?,
        _ => terms,
    };
    let mut terms = terms.into_iter();
    let elements = required(terms.next(), "elements")?;
    let path = required(terms.next(), "subelements")?;
    let mut skip_missing = options.iter().find(|(name, _)| &**name == "skip_missing").map(|(_, value)| value.clone());
    if let Some(flags) = terms.next() {
        let flag = interp.attr(&flags, &"skip_missing".into())?;
        if !flag.is_undefined() {
            skip_missing = Some(flag);
        }
    }
    let skip_missing = interp.arg_flag(skip_missing, false)?;
    let path = match &path {
        Value::Str(path) => Value::strings(path.split('.').map(str::to_owned)),
        _ => path,
    };
    let pairs = filters::pairs_below(interp, &elements, &path, skip_missing)?;
    let path = if path.is_list() { interp.items(&path)? } else { vec![path] };
    let mut rows = Vec::new();
    for row in interp.items(&pairs)? {
        if let [element, item] = &interp.items(&row)?[..] {
            rows.push(pair(without(interp, element, &path)?, item.clone()));
        }
    }
    Ok(rows)
}

/// A copy of nested dicts without the member at the end of `path`, as this lookup shows its elements.
fn without(interp: &mut Interp<'_>, value: &Value, path: &[Value]) -> Result<Value> {
    let Some((first, rest)) = path.split_first() else { return Ok(value.clone()) };
    if !value.is_mapping() {
        return Ok(value.clone());
    }
    let key = Key::new(first)?;
    let mut map = interp.dict(value)?.borrow().clone();
    if rest.is_empty() {
        map.shift_remove(&key);
    } else if let Some(member) = map.get(&key).cloned() {
        map.insert(key, without(interp, &member, rest)?);
    }
    Ok(Value::dict(map))
}

/// `start=1 end=5 stride=2 format=host%02d`, or `5`, `2-8`, `2-20/2:host%02d`, or the same as options.
fn sequence(interp: &mut Interp<'_>, terms: &[Value], options: Options) -> Result<Vec<Value>> {
    let mut results = Vec::new();
    let terms = if terms.is_empty() { vec![Value::str("")] } else { flatten(interp, terms, 1)? };
    for term in &terms {
        let text = interp.text(term)?;
        let mut plan = Sequence::default();
        for (name, value) in &options {
            let text = interp.text(value)?;
            plan.set(name, &text)?;
        }
        plan.read(text.trim())?;
        plan.run(interp, &mut results)?;
    }
    Ok(results)
}

struct Sequence {
    start: i128,
    end: Option<i128>,
    count: Option<i128>,
    stride: i128,
    format: String,
}

impl Default for Sequence {
    fn default() -> Self {
        Self { start: 1, end: None, count: None, stride: 1, format: "%d".to_owned() }
    }
}

/// More numbers than this are a mistake.
const MAX_SEQUENCE: i128 = 1_000_000;

impl Sequence {
    fn read(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if text.contains('=') {
            for setting in text.split_whitespace() {
                let (name, value) = setting
                    .split_once('=')
                    .ok_or_else(|| TemplateError::failed(format!("can not read `{setting}` in `{text}`")))?;
                self.set(name, value)?;
            }
            return Ok(());
        }
        let (range, format) = text.split_once(':').map_or((text, None), |(range, format)| (range, Some(format)));
        let (range, stride) = range.split_once('/').map_or((range, None), |(range, stride)| (range, Some(stride)));
        match range.split_once('-').filter(|(start, _)| !start.is_empty()) {
            Some((start, end)) => {
                self.set("start", start)?;
                self.set("end", end)?;
            }
            None => self.set("end", range)?,
        }
        if let Some(stride) = stride {
            self.set("stride", stride)?;
        }
        if let Some(format) = format {
            self.set("format", format)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, text: &str) -> Result<()> {
        let number = || {
            filters::whole_number(text, 0)
                .or_else(|| filters::whole_number(text, 10))
                .ok_or_else(|| TemplateError::failed(format!("`{name}` wants a whole number, not `{text}`")))
        };
        match name {
            "start" => self.start = number()?,
            "end" => self.end = Some(number()?),
            "count" => self.count = Some(number()?),
            "stride" => self.stride = number()?,
            "format" => text.clone_into(&mut self.format),
            _ => return Err(TemplateError::failed(format!("knows start, end, count, stride, format, not `{name}`"))),
        }
        Ok(())
    }

    fn run(&self, interp: &mut Interp<'_>, results: &mut Vec<Value>) -> Result<()> {
        let end = match (self.end, self.count) {
            (Some(_), Some(_)) => return Err(TemplateError::failed("takes `end` or `count`, not both")),
            (Some(end), None) => end,
            (None, Some(0)) => return Ok(()),
            (None, Some(count)) => self.start + count * self.stride - self.stride.signum(),
            (None, None) => return Err(TemplateError::failed("needs `end` or `count`")),
        };
        if self.stride == 0 {
            return Ok(());
        }
        if (self.stride > 0) != (end >= self.start) && end != self.start {
            let (start, stride) = (self.start, self.stride);
            return Err(TemplateError::failed(format!("a stride of {stride} never leads from {start} to {end}")));
        }
        if (end - self.start) / self.stride > MAX_SEQUENCE {
            return Err(TemplateError::failed(format!("gives more than {MAX_SEQUENCE} numbers")));
        }
        let mut at = self.start;
        while (self.stride > 0 && at <= end) || (self.stride < 0 && at >= end) {
            let text = super::format::percent(interp, &self.format, &Value::tuple(vec![Value::Int(at)]))?;
            results.push(Value::str(text));
            at += self.stride;
        }
        Ok(())
    }
}

fn vars(interp: &mut Interp<'_>, terms: &[Value], options: Options) -> Result<Vec<Value>> {
    let default = options.into_iter().find(|(name, _)| &**name == "default").map(|(_, value)| value);
    let mut found = Vec::new();
    for term in terms {
        let name: Arc<str> = interp.text(term)?.into();
        found.push(match (interp.host_variable(&name)?, &default) {
            (Some(value), _) => value,
            (None, Some(default)) => default.clone(),
            (None, None) => {
                Value::missing_variable(&name).defined()?;
                Value::None
            }
        });
    }
    Ok(found)
}

fn variable_names(interp: &mut Interp<'_>, terms: &[Value]) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    let names = interp.with_vars(|vars| vars.names());
    for term in terms {
        let pattern = interp.text(term)?;
        let pattern = interp.regex(&pattern, filters::Flags::default(), "")?;
        found.extend(
            names.iter().filter(|name| pattern.is_match(name).unwrap_or(false)).map(|name| Value::str(name.as_str())),
        );
    }
    Ok(found)
}

fn template(interp: &mut Interp<'_>, terms: &[Value], options: Options) -> Result<Vec<Value>> {
    let extra = options.into_iter().find(|(name, _)| &**name == "template_vars").map(|(_, value)| value);
    let extra = match extra {
        Some(extra) => interp.entries(&extra)?.into_iter().collect(),
        None => Map::new(),
    };
    let mut rendered = Vec::new();
    for term in terms {
        let name = interp.text(term)?;
        let Some(text) = interp.with_vars(|vars| interp.engine.lookups().load(&name, vars)) else {
            return Err(TemplateError::failed(format!("no template named `{name}`")));
        };
        let template = interp.engine.compile_file(&name, &text)?;
        let mut sink = Sink::text();
        interp.run_apart(&template, &extra, &mut sink)?;
        let mut output = sink.into_text();
        restore_newlines(&text, &mut output);
        rendered.push(Value::str(output));
    }
    Ok(rendered)
}
