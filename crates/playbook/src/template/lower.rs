//! From minijinja's syntax tree to our own compiled form.
//!
//! minijinja reads Jinja's grammar; what the words mean is Ansible's business and is decided in `eval`. This file is the
//! only one that touches minijinja's low-level module, whose shape its authors do not promise to keep: a new version of
//! it can break the build here and nowhere else.

use std::sync::Arc;

use minijinja::machinery::{self, ast};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;

use super::error::{ErrorKind, Result, TemplateError};
use super::filters;
use super::ir::{Arg, BinaryOp, Block, CompareOp, Expr, ExprKind, Loop, Macro, Span, Stmt, Target, Template};
use super::predicates;
use super::source::{place_in, unquote_raw};

/// How backslashes in string literals are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backslashes {
    /// As Python does: in template files and in conditions.
    Escape,
    /// Kept as they are: in texts out of YAML, where Ansible doubles them first.
    Keep,
}

struct Lowering<'s> {
    source: &'s str,
    /// Where the parsed part begins in the whole source: bytes and lines before it.
    offset: usize,
    lines: u16,
    backslashes: Backslashes,
    syntax: SyntaxConfig,
}

/// Compiles a template; the first `offset` bytes of the source (a header line) are not part of it.
///
/// # Errors
/// When the text is not well formed; the error names the place.
pub(super) fn template(
    name: Option<&str>,
    source: &str,
    offset: usize,
    syntax: SyntaxConfig,
    backslashes: Backslashes,
) -> Result<Template> {
    let lowering = Lowering::new(source, offset, backslashes, syntax.clone());
    let parsed = machinery::parse(&source[offset..], name.unwrap_or("template"), syntax)
        .map_err(|error| lowering.syntax_error(&error, name))?;
    let body = match &parsed {
        ast::Stmt::Template(root) => lowering.body(&root.children)?,
        other => vec![lowering.stmt(other)?],
    };
    Ok(Template { name: name.map(Arc::from), source: source.into(), body })
}

/// Compiles a bare expression.
///
/// # Errors
/// When the text is not well formed; the error names the place.
pub(super) fn expression(source: &str) -> Result<Expr> {
    let lowering = Lowering::new(source, 0, Backslashes::Escape, SyntaxConfig::default());
    let parsed = machinery::parse_expr(source).map_err(|error| lowering.syntax_error(&error, None))?;
    lowering.expr(&parsed)
}

impl<'s> Lowering<'s> {
    fn new(source: &'s str, offset: usize, backslashes: Backslashes, syntax: SyntaxConfig) -> Self {
        let lines = source[..offset].matches('\n').count();
        Self { source, offset, lines: u16::try_from(lines).unwrap_or(u16::MAX), backslashes, syntax }
    }

    fn span(&self, span: machinery::Span) -> Span {
        let offset = u32::try_from(self.offset).unwrap_or(u32::MAX);
        Span {
            start: span.start_offset.saturating_add(offset),
            end: span.end_offset.saturating_add(offset),
            line: span.start_line.saturating_add(self.lines),
            column: span.start_col.saturating_add(1),
        }
    }

    fn syntax_error(&self, error: &minijinja::Error, name: Option<&str>) -> Box<TemplateError> {
        let range = error.range().unwrap_or(0..0);
        let start = (range.start + self.offset).min(self.source.len());
        let before = self.source.get(..start).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let span = Span {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(range.end + self.offset).unwrap_or(u32::MAX),
            line: u16::try_from(before.matches('\n').count() + 1).unwrap_or(u16::MAX),
            column: u16::try_from(column).unwrap_or(u16::MAX),
        };
        let detail = error.detail().unwrap_or("it is not well formed");
        let parsed = TemplateError::new(ErrorKind::Syntax, format!("the template can not be read: {detail}"));
        let parsed = match detail.strip_prefix("unknown statement ") {
            Some("break" | "continue") => parsed.hinted("give the `for` a condition: {% for x in list if x != y %}"),
            Some(_) | None => parsed,
        };
        parsed.or_place(|| place_in(self.source, span, name))
    }

    fn refuse(&self, span: machinery::Span, what: &str) -> Box<TemplateError> {
        TemplateError::new(ErrorKind::Syntax, format!("the template can not be read: {what}"))
            .or_place(|| place_in(self.source, self.span(span), None))
    }

