//! What a template needs, found without rendering it: free names, and names of filters and tests that do not exist.

use std::collections::BTreeSet;

use super::error::{Place, TemplateError};
use super::filters;
use super::ir::{Arg, Expr, ExprKind, Macro, Span, Stmt, Target, Template};
use super::predicates;
use super::source::place_in;

/// The variables a template uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Every name that the template does not define itself.
    pub used: BTreeSet<String>,
    /// Those of them that it asks about (`x is defined`, `x | default(...)`), so that their absence is foreseen.
    pub guarded: BTreeSet<String>,
}

/// Every name that is read anywhere in these statements, defined there or not.
pub(super) fn names_in(body: &[Stmt]) -> BTreeSet<String> {
    let mut walk = Walk { all: true, ..Walk::default() };
    walk.body(body);
    walk.names.used
}

/// The free names of a template.
pub(super) fn of_template(template: &Template) -> Names {
    let mut walk = Walk::default();
    walk.body(&template.body);
    walk.names
}

/// The free names of an expression.
pub(super) fn of_expression(expr: &Expr) -> Names {
    let mut walk = Walk::default();
    walk.expr(expr);
    walk.names
}

/// The first filter or test that does not exist.
pub(super) fn unknown_in(template: &Template, expr: Option<&Expr>) -> Option<Box<TemplateError>> {
    let mut walk = Walk::default();
    walk.body(&template.body);
    if let Some(expr) = expr {
        walk.expr(expr);
    }
    let (span, error) = walk.unknown?;
    let place = || -> Place { place_in(&template.source, span, template.name.as_deref()) };
    Some(error.or_place(place))
}

#[derive(Default)]
struct Walk {
    names: Names,
    /// Names the template has defined so far, innermost scope last.
    defined: Vec<BTreeSet<String>>,
    /// Report defined names too.
    all: bool,
    unknown: Option<(Span, Box<TemplateError>)>,
}

/// Names the engine itself provides.
const PROVIDED: &[&str] = &["loop", "self", "super", "caller", "varargs", "kwargs", "vars"];

impl Walk {
    fn read(&mut self, name: &str) {
        let own = self.defined.iter().any(|scope| scope.contains(name))
            || PROVIDED.contains(&name)
            || super::globals::get(name).is_some();
        if self.all || !own {
            self.names.used.insert(name.to_owned());
        }
    }

    fn define(&mut self, name: &str) {
        if self.defined.is_empty() {
            self.defined.push(BTreeSet::new());
        }
        if let Some(scope) = self.defined.last_mut() {
            scope.insert(name.to_owned());
        }
    }

