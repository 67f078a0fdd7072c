//! Walks a play: batches, blocks, handlers, strategies.
//!
//! Place in the flow: takes the plan's steps one after another, gives each task to [`super::task`] for all hosts that
//! take part, and decides from the results who takes part in the next one. Hosts are sets here: a block's rescue is
//! the same walk with the hosts that failed in it.
//! Not here: what a task does on a host, how agents are reached, the rules of a roll.

use super::hosts::{RunHost, Standing, TaskEnd};
use super::run::{Run, RunError};
use super::task::TaskRun;
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use kfleet_model::event::{EventKind, TaskRef};
use kfleet_model::{HostName, HostStatus};
use kfleet_playbook::plan::{Action, Block, Meta, Order, Play, Step, Strategy, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Hosts in the order of the play.
pub type Hosts = Vec<Arc<RunHost>>;

/// Why a walk ends before its last step.
#[derive(Debug)]
pub enum Stop {
    /// `meta: end_play`: the play is over, well.
    EndPlay,
    /// `meta: end_batch`: the batch is over, well.
    EndBatch,
    /// Too many hosts failed, or an error was fatal for all.
    Failed,
    /// The operator stopped the run.
    Cancelled,
    /// The run can not go on: input that only showed itself now, or our own failure.
    Error(RunError),
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self::Error(error)
    }
}

/// A play being walked.
pub struct PlayRun<'r> {
    /// The run.
    pub run: &'r Run,
    /// The play.
    pub play: &'r Play,
    /// All its hosts.
    pub all: Hosts,
    /// The hosts of the batch.
    pub batch: Hosts,
    /// Handlers of roles that were taken in while the play ran.
    added: Mutex<Vec<Arc<Task>>>,
}

impl Run {
    /// Walks one play over its hosts.
    ///
    /// # Errors
    /// Why it ended early.
    pub async fn play(&self, play: &Play) -> Result<(), Stop> {
        let mut all = self.play_hosts(play)?;
        self.sort(play.order, &mut all);
        let names: Vec<HostName> = all.iter().map(|host| host.name.clone()).collect();
        let name = self.play_title(play);
        self.events.send(EventKind::PlayStarted { play: play.index, name, hosts: names }).await;
        let alive: Hosts = all.iter().filter(|host| host.active()).map(Arc::clone).collect();
        if alive.is_empty() {
            return Ok(());
        }
        self.check_configuration(play, &alive).await?;
        let outcome = match play.strategy {
            Strategy::Rolling => crate::rolling::roll_play(self, play, alive).await,
            Strategy::Linear | Strategy::Free => self.batches(play, alive).await,
        };
        for host in &all {
            host.forget_notifications();
            if host.standing() == Standing::Ended {
                host.set_standing(Standing::Active);
            }
        }
        match outcome {
            Err(Stop::EndPlay | Stop::EndBatch) => Ok(()),
            other => other,
        }
    }

    fn sort(&self, order: Order, hosts: &mut Hosts) {
        match order {
            Order::Inventory => {}
            Order::ReverseInventory => hosts.reverse(),
            Order::Sorted => hosts.sort_by(|a, b| a.name.cmp(&b.name)),
            Order::ReverseSorted => hosts.sort_by(|a, b| b.name.cmp(&a.name)),
            Order::Shuffle => {
                use rand::seq::SliceRandom as _;
                hosts.shuffle(&mut rand::rng());
            }
        }
    }

    async fn batches(&self, play: &Play, hosts: Hosts) -> Result<(), Stop> {
        let mut left: &[Arc<RunHost>] = &hosts;
        let mut batches = self.batch_sizes(play, hosts.len())?.into_iter();
        let mut size = hosts.len();
        while !left.is_empty() {
            size = batches.next().unwrap_or(size).clamp(1, left.len());
            let (batch, rest) = left.split_at(size);
            left = rest;
            let walk = PlayRun::new(self, play, hosts.clone(), batch.to_vec());
            match walk.batch().await {
                Ok(()) | Err(Stop::EndBatch) => {}
                Err(stop) => return Err(stop),
            }
            // As in Ansible, a batch in which every host failed ends the play.
            if !left.is_empty()
                && batch.iter().all(|host| !matches!(host.standing(), Standing::Active | Standing::Ended))
            {
                return Err(Stop::Failed);
            }
        }
        Ok(())
    }
}

