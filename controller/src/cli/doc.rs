//! `kfleet doc`: the documentation of modules, from the catalogue that is built in.

use super::{CliError, Outcome, launch};
use crate::cli::exit::Exit;
use crate::report;
use clap::Args as ClapArgs;
use kfleet_model::module::{CheckMode, ModuleDoc, ParamDoc};

/// Arguments of `kfleet doc`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The module; without one, all are listed
    module: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let catalogue = launch::catalogue();
    let Some(name) = &args.module else {
        let rows: Vec<Vec<String>> = catalogue
            .names()
            .filter_map(|name| catalogue.get(name))
            .map(|doc| vec![doc.name.clone(), doc.summary.clone()])
            .collect();
        report::print(&report::table::render(&["module", ""], &rows));
        return Ok(Exit::Ok);
    };
    let Some(doc) = catalogue.get(name) else {
        let error = CliError::input(format!("there is no module {name}"));
        return Err(match catalogue.nearest(name) {
            Some(near) => error.hint(format!("did you mean '{near}'?")),
            None => error.hint("`kfleet doc` lists all"),
        });
    };
    let text = if args.json {
        serde_json::to_string_pretty(doc).map_err(|error| CliError::internal(&error))? + "\n"
    } else {
        page(doc)
    };
    report::print(&text);
    Ok(Exit::Ok)
}

fn page(doc: &ModuleDoc) -> String {
    let check = match doc.check_mode {
        CheckMode::Full => "says what would change",
        CheckMode::ReadOnly => "makes no difference, it only reads",
        CheckMode::Skipped => "skipped, unless a guard such as creates decides",
    };
    let again = if doc.idempotent { "the second run changes nothing" } else { "not idempotent" };
    let mut out = format!("{}: {}\n\ncheck mode: {check}\nrun twice:  {again}\n", doc.name, doc.summary);
    if !doc.params.is_empty() {
        out.push_str("\nparameters\n");
    }
    for param in &doc.params {
        out.push_str(&parameter(param));
    }
    if !doc.returns.is_empty() {
        out.push_str("\nreturns\n");
    }
    for key in &doc.returns {
        out.push_str(&format!("  {}\n      {}\n", key.name, key.doc));
    }
    if !doc.examples.is_empty() {
        out.push_str("\nexamples\n");
        for line in doc.examples.trim().lines() {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out
}

fn parameter(param: &ParamDoc) -> String {
    let kind = format!("{:?}", param.kind).to_lowercase();
    let required = if param.required { ", required" } else { "" };
    let default = param.default.as_ref().map(|d| format!(", default {d}")).unwrap_or_default();
    let choices =
        if param.choices.is_empty() { String::new() } else { format!("\n      one of {}", param.choices.join(", ")) };
    let aliases =
        if param.aliases.is_empty() { String::new() } else { format!(" (also {})", param.aliases.join(", ")) };
    format!("  {}{aliases}: {kind}{required}{default}\n      {}{choices}\n", param.name, param.doc)
}
