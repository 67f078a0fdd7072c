//! Equality and order as in Python: numbers by value, strings by code point, lists item by item, nothing else mixed.

use std::cmp::Ordering;

use super::super::error::{Result, TemplateError};
use super::super::eval::Interp;
use super::Value;

/// `a == b`.
///
/// # Errors
/// When one of them is missing.
pub(in super::super) fn equal(interp: &mut Interp<'_>, a: &Value, b: &Value) -> Result<bool> {
    a.defined()?;
    b.defined()?;
    if let (Value::Str(a), Value::Str(b)) = (a, b) {
        return Ok(a == b);
    }
    if a.is_number() && b.is_number() {
        return Ok(numbers(a, b) == Some(Ordering::Equal));
    }
    if a.is_mapping() && b.is_mapping() {
        return interp.inside(|interp| equal_mappings(interp, a, b));
    }
    if a.is_list() && b.is_list() {
        return interp.inside(|interp| equal_lists(interp, a, b));
    }
    Ok(match (a, b) {
        (Value::None, Value::None) | (Value::Omit, Value::Omit) => true,
        (Value::DateTime(a), Value::DateTime(b)) => a == b,
        (Value::Object(a), Value::Object(b)) => std::rc::Rc::ptr_eq(a, b),
        _ => false,
    })
}

fn equal_lists(interp: &mut Interp<'_>, a: &Value, b: &Value) -> Result<bool> {
    if matches!(a, Value::Tuple(_)) != matches!(b, Value::Tuple(_)) {
        return Ok(false);
    }
    let (a, b) = (interp.items(a)?, interp.items(b)?);
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(&b) {
        if !equal(interp, a, b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_mappings(interp: &mut Interp<'_>, a: &Value, b: &Value) -> Result<bool> {
    let (a, b) = (interp.dict(a)?, interp.dict(b)?);
    if std::rc::Rc::ptr_eq(&a, &b) {
        return Ok(true);
    }
    if a.borrow().len() != b.borrow().len() {
        return Ok(false);
    }
    let pairs: Vec<_> = a.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in pairs {
        let Some(other) = b.borrow().get(&key).cloned() else { return Ok(false) };
        if !equal(interp, &value, &other)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_float()?.partial_cmp(&b.as_float()?),
    }
}

/// `a < b`, `a > b` and so on.
///
/// # Errors
/// When one is missing, or the two types have no order.
pub(in super::super) fn order(interp: &mut Interp<'_>, a: &Value, b: &Value) -> Result<Ordering> {
    a.defined()?;
    b.defined()?;
    if let (Value::Str(a), Value::Str(b)) = (a, b) {
        return Ok(a.cmp(b));
    }
    if a.is_number() && b.is_number() {
        // Nothing is before or after NaN; calling it equal keeps sorting total.
        return Ok(numbers(a, b).unwrap_or(Ordering::Equal));
    }
    if a.is_list() && b.is_list() {
        return interp.inside(|interp| order_lists(interp, a, b));
    }
    if let (Value::DateTime(a), Value::DateTime(b)) = (a, b) {
        return Ok(a.cmp(b));
    }
    Err(TemplateError::failed(format!("{} and {} have no order", a.kind_text(), b.kind_text()))
        .hinted("convert one of them, for example with `| int`"))
}

fn order_lists(interp: &mut Interp<'_>, a: &Value, b: &Value) -> Result<Ordering> {
    let (a, b) = (interp.items(a)?, interp.items(b)?);
    for (a, b) in a.iter().zip(&b) {
        if !equal(interp, a, b)? {
            return order(interp, a, b);
        }
    }
    Ok(a.len().cmp(&b.len()))
}