impl<'r> PlayRun<'r> {
    /// A walk over a play with one batch of its hosts.
    #[must_use]
    pub fn new(run: &'r Run, play: &'r Play, all: Hosts, batch: Hosts) -> Self {
        Self { run, play, all, batch, added: Mutex::default() }
    }
}

impl PlayRun<'_> {
    /// Takes the handlers of a role that was taken in just now; each once.
    pub fn add_handlers(&self, steps: &[Step]) {
        let mut found = Vec::new();
        kfleet_playbook::plan::collect(steps, &mut found);
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        for handler in found {
            if !added.iter().any(|known| known.span == handler.span) {
                added.push(Arc::clone(handler));
            }
        }
    }

    /// All handlers in the order in which they run.
    fn handlers(&self) -> Vec<Arc<Task>> {
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        self.play.all_handlers().chain(added.iter()).map(Arc::clone).collect()
    }

    /// Walks all sections of the play with the batch.
    ///
    /// # Errors
    /// Why it ended early.
    pub async fn batch(&self) -> Result<(), Stop> {
        let outcome = if self.play.strategy == Strategy::Free {
            let each = self.batch.iter().map(|host| self.sections(vec![Arc::clone(host)]));
            let ends: Vec<_> = futures::stream::iter(each).buffer_unordered(self.run.options.forks).collect().await;
            ends.into_iter().find(Result::is_err).unwrap_or(Ok(()))
        } else {
            self.sections(self.batch.clone()).await
        };
        if outcome.is_err() && self.force_handlers() && !self.run.cancel.is_cancelled() {
            self.forced_handlers().await?;
        }
        outcome
    }

    fn force_handlers(&self) -> bool {
        self.play.force_handlers.as_ref().and_then(|setting| setting.fixed().copied()).unwrap_or(false)
            || self.run.options.force_handlers
    }

    async fn forced_handlers(&self) -> Result<(), Stop> {
        let failed: Hosts = self.batch.iter().filter(|h| h.standing() == Standing::Failed).map(Arc::clone).collect();
        for host in &failed {
            host.set_standing(Standing::Active);
        }
        let outcome = self.flush_handlers(&self.batch.clone()).await;
        for host in failed {
            host.set_standing(Standing::Failed);
        }
        outcome
    }

    async fn sections(&self, hosts: Hosts) -> Result<(), Stop> {
        self.gather_facts(&hosts).await?;
        for section in [&self.play.pre_tasks, &self.play.roles, &self.play.tasks, &self.play.post_tasks] {
            if section.is_empty() {
                continue;
            }
            self.steps(section, &hosts).await?;
            // Ansible flushes after pre_tasks, after roles and tasks together, and after post_tasks.
            if !std::ptr::eq(section, &self.play.roles) || self.play.tasks.is_empty() {
                self.flush_handlers(&hosts).await?;
            }
        }
        if self.force_handlers() {
            self.forced_handlers().await?;
        }
        Ok(())
    }

    async fn gather_facts(&self, hosts: &Hosts) -> Result<(), Stop> {
        let wanted = match &self.play.gather_facts {
            None => true,
            Some(setting) => self.run.fixed_or_render(setting, self.play)?,
        };
        if !wanted {
            return Ok(());
        }
        let Some(task) = self.run.gather_task(self.play) else { return Ok(()) };
        self.task(&task, hosts).await
    }

    /// Walks steps with the hosts that take part.
    fn steps<'a>(&'a self, steps: &'a [Step], hosts: &'a Hosts) -> LocalBoxFuture<'a, Result<(), Stop>> {
        Box::pin(async move {
            for step in steps {
                if self.run.cancel.is_cancelled() {
                    return Err(Stop::Cancelled);
                }
                if !hosts.iter().any(|host| host.active()) {
                    return Ok(());
                }
                match step {
                    Step::Task(task) => self.task(task, hosts).await?,
                    Step::Block(block) => self.block(block, hosts).await?,
                }
            }
            Ok(())
        })
    }

    async fn block(&self, block: &Block, hosts: &Hosts) -> Result<(), Stop> {
        let members: Hosts = hosts.iter().filter(|host| host.active()).map(Arc::clone).collect();
        let mut outcome = self.steps(&block.tasks, &members).await;
        let recoverable = matches!(outcome, Ok(()) | Err(Stop::Failed));
        if recoverable && !block.rescue.is_empty() {
            let failed: Hosts =
                members.iter().filter(|host| host.standing() == Standing::Failed).map(Arc::clone).collect();
            if !failed.is_empty() {
                for host in &failed {
                    host.rescue();
                }
                outcome = self.steps(&block.rescue, &failed).await;
            }
        }
        if !block.always.is_empty() && matches!(outcome, Ok(()) | Err(Stop::Failed)) {
            // `always` runs on failed hosts too; their failure stands again afterwards.
            let failed: Hosts =
                members.iter().filter(|host| host.standing() == Standing::Failed).map(Arc::clone).collect();
            for host in &failed {
                host.set_standing(Standing::Active);
            }
            let always = self.steps(&block.always, &members).await;
            for host in failed {
                host.set_standing(Standing::Failed);
            }
            outcome = outcome.and(always);
        }
        outcome
    }

    /// Runs one task on all hosts that take part.
    fn task<'a>(&'a self, task: &'a Arc<Task>, hosts: &'a Hosts) -> LocalBoxFuture<'a, Result<(), Stop>> {
        Box::pin(self.task_now(task, hosts))
    }

    async fn task_now(&self, task: &Arc<Task>, hosts: &Hosts) -> Result<(), Stop> {
        if self.run.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if !self.run.selected(task) {
            return Ok(());
        }
        let taking_part: Hosts = hosts.iter().filter(|host| host.active()).map(Arc::clone).collect();
        let Some(first) = taking_part.first() else { return Ok(()) };
        match &task.action {
            Action::Meta(meta) => return self.meta(*meta, task, &taking_part).await,
            Action::IncludeTasks { .. } | Action::IncludeRole(_) => return self.include(task, &taking_part).await,
            Action::Module => {}
        }
        let task_ref = self.run.task_ref(self.play, task, first, self);
        self.events_task_started(&task_ref).await;
        let once = self.run.run_once(self, task, first)?;
        let on: &[Arc<RunHost>] = if once { std::slice::from_ref(first) } else { &taking_part };
        let ends = self.on_hosts(task, &task_ref, on).await?;
        if once && let Some((_, end)) = ends.first() {
            self.share(task, end, &taking_part[1..]);
        }
        self.judge(task, &ends)
    }

    async fn events_task_started(&self, task: &TaskRef) {
        self.run.events.send(EventKind::TaskStarted { task: task.clone() }).await;
    }

    async fn on_hosts(
        &self,
        task: &Arc<Task>,
        task_ref: &TaskRef,
        hosts: &[Arc<RunHost>],
    ) -> Result<Vec<(Arc<RunHost>, TaskEnd)>, Stop> {
        let throttle = task.keywords.throttle.as_ref().and_then(|t| t.fixed().copied()).unwrap_or(0);
        let width = match throttle {
            0 => self.run.options.forks,
            n => (n as usize).min(self.run.options.forks),
        };
        let shared = TaskRun::new(self, task, task_ref);
        let each = hosts.iter().map(|host| {
            let shared = &shared;
            async move { shared.on_host(host).await.map(|end| (Arc::clone(host), end)) }
        });
        let mut stream = futures::stream::iter(each).buffer_unordered(width.max(1));
        let (mut ends, mut stop) = (Vec::with_capacity(hosts.len()), None);
        while let Some(outcome) = stream.next().await {
            match outcome {
                Ok(end) => ends.push(end),
                // The others are heard to their end: what they did must be known.
                Err(error) => stop = stop.or(Some(error)),
            }
        }
        match stop {
            Some(error) => Err(error),
            None => Ok(ends),
        }
    }

    /// What `run_once` got on one host counts for all of them.
    fn share(&self, task: &Task, end: &TaskEnd, others: &[Arc<RunHost>]) {
        for host in others {
            if let Some(name) = &task.register {
                host.register(name, end.result.to_value());
            }
            host.add_facts(end.result.facts.clone());
            if matches!(end.status, HostStatus::Failed | HostStatus::Unreachable | HostStatus::Unknown) {
                host.set_standing(Standing::Failed);
            }
        }
    }

    /// Decides whether the play goes on after a task.
    fn judge(&self, task: &Task, ends: &[(Arc<RunHost>, TaskEnd)]) -> Result<(), Stop> {
        let bad =
            |status: HostStatus| matches!(status, HostStatus::Failed | HostStatus::Unreachable | HostStatus::Unknown);
        let failed_here = ends.iter().filter(|(_, end)| bad(end.status)).count();
        if failed_here == 0 {
            return Ok(());
        }
        let fatal = task.keywords.any_errors_fatal.as_ref().and_then(|s| s.fixed().copied()).unwrap_or(false);
        if fatal {
            for host in &self.batch {
                if host.active() {
                    host.set_standing(Standing::Failed);
                }
            }
            return Err(Stop::Failed);
        }
        if let Some(limit) = self.play.max_fail_percentage.as_ref().and_then(|s| s.fixed().copied()) {
            let down = self.batch.iter().filter(|host| !matches!(host.standing(), Standing::Active | Standing::Ended));
            #[expect(clippy::cast_precision_loss, reason = "counts of hosts")]
            let share = down.count() as f64 * 100.0 / self.batch.len().max(1) as f64;
            if share > limit {
                return Err(Stop::Failed);
            }
        }
        Ok(())
    }

    async fn meta(&self, meta: Meta, task: &Arc<Task>, hosts: &Hosts) -> Result<(), Stop> {
        let mut chosen: Hosts = Vec::new();
        for host in hosts {
            if TaskRun::condition_of(self, task, host)? {
                chosen.push(Arc::clone(host));
            }
        }
        if chosen.is_empty() {
            return Ok(());
        }
        match meta {
            Meta::FlushHandlers => self.flush_handlers(&chosen).await,
            Meta::EndPlay => Err(Stop::EndPlay),
            Meta::EndBatch => Err(Stop::EndBatch),
            Meta::EndHost => {
                for host in chosen {
                    host.set_standing(Standing::Ended);
                }
                Ok(())
            }
            Meta::ClearFacts => {
                for host in chosen {
                    host.clear_facts();
                }
                Ok(())
            }
            Meta::ClearHostErrors => {
                for host in &self.batch {
                    if matches!(host.standing(), Standing::Failed | Standing::Unreachable) {
                        host.set_standing(Standing::Active);
                    }
                }
                Ok(())
            }
            Meta::EndRole | Meta::RefreshInventory | Meta::ResetConnection => {
                let text = format!("meta: {} has no effect here ({})", meta.as_str(), task.span.short());
                self.run.events.send(EventKind::Warning { text }).await;
                Ok(())
            }
            Meta::Noop => Ok(()),
        }
    }

    /// Runs the notified handlers, in the order in which they are defined, each on the hosts that notified it.
    async fn flush_handlers(&self, hosts: &Hosts) -> Result<(), Stop> {
        let handlers = self.handlers();
        // Of several handlers with one name the last one counts.
        let mut last_of: BTreeMap<String, usize> = BTreeMap::new();
        let mut names = Vec::with_capacity(handlers.len());
        for (n, handler) in handlers.iter().enumerate() {
            let found = self.run.handler_names(self, handler)?;
            for name in &found.names {
                last_of.insert(name.clone(), n);
            }
            names.push(found);
        }
        for (n, handler) in handlers.iter().enumerate() {
            let mut notified: Hosts = Vec::new();
            for host in hosts.iter().filter(|host| host.active()) {
                let by: BTreeSet<String> = host
                    .notified()
                    .into_iter()
                    .filter(|name| {
                        names[n].topics.contains(name) || names[n].names.contains(name) && last_of.get(name) == Some(&n)
                    })
                    .collect();
                if !by.is_empty() {
                    notified.push(Arc::clone(host));
                }
            }
            if notified.is_empty() {
                continue;
            }
            let outcome = self.task(handler, &notified).await;
            for host in &notified {
                for name in names[n].names.iter() {
                    host.forget_notification(name);
                }
            }
            outcome?;
        }
        // Topics can have several handlers, so they are forgotten only after all of them ran.
        for host in hosts.iter().filter(|host| host.active()) {
            for found in &names {
                for topic in &found.topics {
                    host.forget_notification(topic);
                }
            }
        }
        Ok(())
    }

    /// Takes in the tasks of a file or role, for each group of hosts that asks for the same.
    async fn include(&self, task: &Arc<Task>, hosts: &Hosts) -> Result<(), Stop> {
        let task_ref = self.run.task_ref(self.play, task, &hosts[0], self);
        self.events_task_started(&task_ref).await;
        for (steps, group) in TaskRun::new(self, task, &task_ref).included(hosts).await? {
            self.steps(&steps, &group).await?;
        }
        Ok(())
    }
}