    fn body(&self, stmts: &[ast::Stmt<'_>]) -> Result<Vec<Stmt>> {
        stmts.iter().map(|stmt| self.stmt(stmt)).collect()
    }

    fn stmt(&self, stmt: &ast::Stmt<'_>) -> Result<Stmt> {
        Ok(match stmt {
            ast::Stmt::Template(root) => return Err(self.refuse(root.span(), "a template stands inside a template")),
            ast::Stmt::EmitRaw(raw) => Stmt::Text(self.text(raw)),
            ast::Stmt::EmitExpr(emit) => Stmt::Emit(self.expr(&emit.expr)?),
            ast::Stmt::ForLoop(node) => Stmt::For(Arc::new(self.for_loop(node)?)),
            ast::Stmt::IfCond(node) => Stmt::If {
                test: self.expr(&node.expr)?,
                then: self.body(&node.true_body)?,
                otherwise: self.body(&node.false_body)?,
            },
            ast::Stmt::WithBlock(node) => Stmt::With {
                assignments: node
                    .assignments
                    .iter()
                    .map(|(target, value)| Ok((self.target(target)?, self.expr(value)?)))
                    .collect::<Result<_>>()?,
                body: self.body(&node.body)?,
            },
            ast::Stmt::Set(node) => Stmt::Set { target: self.target(&node.target)?, value: self.expr(&node.expr)? },
            ast::Stmt::SetBlock(node) => Stmt::SetBlock {
                target: self.target(&node.target)?,
                filter: node.filter.as_ref().map(|filter| self.expr(filter)).transpose()?,
                body: self.body(&node.body)?,
            },
            // Ansible escapes nothing for HTML, so switching that on or off changes nothing.
            ast::Stmt::AutoEscape(node) => Stmt::With { assignments: Vec::new(), body: self.body(&node.body)? },
            ast::Stmt::FilterBlock(node) => {
                Stmt::FilterBlock { filter: self.expr(&node.filter)?, body: self.body(&node.body)? }
            }
            ast::Stmt::Block(node) => {
                Stmt::Block(Arc::new(Block { name: node.name.into(), body: self.body(&node.body)? }))
            }
            ast::Stmt::Import(node) => Stmt::Import { name: self.expr(&node.expr)?, target: self.name(&node.name)? },
            ast::Stmt::FromImport(node) => {
                let mut names = Vec::with_capacity(node.names.len());
                for (wanted, alias) in &node.names {
                    names.push((self.name(wanted)?, self.name(alias.as_ref().unwrap_or(wanted))?));
                }
                Stmt::FromImport { name: self.expr(&node.expr)?, names }
            }
            ast::Stmt::Extends(node) => Stmt::Extends(self.expr(&node.name)?),
            ast::Stmt::Include(node) => {
                Stmt::Include { name: self.expr(&node.name)?, ignore_missing: node.ignore_missing }
            }
            ast::Stmt::Macro(node) => Stmt::Macro(Arc::new(self.macro_definition(node)?)),
            ast::Stmt::CallBlock(node) => Stmt::CallBlock {
                call: self.call(&node.call)?,
                caller: Arc::new(self.macro_definition(&node.macro_decl)?),
            },
            ast::Stmt::Do(node) => Stmt::Do(self.call(&node.call)?),
        })
    }

    /// Plain text; the newline behind `{% raw %}` stays, which the parser drops and Jinja does not.
    fn text(&self, raw: &ast::Spanned<ast::EmitRaw<'_>>) -> Arc<str> {
        let before = self.source.get(..self.span(raw.span()).start as usize).unwrap_or_default();
        let (block_start, block_end) = self.syntax.block_delimiters();
        let tag = before
            .strip_suffix('\n')
            .and_then(|before| before.strip_suffix(block_end))
            .and_then(|before| before.rsplit_once(block_start));
        match tag {
            Some((_, tag)) if tag.trim_start_matches(['-', '+']).trim() == "raw" => format!("\n{}", raw.raw).into(),
            _ => raw.raw.into(),
        }
    }

    fn for_loop(&self, node: &ast::ForLoop<'_>) -> Result<Loop> {
        Ok(Loop {
            target: self.target(&node.target)?,
            iter: self.expr(&node.iter)?,
            filter: node.filter_expr.as_ref().map(|filter| self.expr(filter)).transpose()?,
            recursive: node.recursive,
            body: self.body(&node.body)?,
            otherwise: self.body(&node.else_body)?,
        })
    }

    fn macro_definition(&self, node: &ast::Macro<'_>) -> Result<Macro> {
        let without_default = node.args.len() - node.defaults.len();
        let mut params = Vec::with_capacity(node.args.len());
        for (at, arg) in node.args.iter().enumerate() {
            let default = at.checked_sub(without_default).and_then(|at| node.defaults.get(at));
            params.push((self.name(arg)?, default.map(|default| self.expr(default)).transpose()?));
        }
        Ok(Macro { name: node.name.into(), params, body: self.body(&node.body)? })
    }

    fn name(&self, expr: &ast::Expr<'_>) -> Result<Arc<str>> {
        if let ast::Expr::Var(var) = expr {
            Ok(var.id.into())
        } else {
            Err(self.refuse(expr.span(), "a name is wanted"))
        }
    }

    fn target(&self, expr: &ast::Expr<'_>) -> Result<Target> {
        if let ast::Expr::List(list) = expr {
            let targets = list.items.iter().map(|item| self.target(item)).collect::<Result<_>>()?;
            return Ok(Target::Unpack(targets, self.span(list.span())));
        }
        if let ast::Expr::GetAttr(attr) = expr {
            let (object, span) = (self.name(&attr.expr)?, self.span(attr.span()));
            return Ok(Target::Attribute { object, name: attr.name.into(), span });
        }
        self.name(expr).map(Target::Name)
    }

    fn boxed(&self, expr: &ast::Expr<'_>) -> Result<Box<Expr>> {
        self.expr(expr).map(Box::new)
    }

    fn optional(&self, expr: Option<&ast::Expr<'_>>) -> Result<Option<Box<Expr>>> {
        expr.map(|expr| self.boxed(expr)).transpose()
    }

    fn all(&self, exprs: &[ast::Expr<'_>]) -> Result<Vec<Expr>> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    fn expr(&self, expr: &ast::Expr<'_>) -> Result<Expr> {
        let kind = match expr {
            ast::Expr::Var(var) => ExprKind::Var(var.id.into()),
            ast::Expr::Const(constant) => self.constant(constant)?,
            ast::Expr::List(list) => ExprKind::List(self.all(&list.items)?),
            ast::Expr::Tuple(tuple) => ExprKind::Tuple(self.all(&tuple.items)?),
            ast::Expr::Map(map) => {
                let pairs = map.keys.iter().zip(&map.values);
                ExprKind::Dict(
                    pairs.map(|(key, value)| Ok((self.expr(key)?, self.expr(value)?))).collect::<Result<_>>()?,
                )
            }
            ast::Expr::GetAttr(attr) => ExprKind::Attr { of: self.boxed(&attr.expr)?, name: attr.name.into() },
            ast::Expr::GetItem(item) => {
                ExprKind::Item { of: self.boxed(&item.expr)?, key: self.boxed(&item.subscript_expr)? }
            }
            ast::Expr::Slice(slice) => ExprKind::Slice {
                of: self.boxed(&slice.expr)?,
                start: self.optional(slice.start.as_ref())?,
                stop: self.optional(slice.stop.as_ref())?,
                step: self.optional(slice.step.as_ref())?,
            },
            ast::Expr::Call(call) => return self.call(call),
            ast::Expr::Filter(filter) => self.filter(filter)?,
            ast::Expr::Test(test) => ExprKind::Test {
                test: predicates::find(test.name),
                name: test.name.into(),
                input: self.boxed(&test.expr)?,
                args: self.args(&test.args)?,
            },
            ast::Expr::UnaryOp(unary) => match unary.op {
                ast::UnaryOpKind::Not => ExprKind::Not(self.boxed(&unary.expr)?),
                ast::UnaryOpKind::Neg => ExprKind::Negate(self.boxed(&unary.expr)?),
            },
            ast::Expr::BinOp(binary) => return self.binary(binary),
            ast::Expr::Compare(compare) => {
                let rest = compare.ops.iter().map(|op| Ok((compare_op(op.op), self.expr(&op.expr)?)));
                ExprKind::Compare { first: self.boxed(&compare.expr)?, rest: rest.collect::<Result<_>>()? }
            }
            ast::Expr::IfExpr(choice) => ExprKind::If {
                test: self.boxed(&choice.test_expr)?,
                then: self.boxed(&choice.true_expr)?,
                otherwise: self.optional(choice.false_expr.as_ref())?,
            },
        };
        Ok(Expr { kind, span: self.span(expr.span()) })
    }

    fn constant(&self, constant: &ast::Spanned<ast::Const>) -> Result<ExprKind> {
        let value = &constant.value;
        let refuse = || self.refuse(constant.span(), "a constant of an unknown kind");
        Ok(match value.kind() {
            ValueKind::None | ValueKind::Undefined => ExprKind::None,
            ValueKind::Bool => ExprKind::Bool(value.is_true()),
            ValueKind::Number if value.is_integer() => {
                ExprKind::Int(i128::try_from(value.clone()).map_err(|_| refuse())?)
            }
            ValueKind::Number => ExprKind::Float(f64::try_from(value.clone()).map_err(|_| refuse())?),
            ValueKind::String => {
                let span = self.span(constant.span());
                let literal = self.source.get(span.start as usize..span.end as usize).unwrap_or_default();
                match self.backslashes {
                    Backslashes::Keep if literal.contains('\\') => ExprKind::Str(unquote_raw(literal).into()),
                    _ => ExprKind::Str(value.as_str().ok_or_else(refuse)?.into()),
                }
            }
            _ => return Err(refuse()),
        })
    }

    fn filter(&self, filter: &ast::Spanned<ast::Filter<'_>>) -> Result<ExprKind> {
        let found = filters::find(filter.name);
        let args = self.args(&filter.args)?;
        let name = filter.name.into();
        // Ansible once took tests as filters (`result | changed`), and roles still write that.
        if let (None, Some(test), Some(input)) = (found, predicates::find(filter.name), &filter.expr) {
            return Ok(ExprKind::Test { name, test: Some(test), input: self.boxed(input)?, args });
        }
        Ok(ExprKind::Filter { name, filter: found, input: self.optional(filter.expr.as_ref())?, args })
    }

    fn call(&self, call: &ast::Spanned<ast::Call<'_>>) -> Result<Expr> {
        let args = self.args(&call.args)?;
        let kind = if let ast::Expr::GetAttr(attr) = &call.expr {
            ExprKind::Method { of: self.boxed(&attr.expr)?, name: attr.name.into(), args }
        } else {
            ExprKind::Call { callee: self.boxed(&call.expr)?, args }
        };
        Ok(Expr { kind, span: self.span(call.span()) })
    }

    fn args(&self, args: &[ast::CallArg<'_>]) -> Result<Vec<Arg>> {
        args.iter()
            .map(|arg| {
                Ok(match arg {
                    ast::CallArg::Pos(expr) => Arg::Positional(self.expr(expr)?),
                    ast::CallArg::Kwarg(name, expr) => Arg::Named((*name).into(), self.expr(expr)?),
                    ast::CallArg::PosSplat(expr) => Arg::Splat(self.expr(expr)?),
                    ast::CallArg::KwargSplat(expr) => Arg::NamedSplat(self.expr(expr)?),
                })
            })
            .collect()
    }

    fn binary(&self, node: &ast::Spanned<ast::BinOp<'_>>) -> Result<Expr> {
        let (left, right) = (self.boxed(&node.left)?, self.boxed(&node.right)?);
        // The parser's span of a comparison starts one word early; the operands know better.
        let span = Span { end: right.span.end, ..left.span };
        let arithmetic = |op| move |left, right| ExprKind::Binary { op, left, right };
        let comparison = |op| move |first, right: Box<Expr>| ExprKind::Compare { first, rest: vec![(op, *right)] };
        let kind = match node.op {
            ast::BinOpKind::ScAnd => ExprKind::And(left, right),
            ast::BinOpKind::ScOr => ExprKind::Or(left, right),
            ast::BinOpKind::Add => arithmetic(BinaryOp::Add)(left, right),
            ast::BinOpKind::Sub => arithmetic(BinaryOp::Subtract)(left, right),
            ast::BinOpKind::Mul => arithmetic(BinaryOp::Multiply)(left, right),
            ast::BinOpKind::Div => arithmetic(BinaryOp::Divide)(left, right),
            ast::BinOpKind::FloorDiv => arithmetic(BinaryOp::FloorDivide)(left, right),
            ast::BinOpKind::Rem => arithmetic(BinaryOp::Remainder)(left, right),
            ast::BinOpKind::Pow => arithmetic(BinaryOp::Power)(left, right),
            ast::BinOpKind::Concat => arithmetic(BinaryOp::Concat)(left, right),
            ast::BinOpKind::Eq => comparison(CompareOp::Equal)(left, right),
            ast::BinOpKind::Ne => comparison(CompareOp::NotEqual)(left, right),
            ast::BinOpKind::Lt => comparison(CompareOp::Less)(left, right),
            ast::BinOpKind::Lte => comparison(CompareOp::LessEqual)(left, right),
            ast::BinOpKind::Gt => comparison(CompareOp::Greater)(left, right),
            ast::BinOpKind::Gte => comparison(CompareOp::GreaterEqual)(left, right),
            ast::BinOpKind::In => comparison(CompareOp::In)(left, right),
        };
        Ok(Expr { kind, span })
    }
}

fn compare_op(op: ast::CompareOpKind) -> CompareOp {
    match op {
        ast::CompareOpKind::Eq => CompareOp::Equal,
        ast::CompareOpKind::Ne => CompareOp::NotEqual,
        ast::CompareOpKind::Lt => CompareOp::Less,
        ast::CompareOpKind::Lte => CompareOp::LessEqual,
        ast::CompareOpKind::Gt => CompareOp::Greater,
        ast::CompareOpKind::Gte => CompareOp::GreaterEqual,
        ast::CompareOpKind::In => CompareOp::In,
        ast::CompareOpKind::NotIn => CompareOp::NotIn,
    }
}
