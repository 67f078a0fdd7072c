//! The compiled form of a template: what the evaluator walks.
//!
//! It owns all its text, is immutable and shared between hosts and threads. Filters and tests are resolved to functions
//! when a template is compiled; an unknown name stays unresolved and is an error only when it is reached, since
//! Ansible too lets a branch that is never taken name a filter that is not installed.

use std::sync::Arc;

use super::filters::Filter;
use super::predicates::Predicate;

/// A range of source text: byte offsets and the position of its start, counted from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) line: u16,
    pub(super) column: u16,
}

/// A compiled template with the text it came from.
pub(super) struct Template {
    pub(super) name: Option<Arc<str>>,
    pub(super) source: Arc<str>,
    pub(super) body: Vec<Stmt>,
}

/// A compiled condition or other bare expression.
pub(super) struct Expression {
    pub(super) template: Arc<Template>,
    pub(super) expr: Expr,
    /// The text held template delimiters, which conditions are better off without.
    pub(super) delimiters: bool,
}

pub(super) struct Expr {
    pub(super) kind: ExprKind,
    pub(super) span: Span,
}

pub(super) enum ExprKind {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
    Var(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attr { of: Box<Expr>, name: Arc<str> },
    Item { of: Box<Expr>, key: Box<Expr> },
    Slice { of: Box<Expr>, start: Option<Box<Expr>>, stop: Option<Box<Expr>>, step: Option<Box<Expr>> },
    Call { callee: Box<Expr>, args: Vec<Arg> },
    Method { of: Box<Expr>, name: Arc<str>, args: Vec<Arg> },
    Filter { name: Arc<str>, filter: Option<&'static Filter>, input: Option<Box<Expr>>, args: Vec<Arg> },
    Test { name: Arc<str>, test: Option<Predicate>, input: Box<Expr>, args: Vec<Arg> },
    Binary { op: BinaryOp, left: Box<Expr>, right: Box<Expr> },
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Compare { first: Box<Expr>, rest: Vec<(CompareOp, Expr)> },
    If { test: Box<Expr>, then: Box<Expr>, otherwise: Option<Box<Expr>> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
    Concat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CompareOp {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
}

pub(super) enum Arg {
    Positional(Expr),
    Named(Arc<str>, Expr),
    Splat(Expr),
    NamedSplat(Expr),
}

impl Arg {
    pub(super) fn expr(&self) -> &Expr {
        match self {
            Self::Positional(expr) | Self::Named(_, expr) | Self::Splat(expr) | Self::NamedSplat(expr) => expr,
        }
    }
}

/// What a loop, `set` or `with` assigns to.
pub(super) enum Target {
    Name(Arc<str>),
    /// `ns.attribute`, allowed on namespaces only.
    Attribute {
        object: Arc<str>,
        name: Arc<str>,
        span: Span,
    },
    Unpack(Vec<Target>, Span),
}

pub(super) struct Macro {
    pub(super) name: Arc<str>,
    pub(super) params: Vec<(Arc<str>, Option<Expr>)>,
    pub(super) body: Vec<Stmt>,
}

pub(super) struct Block {
    pub(super) name: Arc<str>,
    pub(super) body: Vec<Stmt>,
}

pub(super) struct Loop {
    pub(super) target: Target,
    pub(super) iter: Expr,
    pub(super) filter: Option<Expr>,
    pub(super) recursive: bool,
    pub(super) body: Vec<Stmt>,
    pub(super) otherwise: Vec<Stmt>,
}

pub(super) enum Stmt {
    Text(Arc<str>),
    Emit(Expr),
    For(Arc<Loop>),
    If { test: Expr, then: Vec<Stmt>, otherwise: Vec<Stmt> },
    With { assignments: Vec<(Target, Expr)>, body: Vec<Stmt> },
    Set { target: Target, value: Expr },
    SetBlock { target: Target, filter: Option<Expr>, body: Vec<Stmt> },
    FilterBlock { filter: Expr, body: Vec<Stmt> },
    Macro(Arc<Macro>),
    CallBlock { call: Expr, caller: Arc<Macro> },
    Do(Expr),
    Block(Arc<Block>),
    Extends(Expr),
    Include { name: Expr, ignore_missing: bool },
    Import { name: Expr, target: Arc<str> },
    FromImport { name: Expr, names: Vec<(Arc<str>, Arc<str>)> },
}