    fn scoped(&mut self, inside: impl FnOnce(&mut Self)) {
        if self.defined.is_empty() {
            self.defined.push(BTreeSet::new());
        }
        self.defined.push(BTreeSet::new());
        inside(self);
        self.defined.pop();
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.define(name),
            Target::Attribute { object, .. } => self.read(object),
            Target::Unpack(targets, _) => targets.iter().for_each(|target| self.target(target)),
        }
    }

    fn body(&mut self, body: &[Stmt]) {
        body.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Text(_) => {}
            Stmt::Emit(expr) | Stmt::Do(expr) | Stmt::Extends(expr) => self.expr(expr),
            Stmt::For(body) => {
                self.expr(&body.iter);
                self.scoped(|walk| {
                    walk.target(&body.target);
                    body.filter.iter().for_each(|filter| walk.expr(filter));
                    walk.body(&body.body);
                });
                self.scoped(|walk| walk.body(&body.otherwise));
            }
            Stmt::If { test, then, otherwise } => {
                self.expr(test);
                self.body(then);
                self.body(otherwise);
            }
            Stmt::With { assignments, body } => {
                assignments.iter().for_each(|(_, value)| self.expr(value));
                self.scoped(|walk| {
                    assignments.iter().for_each(|(target, _)| walk.target(target));
                    walk.body(body);
                });
            }
            Stmt::Set { target, value } => {
                self.expr(value);
                self.target(target);
            }
            Stmt::SetBlock { target, filter, body } => {
                self.scoped(|walk| walk.body(body));
                filter.iter().for_each(|filter| self.expr(filter));
                self.target(target);
            }
            Stmt::FilterBlock { filter, body } => {
                self.expr(filter);
                self.scoped(|walk| walk.body(body));
            }
            Stmt::Macro(definition) => {
                self.define(&definition.name);
                self.definition(definition);
            }
            Stmt::CallBlock { call, caller } => {
                self.expr(call);
                self.definition(caller);
            }
            Stmt::Block(block) => self.scoped(|walk| walk.body(&block.body)),
            Stmt::Include { name, .. } => self.expr(name),
            Stmt::Import { name, target } => {
                self.expr(name);
                self.define(target);
            }
            Stmt::FromImport { name, names } => {
                self.expr(name);
                names.iter().for_each(|(_, alias)| self.define(alias));
            }
        }
    }

    fn definition(&mut self, definition: &Macro) {
        self.scoped(|walk| {
            for (name, default) in &definition.params {
                default.iter().for_each(|default| walk.expr(default));
                walk.define(name);
            }
            walk.body(&definition.body);
        });
    }

    fn args(&mut self, args: &[Arg]) {
        args.iter().for_each(|arg| self.expr(arg.expr()));
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::None | ExprKind::Bool(_) | ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Str(_) => {}
            ExprKind::Var(name) => self.read(name),
            ExprKind::List(items) | ExprKind::Tuple(items) => items.iter().for_each(|item| self.expr(item)),
            ExprKind::Dict(pairs) => pairs.iter().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
            ExprKind::Attr { of, .. } => self.expr(of),
            ExprKind::Item { of, key } => {
                self.expr(of);
                self.expr(key);
            }
            ExprKind::Slice { of, start, stop, step } => {
                self.expr(of);
                [start, stop, step].into_iter().flatten().for_each(|bound| self.expr(bound));
            }
            ExprKind::Call { callee, args } => {
                self.expr(callee);
                self.args(args);
            }
            ExprKind::Method { of, args, .. } => {
                self.expr(of);
                self.args(args);
            }
            ExprKind::Filter { name, filter, input, args } => self.filter(expr.span, name, *filter, input, args),
            ExprKind::Test { name, test, input, args } => {
                if test.is_none() && self.unknown.is_none() {
                    self.unknown = Some((expr.span, predicates::unknown(name)));
                }
                if test.is_some_and(|test| test.takes_missing) {
                    self.guard(input);
                }
                self.expr(input);
                self.args(args);
            }
            ExprKind::Binary { left, right, .. } | ExprKind::And(left, right) | ExprKind::Or(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Not(inner) | ExprKind::Negate(inner) => self.expr(inner),
            ExprKind::Compare { first, rest } => {
                self.expr(first);
                rest.iter().for_each(|(_, right)| self.expr(right));
            }
            ExprKind::If { test, then, otherwise } => {
                self.expr(test);
                self.expr(then);
                otherwise.iter().for_each(|otherwise| self.expr(otherwise));
            }
        }
    }

    fn filter(
        &mut self,
        span: Span,
        name: &str,
        filter: Option<&filters::Filter>,
        input: &Option<Box<Expr>>,
        args: &[Arg],
    ) {
        if filter.is_none() && self.unknown.is_none() {
            self.unknown = Some((span, filters::unknown(name)));
        }
        if let Some(input) = input {
            if filter.is_some_and(|filter| filter.takes_missing) {
                self.guard(input);
            }
            self.expr(input);
        }
        self.args(args);
    }

    /// Notes that the template foresees the absence of the variable at the root of `expr`.
    fn guard(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Var(name) => {
                self.names.guarded.insert(name.to_string());
            }
            ExprKind::Attr { of, .. } | ExprKind::Item { of, .. } => self.guard(of),
            _ => {}
        }
    }
}
