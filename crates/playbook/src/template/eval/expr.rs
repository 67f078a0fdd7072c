//! Expressions.

use super::super::error::{ErrorKind, Result, TemplateError};
use super::super::filters;
use super::super::ir::{Arg, CompareOp, Expr, ExprKind};
use super::super::predicates;
use super::super::value::{self, Key, Map, Value};
use super::{Args, Interp};

impl Interp<'_> {
    /// Evaluates an expression; a thing that is not there is a value here, and an error where it is used.
    ///
    /// # Errors
    /// When an operator, filter, test or call refuses its input; the error names the place of the expression.
    pub(in super::super) fn eval(&mut self, expr: &Expr) -> Result<Value> {
        self.eval_kind(expr).map_err(|error| self.located(error, expr.span))
    }

    fn eval_kind(&mut self, expr: &Expr) -> Result<Value> {
        match &expr.kind {
            ExprKind::None => Ok(Value::None),
            ExprKind::Bool(flag) => Ok(Value::Bool(*flag)),
            ExprKind::Int(number) => Ok(Value::Int(*number)),
            ExprKind::Float(number) => Ok(Value::Float(*number)),
            ExprKind::Str(text) => Ok(Value::Str(text.clone())),
            ExprKind::Var(name) => self.variable(name),
            ExprKind::List(items) => Ok(Value::list(self.eval_all(items)?)),
            ExprKind::Tuple(items) => Ok(Value::tuple(self.eval_all(items)?)),
            ExprKind::Dict(pairs) => self.eval_dict(pairs),
            ExprKind::Attr { of, name } => {
                let of = self.eval(of)?;
                self.attr(&of, name)
            }
            ExprKind::Item { of, key } => {
                let of = self.eval(of)?;
                let key = self.value_of(key)?;
                self.item(&of, &key)
            }
            ExprKind::Slice { of, start, stop, step } => {
                let of = self.value_of(of)?;
                let bounds = [self.eval_bound(start)?, self.eval_bound(stop)?, self.eval_bound(step)?];
                self.slice(&of, bounds)
            }
            ExprKind::Call { callee, args } => self.eval_call(callee, args),
            ExprKind::Method { of, name, args } => self.eval_method(of, name, args),
            ExprKind::Filter { .. } | ExprKind::Test { .. } => self.eval_pipe(expr),
            ExprKind::Binary { op, left, right } => {
                let left = self.value_of(left)?;
                let right = self.value_of(right)?;
                value::binary(self, *op, &left, &right)
            }
            ExprKind::And(left, right) => {
                let left = self.eval(left)?;
                if self.truth(&left)? { self.eval(right) } else { Ok(left) }
            }
            ExprKind::Or(left, right) => {
                let left = self.eval(left)?;
                if self.truth(&left)? { Ok(left) } else { self.eval(right) }
            }
            ExprKind::Not(inner) => {
                let inner = self.eval(inner)?;
                Ok(Value::Bool(!self.truth(&inner)?))
            }
            ExprKind::Negate(inner) => value::negate(&self.eval(inner)?),
            ExprKind::Compare { first, rest } => self.eval_compare(first, rest),
            ExprKind::If { test, then, otherwise } => {
                let test = self.eval(test)?;
                if self.truth(&test)? {
                    return self.eval(then);
                }
                match otherwise {
                    Some(otherwise) => self.eval(otherwise),
                    None => Ok(Value::missing_silently("the inline `if` has no `else` and its condition is false")),
                }
            }
        }
    }

    fn eval_all(&mut self, items: &[Expr]) -> Result<Vec<Value>> {
        items.iter().map(|item| self.eval(item)).collect()
    }

    fn eval_dict(&mut self, pairs: &[(Expr, Expr)]) -> Result<Value> {
        let mut map = Map::with_capacity(pairs.len());
        for (key, member) in pairs {
            let key = Key::new(&self.eval(key)?)?;
            map.insert(key, self.eval(member)?);
        }
        Ok(Value::dict(map))
    }

    fn eval_bound(&mut self, bound: &Option<Box<Expr>>) -> Result<Option<i128>> {
        let Some(bound) = bound else { return Ok(None) };
        let value = self.value_of(bound)?;
        match value {
            Value::None => Ok(None),
            value => match value.as_int() {
                Some(number) => Ok(Some(number)),
                None => Err(TemplateError::failed(format!("a slice goes by whole numbers, not {}", value.kind_text()))),
            },
        }
    }

    /// Evaluates arguments behind `input`, which comes first.
    pub(super) fn eval_args(&mut self, input: Option<Value>, args: &[Arg]) -> Result<Args> {
        let mut bound = Args::default();
        bound.positional.reserve(args.len() + 1);
        bound.positional.extend(input);
        for arg in args {
            match arg {
                Arg::Positional(expr) => bound.positional.push(self.eval(expr)?),
                Arg::Named(name, expr) => bound.named.push((name.clone(), self.eval(expr)?)),
                Arg::Splat(expr) => {
                    let items = self.value_of(expr)?;
                    bound.positional.extend(self.items(&items)?);
                }
                Arg::NamedSplat(expr) => {
                    let map = self.value_of(expr)?;
                    for (key, member) in self.entries(&map)? {
                        let Key::Str(name) = key else {
                            return Err(TemplateError::failed("the names of `**` arguments must be strings"));
                        };
                        bound.named.push((name, member));
                    }
                }
            }
        }
        Ok(bound)
    }

    fn eval_call(&mut self, callee: &Expr, args: &[Arg]) -> Result<Value> {
        let callee = self.value_of(callee)?;
        let args = self.eval_args(None, args)?;
        self.call(&callee, args)
    }

    fn eval_method(&mut self, of: &Expr, name: &str, args: &[Arg]) -> Result<Value> {
        let object = self.value_of(of)?;
        let args = self.eval_args(None, args)?;
        self.method(&object, name, args)
    }

    fn eval_compare(&mut self, first: &Expr, rest: &[(CompareOp, Expr)]) -> Result<Value> {
        let mut left = self.value_of(first)?;
        for (op, right) in rest {
            let right = self.value_of(right)?;
            if !self.compare(*op, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    /// One comparison.
    ///
    /// # Errors
    /// When the two have no order, or nothing can be in the right one.
    pub(in super::super) fn compare(&mut self, op: CompareOp, left: &Value, right: &Value) -> Result<bool> {
        Ok(match op {
            CompareOp::Equal => value::equal(self, left, right)?,
            CompareOp::NotEqual => !value::equal(self, left, right)?,
            CompareOp::Less => value::order(self, left, right)?.is_lt(),
            CompareOp::LessEqual => value::order(self, left, right)?.is_le(),
            CompareOp::Greater => value::order(self, left, right)?.is_gt(),
            CompareOp::GreaterEqual => value::order(self, left, right)?.is_ge(),
            CompareOp::In => self.contains(right, left)?,
            CompareOp::NotIn => !self.contains(right, left)?,
        })
    }

    /// A filter or test of a template.
    fn eval_pipe(&mut self, expr: &Expr) -> Result<Value> {
        if let ExprKind::Filter { name, filter, input, args } = &expr.kind {
            let Some(filter) = filter else { return Err(filters::unknown(name)) };
            let input = input.as_deref().map(|input| self.eval(input)).transpose()?;
            let args = self.eval_args(input, args)?;
            return self.run_filter(filter, args);
        }
        if let ExprKind::Test { name, test, input, args } = &expr.kind {
            let Some(test) = *test else { return Err(predicates::unknown(name)) };
            let input = self.eval(input)?;
            let args = self.eval_args(Some(input), args)?;
            return self.run_test(test, args).map(Value::Bool);
        }
        Ok(Value::None)
    }

    /// Pipes a value through a compiled filter expression without input, as filter blocks have.
    pub(super) fn pipe(&mut self, input: Value, expr: &Expr) -> Result<Value> {
        let ExprKind::Filter { name, filter, input: earlier, args } = &expr.kind else { return Ok(input) };
        let input = match earlier {
            Some(earlier) => self.pipe(input, earlier)?,
            None => input,
        };
        let Some(filter) = filter else { return Err(self.located(filters::unknown(name), expr.span)) };
        let args = self.eval_args(Some(input), args)?;
        self.run_filter(filter, args).map_err(|error| self.located(error, expr.span))
    }

    /// Runs a filter; missing input is an error unless the filter is made for it.
    ///
    /// # Errors
    /// Whatever the filter refuses, with its name in front.
    pub(in super::super) fn run_filter(&mut self, filter: &filters::Filter, args: Args) -> Result<Value> {
        if !filter.takes_missing {
            args.check_defined()?;
        }
        (filter.run)(self, args).map_err(|error| named("filter", filter.name, error))
    }

    /// Runs a test, as [`run_filter`](Self::run_filter).
    ///
    /// # Errors
    /// Whatever the test refuses, with its name in front.
    pub(in super::super) fn run_test(&mut self, test: predicates::Predicate, args: Args) -> Result<bool> {
        if !test.takes_missing {
            args.check_defined()?;
        }
        (test.run)(self, args).map_err(|error| named("test", test.name, error))
    }
}

/// Puts the name of the filter or test before a refusal that does not name one yet.
fn named(what: &str, name: &str, mut error: Box<TemplateError>) -> Box<TemplateError> {
    if error.kind == ErrorKind::Failed && error.place.is_none() && !error.message.starts_with(what) {
        error.message = format!("{what} `{name}`: {}", error.message);
    }
    error
}
