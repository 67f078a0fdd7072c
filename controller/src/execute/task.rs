//! Runs one task on one host: variables, condition, loop, repetition, result.
//!
//! Place in the flow: [`super::play`] gives a task and its hosts; this file makes an op (or a controller-side action)
//! of it for each item, and turns what comes back into Ansible's result.
//! Not here: which hosts take part, how agents are reached.

use super::action::{self, Prepared};
use super::hosts::{RunHost, TaskEnd};
use super::link::{Follow, LinkError};
use super::play::{Hosts, PlayRun, Stop};
use super::run::Run;
use super::vars::{Shared, TaskVars};
use kfleet_model::event::{EventKind, TaskRef};
use kfleet_model::op::Lease;
use kfleet_model::{HostName, HostStatus, Map, Op, OpEnd, OpId, TaskResult, Value};
use kfleet_playbook::plan::{Condition, Setting, Step, Task, Template};
use kfleet_playbook::template::TemplateError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One task on its way over the hosts.
pub(super) struct TaskRun<'p> {
    /// The play.
    pub play: &'p PlayRun<'p>,
    /// The task.
    pub task: &'p Arc<Task>,
    task_ref: &'p TaskRef,
    args: Value,
    shared: Arc<Shared>,
}

/// One item of a loop.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its number from 0.
    pub index: usize,
    /// Its value.
    pub value: Value,
}

/// A failure of a task on a host before anything was done there: a template, a condition, a file of ours.
#[derive(Debug)]
pub struct TaskFailure(pub String);

impl From<String> for TaskFailure {
    fn from(text: String) -> Self {
        Self(text)
    }
}

struct ItemEnd {
    status: HostStatus,
    result: TaskResult,
    delegated_to: Option<String>,
    replayed: bool,
    no_log: bool,
}

impl ItemEnd {
    fn plain(status: HostStatus, result: TaskResult) -> Self {
        Self { status, result, delegated_to: None, replayed: false, no_log: false }
    }

    fn failure(failure: TaskFailure) -> Self {
        Self::plain(HostStatus::Failed, TaskResult::failure(failure.0))
    }
}

/// What came back of one attempt.
struct Attempt {
    result: TaskResult,
    unreachable: bool,
    unknown: bool,
    replayed: bool,
}

impl<'p> TaskRun<'p> {
    /// Prepares a task for its hosts.
    #[must_use]
    pub(super) fn new(play: &'p PlayRun<'p>, task: &'p Arc<Task>, task_ref: &'p TaskRef) -> Self {
        Self { play, task, task_ref, args: task.args.to_value(), shared: play.shared() }
    }

