//! Members, slices, containment, truth, and containers as a whole.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::super::error::{Result, TemplateError};
use super::super::methods;
use super::super::value::{Key, Map, Source, Step, Value, equal};
use super::{Args, Interp};

impl Interp<'_> {
    /// `value.name`: a member of a mapping or an attribute of an object, else something missing.
    ///
    /// # Errors
    /// When the member's own text can not be templated.
    pub(in super::super) fn attr(&mut self, value: &Value, name: &Arc<str>) -> Result<Value> {
        let found = match value {
            Value::Undefined(_) => return Ok(value.clone()),
            Value::Dict(map) => map.borrow().get(&**name).cloned(),
            Value::Source(source) if source.is_mapping() => self.source_member(source, name)?,
            Value::Object(object) => object.attr(name),
            Value::DateTime(moment) => methods::datetime_attr(moment, name),
            // The pairs that `groupby` gives have names for their two parts.
            Value::Tuple(items) if items.len() == 2 && &**name == "grouper" => items.first().cloned(),
            Value::Tuple(items) if items.len() == 2 && &**name == "list" => items.get(1).cloned(),
            _ => None,
        };
        Ok(found.unwrap_or_else(|| Value::missing_member(value, name)))
    }

    /// `value[key]`.
    ///
    /// # Errors
    /// When the member's own text can not be templated.
    pub(in super::super) fn item(&mut self, value: &Value, key: &Value) -> Result<Value> {
        let found = match (value, key) {
            (Value::Undefined(_), _) => return Ok(value.clone()),
            (Value::Dict(map), key) => map.borrow().get(&Key::new(key)?).cloned(),
            (_, Value::Str(name)) => return self.attr(value, name),
            (Value::Source(source), key) if source.is_mapping() => {
                // JSON keys are always text, so a number asks for its digits.
                let name = self.text(key)?;
                self.source_member(source, &name.into())?
            }
            (_, key) => match key.as_int() {
                Some(index) => self.element(value, index)?,
                None => None,
            },
        };
        match found {
            Some(found) => Ok(found),
            None => {
                let key = self.text(key)?;
                Ok(Value::missing_member(value, &key))
            }
        }
    }

    fn element(&mut self, value: &Value, index: i128) -> Result<Option<Value>> {
        let at = |len: usize| {
            let index = if index < 0 { index + len as i128 } else { index };
            usize::try_from(index).ok().filter(|index| *index < len)
        };
        Ok(match value {
            Value::List(items) => {
                let items = items.borrow();
                at(items.len()).map(|index| items[index].clone())
            }
            Value::Tuple(items) => at(items.len()).map(|index| items[index].clone()),
            Value::Source(source) => match (source.whole.get(), at(source.len())) {
                (Some(whole), _) => {
                    let whole = whole.clone();
                    self.element(&whole, index)?
                }
                (None, Some(index)) => match source.member(Step::Index(index)) {
                    Some(member) => Some(self.resolve(member)?),
                    None => None,
                },
                (None, None) => None,
            },
            Value::Str(text) => {
                let count = if text.is_ascii() { text.len() } else { text.chars().count() };
                at(count).and_then(|index| text.chars().nth(index)).map(|c| Value::str(c.to_string()))
            }
            Value::Object(object) => match object.attr("__items__") {
                Some(items) => self.element(&items, index)?,
                None => None,
            },
            _ => None,
        })
    }

    fn source_member(&mut self, source: &Rc<Source>, name: &Arc<str>) -> Result<Option<Value>> {
        if let Some(Value::Dict(map)) = source.whole.get() {
            return Ok(map.borrow().get(&**name).cloned());
        }
        if let Some(vars) = source.as_scope() {
            return self.scope_variable(&vars.clone(), name);
        }
        source.member(Step::Key(name.clone())).map(|member| self.resolve(member)).transpose()
    }

    /// A slice with Python's rules for negative bounds and steps.
    pub(super) fn slice(&mut self, value: &Value, [start, stop, step]: [Option<i128>; 3]) -> Result<Value> {
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(TemplateError::failed("the step of a slice can not be 0"));
        }
        let items = match value {
            Value::Str(text) => text.chars().map(|c| Value::str(c.to_string())).collect(),
            _ if value.is_list() => self.items(value)?,
            Value::Object(object) if object.attr("__items__").is_some() => self.items(value)?,
            _ => return Err(TemplateError::failed(format!("{} can not be sliced", value.kind_text()))),
        };
        let len = items.len() as i128;
        let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
        let bound = |given: Option<i128>, default: i128| {
            given.map_or(default, |at| (if at < 0 { at + len } else { at }).clamp(low, high))
        };
        let (mut at, end) =
            if step > 0 { (bound(start, 0), bound(stop, len)) } else { (bound(start, len - 1), bound(stop, -1)) };
        let mut picked = Vec::new();
        while (step > 0 && at < end) || (step < 0 && at > end) {
            if let Some(item) = usize::try_from(at).ok().and_then(|at| items.get(at)) {
                picked.push(item.clone());
            }
            at += step;
        }
        Ok(match value {
            Value::Str(_) => Value::str(picked.iter().filter_map(Value::as_str).collect::<String>()),
            Value::Tuple(_) => Value::tuple(picked),
            _ => Value::list(picked),
        })
    }

    /// Whether `container` holds `member`: an item, a key, or a part of a text.
    ///
    /// # Errors
    /// When one is missing, or nothing can be in it.
    pub(in super::super) fn contains(&mut self, container: &Value, member: &Value) -> Result<bool> {
        container.defined()?;
        member.defined()?;
        match container {
            Value::Str(text) => match member {
                Value::Str(part) => Ok(text.contains(&**part)),
                other => Err(TemplateError::failed(format!("only text can be in a text, not {}", other.kind_text()))),
            },
            Value::Dict(map) => Ok(map.borrow().contains_key(&Key::new(member)?)),
            Value::Source(source) if source.is_mapping() && source.whole.get().is_none() => {
                let name = self.text(member)?;
                Ok(source.has_key(&name))
            }
            _ => {
                for item in self.items(container)? {
                    if !item.is_undefined() && equal(self, &item, member)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Python's truth.
    ///
    /// # Errors
    /// When the value is missing.
    pub(in super::super) fn truth(&mut self, value: &Value) -> Result<bool> {
        Ok(match value {
            Value::Undefined(missing) => return Err(missing.error()),
            Value::None => false,
            Value::Bool(flag) => *flag,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::List(items) => !items.borrow().is_empty(),
            Value::Tuple(items) => !items.is_empty(),
            Value::Dict(map) => !map.borrow().is_empty(),
            Value::Source(_) => self.len(value)?.is_some_and(|len| len > 0),
            Value::Object(object) => match object.attr("__items__") {
                Some(items) => self.truth(&items)?,
                None => true,
            },
            Value::Omit | Value::DateTime(_) => true,
        })
    }

    /// The number of parts, for things that have parts.
    ///
    /// # Errors
    /// When a container can not be converted.
    pub(in super::super) fn len(&mut self, value: &Value) -> Result<Option<usize>> {
        Ok(match value {
            Value::Str(text) => Some(text.chars().count()),
            Value::List(items) => Some(items.borrow().len()),
            Value::Tuple(items) => Some(items.len()),
            Value::Dict(map) => Some(map.borrow().len()),
            Value::Source(source) => match source.whole.get().cloned() {
                Some(whole) => self.len(&whole)?,
                None => Some(source.len()),
            },
            Value::Object(object) => match object.attr("__items__") {
                Some(items) => self.len(&items)?,
                None => None,
            },
            _ => None,
        })
    }

    /// The parts of something that can be iterated: items, keys, characters.
    ///
    /// # Errors
    /// When it can not be iterated.
    pub(in super::super) fn items(&mut self, value: &Value) -> Result<Vec<Value>> {
        Ok(match value {
            Value::Undefined(missing) => return Err(missing.error()),
            Value::List(items) => items.borrow().clone(),
            Value::Tuple(items) => items.to_vec(),
            Value::Str(text) => text.chars().map(|c| Value::str(c.to_string())).collect(),
            Value::Dict(map) => map.borrow().keys().map(Key::to_value).collect(),
            Value::Source(source) if source.as_scope().is_some() => {
                source.member_names().into_iter().map(Value::str).collect()
            }
            Value::Source(_) => {
                let whole = self.whole(value)?;
                self.items(&whole)?
            }
            Value::Object(object) => match object.attr("__items__") {
                Some(items) => self.items(&items)?,
                None => return Err(not_iterable(value)),
            },
            _ => return Err(not_iterable(value)),
        })
    }

    /// The list itself, to be changed in place.
    ///
    /// # Errors
    /// When it is no list.
    pub(in super::super) fn list(&mut self, value: &Value) -> Result<Rc<RefCell<Vec<Value>>>> {
        match self.whole(value)? {
            Value::List(items) => Ok(items),
            other => Err(TemplateError::failed(format!("wants a list, not {}", other.kind_text()))),
        }
    }

    /// The dict itself, to be changed in place.
    ///
    /// # Errors
    /// When it is no mapping.
    pub(in super::super) fn dict(&mut self, value: &Value) -> Result<Rc<RefCell<Map>>> {
        match self.whole(value)? {
            Value::Dict(map) => Ok(map),
            Value::Undefined(missing) => Err(missing.error()),
            other => Err(TemplateError::failed(format!("wants a dict, not {}", other.kind_text()))),
        }
    }

    /// The pairs of a mapping.
    ///
    /// # Errors
    /// When it is no mapping.
    pub(in super::super) fn entries(&mut self, value: &Value) -> Result<Vec<(Key, Value)>> {
        let map = self.dict(value)?;
        let map = map.borrow();
        Ok(map.iter().map(|(key, member)| (key.clone(), member.clone())).collect())
    }

    /// The value with a container of the caller's converted one level deep, once.
    fn whole(&mut self, value: &Value) -> Result<Value> {
        let Value::Source(source) = value else { return Ok(value.clone()) };
        if let Some(whole) = source.whole.get() {
            return Ok(whole.clone());
        }
        let whole = self.convert(source)?;
        Ok(source.whole.get_or_init(|| whole).clone())
    }

    fn convert(&mut self, source: &Rc<Source>) -> Result<Value> {
        let mut map = Map::new();
        if let Some(vars) = source.as_scope() {
            for name in vars.names() {
                if let Some(member) = self.scope_variable(vars, &name.as_str().into())? {
                    map.insert(Key::Str(name.into()), member);
                }
            }
            return Ok(Value::dict(map));
        }
        let mut items = Vec::new();
        for step in source.steps() {
            let Some(member) = source.member(step.clone()) else { continue };
            let member = self.resolve(member)?;
            match &step {
                Step::Index(_) => items.push(member),
                Step::Key(key) => {
                    let key = match source.templated_key(key) {
                        Some((text, name, scope)) => Key::new(&self.template_text(&text, name, scope)?)?,
                        None => Key::from(&step),
                    };
                    map.insert(key, member);
                }
            }
        }
        Ok(if source.is_mapping() { Value::dict(map) } else { Value::list(items) })
    }

    /// Calls a value.
    ///
    /// # Errors
    /// When it is no function, or the function refuses.
    pub(in super::super) fn call(&mut self, callee: &Value, args: Args) -> Result<Value> {
        if let Value::Object(object) = callee
            && let Some(result) = object.clone().call(self, args)
        {
            return result;
        }
        Err(TemplateError::failed(format!("{} is no function and can not be called", callee.kind_text())))
    }

    /// Calls a method of a value.
    ///
    /// # Errors
    /// When there is no such method, or it refuses.
    pub(in super::super) fn method(&mut self, value: &Value, name: &str, args: Args) -> Result<Value> {
        if let Value::Object(object) = value {
            let object = object.clone();
            if let Some(member) = object.attr(name) {
                return self.call(&member, args);
            }
            return object.method(self, name, args).unwrap_or_else(|| Err(methods::unknown(value, name)));
        }
        methods::call(self, value, name, args)
    }
}

fn not_iterable(value: &Value) -> Box<TemplateError> {
    TemplateError::failed(format!("{} can not be iterated over", value.kind_text()))
}
