//! Global functions of templates.

use std::any::Any;
use std::cell::Cell;

use super::error::{Result, TemplateError};
use super::eval::{Args, Cycler, Interp, Joiner, Namespace, SelfBlocks, required};
use super::filters;
use super::lookups;
use super::methods;
use super::value::{Key, Object, Value};

struct Function {
    name: &'static str,
    run: fn(&mut Interp<'_>, Args) -> Result<Value>,
}

impl Object for &'static Function {
    fn type_name(&self) -> &'static str {
        "function"
    }

    fn call(&self, interp: &mut Interp<'_>, args: Args) -> Option<Result<Value>> {
        Some((self.run)(interp, args).map_err(|mut error| {
            if error.place.is_none() && error.kind == super::ErrorKind::Failed {
                error.message = format!("{}(): {}", self.name, error.message);
            }
            error
        }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

static FUNCTIONS: [Function; 11] = [
    Function { name: "range", run: range },
    Function { name: "dict", run: dict },
    Function { name: "namespace", run: namespace },
    Function { name: "joiner", run: joiner },
    Function { name: "cycler", run: cycler },
    Function { name: "lookup", run: lookups::lookup },
    Function { name: "query", run: lookups::query },
    Function { name: "q", run: lookups::query },
    Function { name: "now", run: now },
    Function { name: "undef", run: undef },
    Function { name: "lipsum", run: lipsum },
];

/// The global of this name, or nothing.
pub(super) fn get(name: &str) -> Option<Value> {
    match name {
        "omit" => Some(Value::Omit),
        "self" => Some(Value::object(SelfBlocks)),
        _ => FUNCTIONS.iter().find(|function| function.name == name).map(Value::object),
    }
}

/// More numbers than this out of `range` are a mistake.
const MAX_RANGE: i128 = 1_000_000;

/// Numbers that print as a range and otherwise are a list.
struct Range {
    start: i128,
    stop: i128,
    step: i128,
}

impl Object for Range {
    fn type_name(&self) -> &'static str {
        "range"
    }

    fn attr(&self, name: &str) -> Option<Value> {
        (name == "__items__").then(|| {
            let mut items = Vec::new();
            let mut at = self.start;
            while (self.step > 0 && at < self.stop) || (self.step < 0 && at > self.stop) {
                items.push(Value::Int(at));
                at += self.step;
            }
            Value::list(items)
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn range(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let [first, second, step] = args.bind(["start", "stop", "step"])?;
    let first = interp.arg_int_or(Some(required(first, "stop")?), "stop", 0)?;
    let (start, stop) = match second {
        Some(second) => (first, interp.arg_int_or(Some(second), "stop", 0)?),
        None => (0, first),
    };
    let step = interp.arg_int_or(step, "step", 1)?;
    if step == 0 {
        return Err(TemplateError::failed("the step can not be 0"));
    }
    let count = stop.saturating_sub(start).checked_div(step).unwrap_or(0);
    if count > MAX_RANGE {
        return Err(TemplateError::failed(format!("gives {count} numbers, more than {MAX_RANGE}")));
    }
    Ok(Value::object(Range { start, stop, step }))
}

fn dict(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let named = args.named.clone();
    let [pairs] = Args::of(args.positional).bind(["pairs"])?;
    let mut pairs = match pairs {
        Some(pairs) => methods::pairs(interp, &pairs)?,
        None => Vec::new(),
    };
    pairs.extend(named.into_iter().map(|(name, value)| (Key::Str(name), value)));
    Ok(Value::dict(pairs.into_iter().collect()))
}

fn namespace(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let values = dict(interp, args)?;
    Ok(Value::object(Namespace::new(interp.entries(&values)?)))
}

fn joiner(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let [separator] = args.bind(["sep"])?;
    let separator = interp.arg_text_or(separator, ", ")?;
    Ok(Value::object(Joiner { separator: separator.into(), used: Cell::new(false) }))
}

fn cycler(_: &mut Interp<'_>, args: Args) -> Result<Value> {
    if args.positional.is_empty() {
        return Err(TemplateError::failed("needs at least one value"));
    }
    Ok(Value::object(Cycler { items: args.positional, at: Cell::new(0) }))
}

fn now(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let [utc, format] = args.bind(["utc", "fmt"])?;
    let utc = interp.arg_flag(utc, false)?;
    let Some(moment) = interp.engine.lookups().now() else {
        return Err(TemplateError::failed("there is no clock here"));
    };
    let (moment, zone) = filters::civil(moment, utc)?;
    match format.filter(|format| !format.is_none()) {
        Some(format) => {
            let format = interp.text(&format)?;
            filters::format_moment(moment, Some(zone), &format).map(Value::str)
        }
        None => Ok(Value::DateTime(moment)),
    }
}

fn undef(interp: &mut Interp<'_>, args: Args) -> Result<Value> {
    let [hint] = args.bind(["hint"])?;
    Ok(Value::missing(interp.arg_text_or(hint, "the value must be set by whoever uses it")?))
}

fn lipsum(_: &mut Interp<'_>, _: Args) -> Result<Value> {
    Err(TemplateError::failed("is left to chance and not part of kfleet"))
}
