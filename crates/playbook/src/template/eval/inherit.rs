//! Template inheritance: `extends`, `block`, `super()` and `self.block()`.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use super::super::error::{Result, TemplateError};
use super::super::ir::{Block, Expr, Stmt, Template};
use super::super::value::{Object, Value};
use super::{Args, Interp, Sink};

/// The definitions of one block, the most derived first, each with the template it stands in.
type Chain = Vec<(Arc<Block>, Arc<Template>)>;

/// What the templates of one inheritance line have defined so far.
#[derive(Default)]
pub(in super::super) struct Chains {
    blocks: HashMap<Arc<str>, Chain>,
    parent: Option<Arc<Template>>,
}

impl Interp<'_> {
    /// Runs a whole template, and the ones it extends.
    ///
    /// # Errors
    /// The first error of a statement.
    pub(in super::super) fn run(&mut self, template: &Arc<Template>, sink: &mut Sink) -> Result<()> {
        let mut blocks = Vec::new();
        collect(&template.body, &mut blocks);
        for block in blocks {
            let chain = self.chains.blocks.entry(block.name.clone()).or_default();
            chain.push((block, template.clone()));
        }
        self.exec(&template.body, sink)?;
        let Some(parent) = self.chains.parent.take() else { return Ok(()) };
        sink.muted = false;
        let frames = self.frames.clone();
        self.nested("extends", |interp| interp.elsewhere(frames, parent.clone(), |interp| interp.run(&parent, sink)))
    }

    pub(super) fn exec_extends(&mut self, name: &Expr, sink: &mut Sink) -> Result<()> {
        if self.chains.parent.is_some() {
            return Err(self.located(TemplateError::failed("a template can extend only one other"), name.span));
        }
        self.chains.parent = Some(self.load(name)?);
        sink.muted = true;
        Ok(())
    }

    pub(super) fn exec_block(&mut self, block: &Arc<Block>, sink: &mut Sink) -> Result<()> {
        if sink.muted { Ok(()) } else { self.run_block(&block.name, 0, sink) }
    }

    fn run_block(&mut self, name: &Arc<str>, level: usize, sink: &mut Sink) -> Result<()> {
        let found = self.chains.blocks.get(name).and_then(|chain| chain.get(level)).cloned();
        let Some((block, template)) = found else {
            return Err(TemplateError::failed(format!("no template further up defines the block `{name}`")));
        };
        let mut frames = self.frames.clone();
        frames.push(std::rc::Rc::default());
        self.nested("block", |interp| {
            interp.elsewhere(frames, template, |interp| {
                interp.set_local(&"super".into(), Value::object(Super { name: name.clone(), level: level + 1 }));
                interp.exec(&block.body, sink)
            })
        })
    }

    fn block_text(&mut self, name: &Arc<str>, level: usize) -> Result<Value> {
        let mut sink = Sink::text();
        self.run_block(name, level, &mut sink)?;
        Ok(Value::str(sink.into_text()))
    }
}

fn collect(body: &[Stmt], found: &mut Vec<Arc<Block>>) {
    for stmt in body {
        match stmt {
            Stmt::Block(block) => {
                found.push(block.clone());
                collect(&block.body, found);
            }
            Stmt::For(body) => {
                collect(&body.body, found);
                collect(&body.otherwise, found);
            }
            Stmt::If { then, otherwise, .. } => {
                collect(then, found);
                collect(otherwise, found);
            }
            Stmt::With { body, .. } | Stmt::FilterBlock { body, .. } => collect(body, found),
            Stmt::Text(_)
            | Stmt::Emit(_)
            | Stmt::Set { .. }
            | Stmt::SetBlock { .. }
            | Stmt::Macro(_)
            | Stmt::CallBlock { .. }
            | Stmt::Do(_)
            | Stmt::Extends(_)
            | Stmt::Include { .. }
            | Stmt::Import { .. }
            | Stmt::FromImport { .. } => {}
        }
    }
}

struct Super {
    name: Arc<str>,
    level: usize,
}

impl Object for Super {
    fn type_name(&self) -> &'static str {
        "super"
    }

    fn call(&self, interp: &mut Interp<'_>, args: Args) -> Option<Result<Value>> {
        Some(args.none().and_then(|()| interp.block_text(&self.name, self.level)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `self`: renders the template's own blocks again.
pub(in super::super) struct SelfBlocks;

impl Object for SelfBlocks {
    fn type_name(&self) -> &'static str {
        "template"
    }

    fn method(&self, interp: &mut Interp<'_>, name: &str, args: Args) -> Option<Result<Value>> {
        let name: Arc<str> = name.into();
        interp.chains.blocks.contains_key(&name).then(|| args.none().and_then(|()| interp.block_text(&name, 0)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