    fn run(&self) -> &'p Run {
        self.play.run
    }

    /// Runs it on one host, tells the run, and keeps what it registers.
    ///
    /// # Errors
    /// When the run can not go on.
    pub(super) async fn on_host(&self, host: &Arc<RunHost>) -> Result<TaskEnd, Stop> {
        let vars = self.run().task_vars(self.play, &self.shared, self.task, host);
        let end = match &self.task.repeat {
            None => {
                let end = self.item(host, &vars, None).await?;
                TaskEnd { status: end.status, result: end.result }
            }
            Some(_) => self.looped(host, &vars).await?,
        };
        host.count(end.status);
        if !end.result.facts.is_empty() {
            host.add_facts(end.result.facts.clone());
        }
        if let Some(name) = &self.task.register {
            host.register(name, end.result.to_value());
        }
        if end.status == HostStatus::Changed || end.status == HostStatus::Ignored && end.result.changed {
            self.notify(host, &vars)?;
        }
        Ok(end)
    }

    fn notify(&self, host: &RunHost, vars: &TaskVars) -> Result<(), Stop> {
        for template in &self.task.notify {
            let value = self.run().render(template, vars).map_err(|failure| self.run().input(failure.0))?;
            match value {
                Value::Array(names) => {
                    for name in names {
                        host.notify(kfleet_model::module::text(&name).unwrap_or_default());
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    host.notify(kfleet_model::module::text(&value).unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    async fn looped(&self, host: &Arc<RunHost>, vars: &TaskVars) -> Result<TaskEnd, Stop> {
        let items = match self.items(vars) {
            Ok(items) => items,
            // As in Ansible: a loop over something undefined is no error when the condition is false anyway.
            Err(failure) => {
                let end = match self.conditions(&self.task.keywords.when, vars) {
                    Ok(Some(condition)) => ItemEnd::plain(HostStatus::Skipped, skipped(&condition)),
                    Ok(None) | Err(_) => ItemEnd::failure(failure),
                };
                let end = self.ignoring(end, vars);
                self.tell(host, &end, None, Instant::now()).await;
                return Ok(TaskEnd { status: end.status, result: end.result });
            }
        };
        let control = self.task.repeat.as_ref().map(|repeat| repeat.control.clone()).unwrap_or_default();
        let pause = match &control.pause {
            Some(setting) => self.run().setting(setting, vars, number).unwrap_or(0.0),
            None => 0.0,
        };
        let mut ends: Vec<ItemEnd> = Vec::with_capacity(items.len());
        let mut results = Vec::with_capacity(items.len());
        for (index, value) in items.iter().enumerate() {
            if index > 0 && pause > 0.0 {
                tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            }
            let item = Item { index, value: value.clone() };
            let item_vars = vars.with_item(&control, &item, &items);
            let end = self.item(host, &item_vars, Some(&item)).await?;
            let mut result = end.result.to_value();
            if let Value::Object(map) = &mut result {
                map.insert(control.loop_var.clone(), value.clone());
                map.insert("ansible_loop_var".to_owned(), control.loop_var.clone().into());
            }
            let lost = matches!(end.status, HostStatus::Unreachable | HostStatus::Unknown);
            results.push(result);
            ends.push(end);
            if lost || self.run().cancel.is_cancelled() {
                break;
            }
        }
        Ok(together(ends, results))
    }

    fn items(&self, vars: &TaskVars) -> Result<Vec<Value>, TaskFailure> {
        let Some(repeat) = &self.task.repeat else { return Ok(Vec::new()) };
        self.run().loop_items(repeat, vars)
    }

    /// Which condition is false, if one is.
    pub(super) fn conditions(&self, conditions: &[Condition], vars: &TaskVars) -> Result<Option<String>, TaskFailure> {
        for condition in conditions {
            if !self.run().condition(condition, vars)? {
                return Ok(Some(condition.expression.clone()));
            }
        }
        Ok(None)
    }

    /// Whether a task without a module (meta, include) applies to a host.
    ///
    /// # Errors
    /// When its condition can not be evaluated.
    pub(super) fn condition_of(play: &PlayRun<'_>, task: &Arc<Task>, host: &Arc<RunHost>) -> Result<bool, Stop> {
        let vars = play.run.task_vars(play, &play.shared(), task, host);
        for condition in &task.keywords.when {
            if !play.run.condition(condition, &vars).map_err(|failure| play.run.input(failure.0))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn item(&self, host: &Arc<RunHost>, vars: &TaskVars, item: Option<&Item>) -> Result<ItemEnd, Stop> {
        let begun = Instant::now();
        let end = match self.conditions(&self.task.keywords.when, vars) {
            Ok(Some(condition)) => ItemEnd::plain(HostStatus::Skipped, skipped(&condition)),
            Ok(None) => self.repeated(host, vars, item).await?,
            Err(failure) => ItemEnd::failure(failure),
        };
        let end = self.ignoring(end, vars);
        self.tell(host, &end, item.map(|item| (item, vars)), begun).await;
        Ok(end)
    }

    /// `ignore_errors` and `ignore_unreachable` turn a bad end into an ignored one.
    fn ignoring(&self, mut end: ItemEnd, vars: &TaskVars) -> ItemEnd {
        let keywords = &self.task.keywords;
        let ignore = match end.status {
            HostStatus::Failed => keywords.ignore_errors.as_ref(),
            HostStatus::Unreachable => keywords.ignore_unreachable.as_ref(),
            HostStatus::Ok
            | HostStatus::Changed
            | HostStatus::Skipped
            | HostStatus::Ignored
            | HostStatus::Rescued
            | HostStatus::Unknown => None,
        };
        if let Some(setting) = ignore
            && self.run().setting(setting, vars, kfleet_model::module::boolean).unwrap_or(false)
        {
            end.status = HostStatus::Ignored;
        }
        end
    }

    async fn tell(&self, host: &RunHost, end: &ItemEnd, item: Option<(&Item, &TaskVars)>, begun: Instant) {
        let result = if end.no_log { censored(&end.result) } else { end.result.clone() };
        let label = item.map(|(item, vars)| self.label(item, vars, end.no_log));
        self.run()
            .events
            .send(EventKind::HostResult {
                task: self.task_ref.clone(),
                host: host.name.clone(),
                status: end.status,
                result: Box::new(result),
                item: label,
                delegated_to: end.delegated_to.clone(),
                replayed: end.replayed,
                elapsed_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            })
            .await;
    }

    fn label(&self, item: &Item, vars: &TaskVars, no_log: bool) -> String {
        if no_log {
            return "(censored due to no_log)".to_owned();
        }
        let label = self.task.repeat.as_ref().and_then(|repeat| repeat.control.label.as_ref());
        let value = label
            .and_then(|node| self.run().render_value(&node.to_value(), vars).ok())
            .unwrap_or_else(|| item.value.clone());
        kfleet_model::module::text(&value).unwrap_or_else(|| value.to_string())
    }

    /// `until`, `retries` and `delay`, `changed_when` and `failed_when`.
    async fn repeated(&self, host: &Arc<RunHost>, vars: &TaskVars, item: Option<&Item>) -> Result<ItemEnd, Stop> {
        let (retries, delay) = match self.retries(vars) {
            Ok(found) => found,
            Err(failure) => return Ok(ItemEnd::failure(failure)),
        };
        let mut tries = 0;
        loop {
            let mut end = self.judged(host, vars, item, tries).await?;
            let lost = matches!(end.status, HostStatus::Unreachable | HostStatus::Unknown | HostStatus::Skipped);
            if lost || self.task.until.is_empty() && (retries == 0 || end.status != HostStatus::Failed) {
                return Ok(end);
            }
            tries += 1;
            let met = match self.until_met(vars, &end) {
                Ok(met) => met,
                Err(failure) => return Ok(ItemEnd::failure(failure)),
            };
            end.result.data.insert("attempts".to_owned(), tries.into());
            if met {
                return Ok(end);
            }
            if tries > retries || self.run().cancel.is_cancelled() {
                end.status = HostStatus::Failed;
                end.result.failed = true;
                end.result.msg.get_or_insert_with(|| format!("the condition of 'until' was not met in {tries} tries"));
                return Ok(end);
            }
            let left = retries + 1 - tries;
            let event = EventKind::HostRetry { task: self.task_ref.clone(), host: host.name.clone(), left };
            self.run().events.send(event).await;
            tokio::select! {
                // Cancel safe: nothing but time is waited for.
                () = tokio::time::sleep(delay) => {}
                () = self.run().cancel.cancelled() => {}
            }
        }
    }

    fn retries(&self, vars: &TaskVars) -> Result<(u32, Duration), TaskFailure> {
        let retries = match &self.task.retries {
            Some(setting) => self.run().setting(setting, vars, whole)?,
            None if self.task.until.is_empty() => 0,
            None => 3,
        };
        let delay = match &self.task.delay {
            Some(setting) => self.run().setting(setting, vars, number)?,
            None => 5.0,
        };
        Ok((retries, Duration::from_secs_f64(delay.clamp(0.0, 1e9))))
    }

    fn until_met(&self, vars: &TaskVars, end: &ItemEnd) -> Result<bool, TaskFailure> {
        if self.task.until.is_empty() {
            return Ok(end.status != HostStatus::Failed);
        }
        let vars = self.with_result(vars, &end.result);
        Ok(self.conditions(&self.task.until, &vars)?.is_none())
    }

    fn with_result(&self, vars: &TaskVars, result: &TaskResult) -> TaskVars {
        match &self.task.register {
            Some(name) => vars.with_registered(name, result.to_value()),
            None => vars.clone(),
        }
    }

    /// One attempt, with the playbook's own say about what changed and what failed.
    async fn judged(
        &self,
        host: &Arc<RunHost>,
        vars: &TaskVars,
        item: Option<&Item>,
        tries: u32,
    ) -> Result<ItemEnd, Stop> {
        let no_log = match &self.task.keywords.no_log {
            Some(setting) => self.run().setting(setting, vars, kfleet_model::module::boolean).unwrap_or(true),
            None => false,
        };
        let delegated_to = match self.delegate(vars) {
            Ok(delegated_to) => delegated_to,
            Err(failure) => return Ok(ItemEnd::failure(failure)),
        };
        let attempt = match self.attempt(host, vars, item, tries, delegated_to.as_deref(), no_log).await? {
            Ok(attempt) => attempt,
            Err(failure) => return Ok(ItemEnd { no_log, delegated_to, ..ItemEnd::failure(failure) }),
        };
        let Attempt { mut result, unreachable, unknown, replayed } = attempt;
        let end = |status, result| ItemEnd { status, result, delegated_to, replayed, no_log };
        if unreachable {
            return Ok(end(HostStatus::Unreachable, result));
        }
        if unknown {
            return Ok(end(HostStatus::Unknown, result));
        }
        if result.skipped {
            return Ok(end(HostStatus::Skipped, result));
        }
        if let Err(failure) = self.rejudge(vars, &mut result) {
            result.failed = true;
            result.msg = Some(failure.0);
        }
        let status = match (result.failed, result.changed) {
            (true, _) => HostStatus::Failed,
            (false, true) => HostStatus::Changed,
            (false, false) => HostStatus::Ok,
        };
        Ok(end(status, result))
    }

    fn rejudge(&self, vars: &TaskVars, result: &mut TaskResult) -> Result<(), TaskFailure> {
        if !self.task.changed_when.is_empty() {
            let vars = self.with_result(vars, result);
            result.changed = self.conditions(&self.task.changed_when, &vars)?.is_none();
        }
        if !self.task.failed_when.is_empty() {
            let vars = self.with_result(vars, result);
            result.failed = self.conditions(&self.task.failed_when, &vars)?.is_none();
            if result.failed {
                result.data.insert("failed_when_result".to_owned(), true.into());
            }
        }
        Ok(())
    }

    fn delegate(&self, vars: &TaskVars) -> Result<Option<String>, TaskFailure> {
        match &self.task.keywords.delegate_to {
            None => Ok(None),
            Some(template) => self.run().render_text(template, vars).map(Some),
        }
    }

    fn flag(&self, setting: Option<&Setting<bool>>, vars: &TaskVars, default: bool) -> Result<bool, TaskFailure> {
        match setting {
            None => Ok(default),
            Some(setting) => self.run().setting(setting, vars, kfleet_model::module::boolean),
        }
    }

    /// Does it once: on the controller, or as an op on an agent.
    async fn attempt(
        &self,
        host: &Arc<RunHost>,
        vars: &TaskVars,
        item: Option<&Item>,
        tries: u32,
        delegated_to: Option<&str>,
        no_log: bool,
    ) -> Result<Result<Attempt, TaskFailure>, Stop> {
        let prepared = match self.prepare(host, vars) {
            Ok(prepared) => prepared,
            Err(failure) => return Ok(Err(failure)),
        };
        let (module, params, files) = match prepared {
            Prepared::Ended(result) => {
                return Ok(Ok(Attempt { result: *result, unreachable: false, unknown: false, replayed: false }));
            }
            Prepared::Pause(time) => return Ok(Ok(self.pause(time).await)),
            Prepared::Op { module, params, files } => (module, params, files),
        };
        let built = self.op(vars, item, tries, (host, delegated_to), (module, params, no_log));
        let (op, key, target) = match built {
            Ok(built) => built,
            Err(failure) => return Ok(Err(failure)),
        };
        self.on_agent(&target, op, key, &files).await.map(Ok)
    }

    async fn pause(&self, time: Duration) -> Attempt {
        tokio::select! {
            // Cancel safe: nothing but time is waited for.
            () = tokio::time::sleep(time) => {}
            () = self.run().cancel.cancelled() => {}
        }
        let mut result = TaskResult::default();
        result.data.insert("delta".to_owned(), time.as_secs().into());
        Attempt { result, unreachable: false, unknown: false, replayed: false }
    }

    fn prepare(&self, host: &Arc<RunHost>, vars: &TaskVars) -> Result<Prepared, TaskFailure> {
        let params = self.params(vars)?;
        let check = self.flag(self.task.keywords.check_mode.as_ref(), vars, self.run().options.check)?;
        action::prepare(self, host, vars, params, check)
    }

    /// The module's parameters with the variables of a host.
    ///
    /// # Errors
    /// When a template fails or gives no mapping where one is needed.
    pub(super) fn params(&self, vars: &TaskVars) -> Result<Map, TaskFailure> {
        let mut params = Map::new();
        for defaults in self.task.keywords.module_defaults.get(&self.task.module).into_iter().flatten() {
            self.merge(&mut params, &defaults.to_value(), vars, "module_defaults")?;
        }
        if let Some(more) = &self.task.args_from {
            let value = self.run().render(more, vars)?;
            self.merge_rendered(&mut params, value, "args")?;
        }
        self.merge(&mut params, &self.args, vars, "the arguments")?;
        Ok(params)
    }

    fn merge(&self, into: &mut Map, value: &Value, vars: &TaskVars, what: &str) -> Result<(), TaskFailure> {
        let value = self.run().render_value(value, vars).map_err(|error| self.template_failure(&error))?;
        self.merge_rendered(into, value, what)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only a mapping can be merged")]
    fn merge_rendered(&self, into: &mut Map, value: Value, what: &str) -> Result<(), TaskFailure> {
        match value {
            Value::Object(map) => {
                into.extend(map.into_iter().filter(|(_, value)| !kfleet_playbook::template::is_omit(value)));
                Ok(())
            }
            Value::Null => Ok(()),
            other => Err(TaskFailure(format!(
                "{what} of {} must be a mapping, not {other} ({})",
                self.task.module,
                self.task.span.short()
            ))),
        }
    }

    /// A template's error as a task's message, with the task's place.
    pub(super) fn template_failure(&self, error: &TemplateError) -> TaskFailure {
        TaskFailure(format!("{error} ({})", self.task.span.short()))
    }

    fn op(
        &self,
        vars: &TaskVars,
        item: Option<&Item>,
        tries: u32,
        (host, delegated_to): (&Arc<RunHost>, Option<&str>),
        (module, params, no_log): (String, Map, bool),
    ) -> Result<(Op, String, HostName), TaskFailure> {
        let run = self.run();
        let target = match delegated_to {
            None => host.name.clone(),
            Some(name) => HostName::new(name).map_err(|error| TaskFailure(error.to_string()))?,
        };
        // The key is the same in a resumed run, so that the agent recognises what it has done already.
        let mut key = format!("{}.{}", self.task_ref.play, self.task_ref.path);
        if let Some(item) = item {
            key.push_str(&format!("-i{}", item.index));
        }
        if tries > 0 {
            key.push_str(&format!("-t{tries}"));
        }
        if delegated_to.is_some() {
            key.push_str(&format!("-for-{}", host.name));
        }
        let keywords = &self.task.keywords;
        let r#become = self.flag(keywords.r#become.as_ref(), vars, false)?;
        let become_user = match &keywords.become_user {
            Some(template) if r#become => Some(run.render_text(template, vars)?).filter(|user| user != "root"),
            Some(_) | None => None,
        };
        let mut environment = BTreeMap::new();
        for node in &keywords.environment {
            let value = run.render_value(&node.to_value(), vars).map_err(|error| self.template_failure(&error))?;
            if let Value::Object(map) = value {
                environment
                    .extend(map.into_iter().map(|(k, v)| (k, kfleet_model::module::text(&v).unwrap_or_default())));
            }
        }
        let deadline = match &keywords.timeout {
            Some(setting) => Duration::from_secs(u64::from(run.setting(setting, vars, whole)?)),
            None => run.options.task_timeout,
        };
        let op = Op {
            op_id: OpId::new(format!("{}-{key}", run.id)).map_err(|error| TaskFailure(error.to_string()))?,
            run_id: run.id.clone(),
            lease: run.lease.lock().ok().and_then(|lease| lease.clone()).map(|lease: Lease| lease),
            module,
            params,
            check: self.flag(keywords.check_mode.as_ref(), vars, run.options.check)?,
            diff: self.flag(keywords.diff.as_ref(), vars, run.options.diff)?,
            deadline,
            become_user,
            environment,
            no_log,
        };
        Ok((op, key, target))
    }

    async fn on_agent(
        &self,
        target: &HostName,
        op: Op,
        key: String,
        files: &[(String, std::path::PathBuf)],
    ) -> Result<Attempt, Stop> {
        let run = self.run();
        let attempt = |result, unreachable, unknown, replayed| Attempt { result, unreachable, unknown, replayed };
        let (end, replayed) = match run.earlier(target, &key, op).await {
            super::run::Earlier::Done(end) => (Ok(*end), true),
            super::run::Earlier::Run { op, attempt } => {
                let end = self.perform(target, &op, files).await;
                if let Ok(end) = &end {
                    run.remember(target, key, attempt, end, op.no_log).await;
                }
                (end, false)
            }
        };
        let failed = |msg: String| TaskResult::failure(msg);
        Ok(match end {
            Ok(OpEnd::Done { result }) => attempt(result, false, false, replayed),
            Ok(OpEnd::Failed { mut result }) => {
                result.failed = true;
                attempt(result, false, false, replayed)
            }
            Ok(OpEnd::Refused { why }) => {
                attempt(failed(format!("refused by the agent: {why}")), false, false, replayed)
            }
            Ok(OpEnd::Expired { why }) => {
                attempt(failed(format!("its time was over before it began: {why}")), false, false, replayed)
            }
            Ok(OpEnd::Unknown { why }) => {
                attempt(failed(format!("it is not known how it ended: {why}")), false, true, replayed)
            }
            Err(LinkError::Lost(why)) => {
                attempt(failed(format!("it is not known how it ended: {why}")), false, true, false)
            }
            Err(error @ (LinkError::Unreachable(_) | LinkError::Refused(_) | LinkError::Protocol(_))) => {
                attempt(failed(error.to_string()), true, false, false)
            }
        })
    }

    async fn perform(
        &self,
        target: &HostName,
        op: &Op,
        files: &[(String, std::path::PathBuf)],
    ) -> Result<OpEnd, LinkError> {
        let run = self.run();
        let link = run.link(target)?;
        if !files.is_empty() {
            link.provide(files).await?;
        }
        let follow = Follow {
            events: &run.events,
            show_output: run.options.show_output && !op.no_log,
            keep_output: run.options.whole_results || self.task.register.is_some(),
            cancel: run.cancel_now.clone(),
        };
        link.perform(op, follow).await
    }

    /// The steps that a dynamic include takes in, for each group of hosts that gets the same.
    ///
    /// # Errors
    /// When a file that is named can not be loaded.
    pub(super) async fn included(&self, hosts: &Hosts) -> Result<Vec<(Vec<Step>, Hosts)>, Stop> {
        let mut groups: Vec<(String, Vec<Step>, Hosts)> = Vec::new();
        for host in hosts {
            let vars = self.run().task_vars(self.play, &self.shared, self.task, host);
            let items = match &self.task.repeat {
                None => vec![None],
                Some(_) => match self.items(&vars) {
                    Ok(items) => {
                        items.into_iter().enumerate().map(|(index, value)| Some(Item { index, value })).collect()
                    }
                    Err(failure) => {
                        self.include_failed(host, failure).await;
                        continue;
                    }
                },
            };
            for item in items {
                self.include_item(host, &vars, item, &mut groups).await?;
            }
        }
        Ok(groups.into_iter().map(|(_, steps, hosts)| (steps, hosts)).collect())
    }

    async fn include_item(
        &self,
        host: &Arc<RunHost>,
        vars: &TaskVars,
        item: Option<Item>,
        groups: &mut Vec<(String, Vec<Step>, Hosts)>,
    ) -> Result<(), Stop> {
        let control = self.task.repeat.as_ref().map(|repeat| repeat.control.clone()).unwrap_or_default();
        let vars = match &item {
            Some(item) => vars.with_item(&control, item, &[]),
            None => vars.clone(),
        };
        match self.conditions(&self.task.keywords.when, &vars) {
            Ok(None) => {}
            Ok(Some(condition)) => {
                let end = ItemEnd::plain(HostStatus::Skipped, skipped(&condition));
                host.count(HostStatus::Skipped);
                self.tell(host, &end, item.as_ref().map(|item| (item, &vars)), Instant::now()).await;
                return Ok(());
            }
            Err(failure) => {
                self.include_failed(host, failure).await;
                return Ok(());
            }
        }
        let item_var = item.map(|item| (control.loop_var.clone(), item));
        match self.run().load_include(self.play, self.task, &vars, item_var.as_ref()) {
            Ok((key, steps)) => match groups.iter_mut().find(|(known, _, _)| *known == key) {
                Some((_, _, hosts)) => hosts.push(Arc::clone(host)),
                None => groups.push((key, steps, vec![Arc::clone(host)])),
            },
            Err(failure) => self.include_failed(host, failure).await,
        }
        Ok(())
    }

    async fn include_failed(&self, host: &Arc<RunHost>, failure: TaskFailure) {
        let end = ItemEnd::failure(failure);
        host.count(end.status);
        self.tell(host, &end, None, Instant::now()).await;
    }
}

/// The whole of a loop's ends.
fn together(ends: Vec<ItemEnd>, results: Vec<Value>) -> TaskEnd {
    let any = |wanted: HostStatus| ends.iter().any(|end| end.status == wanted);
    let all_skipped = !ends.is_empty() && ends.iter().all(|end| end.status == HostStatus::Skipped);
    let status = if any(HostStatus::Unknown) {
        HostStatus::Unknown
    } else if any(HostStatus::Unreachable) {
        HostStatus::Unreachable
    } else if any(HostStatus::Failed) {
        HostStatus::Failed
    } else if any(HostStatus::Ignored) {
        HostStatus::Ignored
    } else if all_skipped || ends.is_empty() {
        HostStatus::Skipped
    } else if ends.iter().any(|end| end.result.changed) {
        HostStatus::Changed
    } else {
        HostStatus::Ok
    };
    let mut result = TaskResult {
        changed: ends.iter().any(|end| end.result.changed),
        failed: ends.iter().any(|end| end.result.failed),
        skipped: all_skipped || ends.is_empty(),
        ..TaskResult::default()
    };
    result.msg = Some(
        if result.failed {
            "One or more items failed"
        } else if all_skipped {
            "All items skipped"
        } else if ends.is_empty() {
            "No items in the list"
        } else {
            "All items completed"
        }
        .to_owned(),
    );
    for end in &ends {
        result.facts.extend(end.result.facts.clone());
        result.warnings.extend(end.result.warnings.iter().cloned());
    }
    result.data.insert("results".to_owned(), results.into());
    TaskEnd { status, result }
}

fn skipped(condition: &str) -> TaskResult {
    let mut result = TaskResult::skip("Conditional result was False");
    result.data.insert("false_condition".to_owned(), condition.into());
    result
}

/// What may be shown of a result under `no_log`.
fn censored(result: &TaskResult) -> TaskResult {
    let mut data = Map::new();
    let text = "the output has been hidden due to the fact that 'no_log: true' was specified for this result";
    data.insert("censored".to_owned(), text.into());
    TaskResult {
        changed: result.changed,
        failed: result.failed,
        skipped: result.skipped,
        data,
        ..TaskResult::default()
    }
}

/// A setting's rendered value as a number.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A setting's rendered value as a whole number that is not negative.
pub(super) fn whole(value: &Value) -> Option<u32> {
    match value {
        Value::Number(n) => n.as_u64().and_then(|n| u32::try_from(n).ok()),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a template is needed at all; a fixed text is its own rendering.
#[must_use]
pub(super) fn is_fixed(template: &Template) -> bool {
    !template.is_open()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(status: HostStatus, changed: bool) -> ItemEnd {
        let failed = status == HostStatus::Failed;
        ItemEnd::plain(status, TaskResult { changed, failed, ..TaskResult::default() })
    }

    #[test]
    fn a_loop_ends_as_badly_as_its_worst_item() {
        use HostStatus::{Changed, Failed, Ignored, Ok, Skipped, Unknown, Unreachable};
        let cases: [(&[HostStatus], HostStatus); 8] = [
            (&[], Skipped),
            (&[Skipped, Skipped], Skipped),
            (&[Skipped, Ok], Ok),
            (&[Ok, Changed], Changed),
            (&[Changed, Failed], Failed),
            (&[Ok, Ignored], Ignored),
            (&[Failed, Unreachable], Unreachable),
            (&[Unreachable, Unknown], Unknown),
        ];
        for (statuses, wanted) in cases {
            let ends = statuses.iter().map(|&status| end(status, status == Changed)).collect::<Vec<_>>();
            assert_eq!(together(ends, vec![]).status, wanted, "{statuses:?}");
        }
    }

    #[test]
    fn a_censored_result_keeps_only_how_it_ended() {
        let mut result = TaskResult::failure("password is hunter2");
        result.data.insert("stdout".into(), "hunter2".into());
        result.changed = true;
        let shown = serde_json::to_string(&censored(&result)).unwrap();
        assert!(!shown.contains("hunter2") && shown.contains("\"changed\":true"), "{shown}");
    }
}
