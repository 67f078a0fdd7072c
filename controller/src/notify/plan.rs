//! What is to be told, to whom, as a function of the inspection, the routes and what was told before.
//!
//! Rules, from the specification of notices:
//! - One finding, one message: what a cause explains is folded under it, and a cause is told to a channel once, again when it
//!   is worse than the channel was told, and once when it is no more. The channel's own record decides, not last night's
//!   result, so a notice that did not go through is made again.
//! - What is waived, expected or acknowledged is not told. What changes often is told as one message.
//! - The same inspection planned twice tells nothing twice.
//! - A finding is of the first route that takes it for a channel.

mod causes;

use super::channel::Style;
use super::items::Maker;
use super::message::{DedupKey, Item, Mark, Message, Purpose};
use super::routing::{Reach, Route, Routing, Scope};
use causes::{Causes, muted};
use jiff::Timestamp;
use kfleet_inspect::finding::Change;
use kfleet_inspect::{CheckId, Inspection, Object, State, Subject};
use kfleet_model::{ClusterName, HostName};
use std::collections::{BTreeMap, BTreeSet};

/// How many messages about single causes a channel gets in a night; more are one digest. Chosen: half of what the
/// strictest robots take in a minute, and more than anybody reads one by one.
pub const MOST_SINGLE: usize = 10;

/// An unstable subject is settled after so many good nights in a row. Chosen: `recovering` needs two, so one more.
const SETTLED_NIGHTS: usize = 3;

/// What a channel was told of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It is so.
    Open(State),
    /// It is so, and changes often.
    Unstable(State),
    /// It is so, and somebody has seen it.
    Acknowledged(State),
    /// It is no more.
    Resolved,
}

impl Told {
    /// How it stands, when it is not resolved.
    #[must_use]
    pub fn open(self) -> Option<State> {
        match self {
            Self::Open(state) | Self::Unstable(state) | Self::Acknowledged(state) => Some(state),
            Self::Resolved => None,
        }
    }
}

/// A record of what a channel was told. A store keeps the latest of each channel and key; it is written when the message
/// was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The channel.
    pub channel: String,
    /// What it is known by.
    pub key: DedupKey,
    /// When the inspection was judged that it was told of.
    pub at: Timestamp,
    /// What was told.
    pub told: Told,
}

/// A message for a channel, and what is to be recorded once it is delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The channel.
    pub channel: String,
    /// The message.
    pub message: Message,
    /// What the channel knows then.
    pub tells: Vec<Sent>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The messages, by channel, in the order in which they are to be sent.
    pub notices: Vec<Notice>,
    /// What is to be recorded without a message.
    pub noted: Vec<Sent>,
}

/// Which clusters a host belongs to.
pub type Clusters = BTreeMap<HostName, BTreeSet<ClusterName>>;

/// Plans the notices of an inspection.
#[must_use]
pub fn plan(inspection: &Inspection, routing: &Routing, clusters: &Clusters, sent: &[Sent]) -> Plan {
    let causes = Causes::of(inspection);
    let mut plan = Plan::default();
    for (name, reach) in &routing.channels {
        let told = sent.iter().filter(|sent| sent.channel == *name && sent.key.is_of(&inspection.fleet));
        let night = Night {
            inspection,
            routing,
            clusters,
            causes: &causes,
            name,
            reach: *reach,
            told: told.map(|sent| (sent.key.clone(), sent)).collect(),
            maker: Maker { inspection, language: reach.language, link: routing.link.as_deref() },
        };
        night.plan(&mut plan);
    }
    plan
}

/// One channel in one night.
struct Night<'a> {
    inspection: &'a Inspection,
    routing: &'a Routing,
    clusters: &'a Clusters,
    causes: &'a Causes<'a>,
    name: &'a str,
    reach: Reach,
    told: BTreeMap<DedupKey, &'a Sent>,
    maker: Maker<'a>,
}

/// Something to tell, with the route that takes it.
struct News<'a> {
    item: Item,
    route: Option<&'a Route>,
    tells: Told,
}

impl<'a> Night<'a> {
    fn plan(&self, plan: &mut Plan) {
        let mut news = self.open();
        news.extend(self.ended(&mut plan.noted));
        news.sort_by(|a, b| {
            (a.item.mark, std::cmp::Reverse(a.item.state), &a.item.key).cmp(&(
                b.item.mark,
                std::cmp::Reverse(b.item.state),
                &b.item.key,
            ))
        });
        match self.reach.style {
            Style::Chat => self.chat(news, plan),
            // What was opened alone and became unstable stays open until it is settled.
            Style::Event => self.singly(news, plan),
            Style::State => self.state(news, plan),
        }
    }

    fn key(&self, what: &str) -> DedupKey {
        DedupKey::new(&self.inspection.fleet, what)
    }

    fn sent(&self, key: DedupKey, told: Told) -> Sent {
        Sent { channel: self.name.to_owned(), key, at: self.inspection.run.judged_at, told }
    }

    /// The first route that takes something for this channel.
    fn route(&self, check: &CheckId, object: &Object, state: State) -> Option<&'a Route> {
        self.routing.first(self.name, self.clusters, (check, object, state))
    }

    /// What is wrong now and goes to this channel.
    fn open(&self) -> Vec<News<'a>> {
        let mut news = Vec::new();
        for (finding, worst) in &self.causes.roots {
            let key = self.key(&finding.subject().to_string());
            let told = self.told.get(&key).map(|sent| sent.told);
            let was = told.and_then(Told::open);
            if finding.acknowledged.is_some() {
                let seen = matches!(told, Some(Told::Open(_) | Told::Unstable(_)));
                if let Some(was) = was.filter(|_| seen && self.reach.style == Style::Event) {
                    let item = self.maker.item(finding, Mark::Acknowledged, was, None);
                    news.push(News { item, route: None, tells: Told::Acknowledged(was) });
                }
                continue;
            }
            if muted(finding) {
                continue;
            }
            let Some(route) = self.route(&finding.check, &finding.object, *worst) else { continue };
            let unstable = finding.unstable.is_some();
            let mark = match (told, was) {
                (_, None) if unstable => Mark::Unstable,
                (_, None) => Mark::New,
                (_, Some(was)) if *worst > was && unstable => Mark::Unstable,
                (_, Some(was)) if *worst > was => Mark::Worse,
                (Some(Told::Open(_)), _) if unstable => Mark::Unstable,
                (_, Some(was)) if *worst < was => Mark::Better,
                (Some(Told::Open(_) | Told::Unstable(_) | Told::Acknowledged(_) | Told::Resolved) | None, Some(_)) => {
                    Mark::Open
                }
            };
            let tells = if unstable { Told::Unstable(*worst) } else { Told::Open(*worst) };
            let was = was.filter(|was| was != worst);
            news.push(News { item: self.maker.item(finding, mark, *worst, was), route: Some(route), tells });
        }
        news
    }

    /// What the channel was told and holds no more. What is not to be told is noted.
    fn ended(&self, noted: &mut Vec<Sent>) -> Vec<News<'a>> {
        let mut news = Vec::new();
        for (key, sent) in &self.told {
            let (Some(was), Some(subject)) = (sent.told.open(), subject(key)) else { continue };
            let Some(mark) = self.ending(&subject, sent.told) else { continue };
            let told_quietly = mark == Mark::Waived || mark == Mark::Below;
            if told_quietly && self.reach.style == Style::Chat {
                noted.push(self.sent(key.clone(), Told::Resolved));
                continue;
            }
            let item = self.maker.ended(key.clone(), subject, mark, was, sent.at);
            let route = self.route(&item.check, &item.object, was);
            news.push(News { item, route, tells: Told::Resolved });
        }
        news
    }

    /// How something that the channel was told ended; nothing while it goes on, or while it can not be seen.
    fn ending(&self, subject: &Subject, told: Told) -> Option<Mark> {
        if let Some(finding) = self.inspection.findings.iter().find(|finding| finding.subject() == *subject) {
            if finding.state == State::Waived {
                return Some(Mark::Waived);
            }
            let root = self.causes.roots.iter().find(|(root, _)| std::ptr::eq(*root, finding));
            // Something else explains it now, it is expected, seen, or can not be read: none of these is an end.
            let goes_on = root.is_none() || muted(finding) || finding.state == State::Unknown;
            let (_, worst) = root?;
            let taken = self.route(&finding.check, &finding.object, *worst).is_some();
            return (!goes_on && !taken).then_some(Mark::Below);
        }
        let unseen =
            subject.object.owner.host().is_some_and(|host| self.inspection.coverage.missing.contains_key(host));
        if unseen || (matches!(told, Told::Unstable(_)) && !self.settled(subject)) {
            return None;
        }
        let passed =
            self.inspection.passed.get(&subject.check).is_some_and(|objects| objects.contains(&subject.object));
        let cleared = self
            .inspection
            .cleared
            .iter()
            .find(|cleared| cleared.check == subject.check && cleared.object == subject.object);
        let fixed = passed || cleared.is_some_and(|cleared| cleared.change == Change::Fixed);
        Some(if fixed { Mark::Fixed } else { Mark::Gone })
    }

    /// It has been well for some nights.
    fn settled(&self, subject: &Subject) -> bool {
        let Some(track) = self.inspection.memory.tracks.get(&subject.to_string()) else { return true };
        let latest = track.states.iter().rev().take(SETTLED_NIGHTS);
        latest.clone().count() == SETTLED_NIGHTS && latest.clone().all(|state| *state == State::Ok)
    }

    fn notice(&self, message: Message, tells: Vec<Sent>) -> Notice {
        Notice { channel: self.name.to_owned(), message, tells }
    }

    /// Messages for people.
    fn chat(&self, news: Vec<News<'a>>, plan: &mut Plan) {
        let digests = |news: &News<'_>| news.route.is_none_or(|route| route.digest);
        let is_news = |news: &News<'_>| !matches!(news.item.mark, Mark::Open | Mark::Better);
        let single = news.iter().filter(|news| !digests(news) && is_news(news)).count();
        let storm = single > MOST_SINGLE;
        let (bundled, single): (Vec<_>, Vec<_>) = news.into_iter().partition(|news| storm || digests(news));
        self.digest(bundled, plan);
        self.singly(single, plan);
    }

    fn digest(&self, bundled: Vec<News<'a>>, plan: &mut Plan) {
        let key = self.key("digest");
        let now = self.inspection.run.judged_at;
        let done = self.told.get(&key).is_some_and(|sent| sent.at == now);
        let mine = |route: &&Route| route.digest && route.leads_to(self.name);
        let always = self.routing.routes.iter().filter(mine).any(|route| route.always);
        let is_news = bundled.iter().any(|news| !matches!(news.item.mark, Mark::Open | Mark::Better));
        if !is_news && (done || !always) {
            // Told worse again is told again, so what is better is remembered.
            let better = bundled.iter().filter(|news| news.item.mark == Mark::Better);
            plan.noted.extend(better.map(|news| self.sent(news.item.key.clone(), news.tells)));
            return;
        }
        let shown = |news: &News<'_>| {
            news.item.mark != Mark::Open || news.route.is_some_and(|route| route.scope == Scope::Everything)
        };
        let bundled: Vec<News<'_>> = bundled.into_iter().filter(shown).collect();
        let mut tells: Vec<Sent> = bundled.iter().map(|news| self.sent(news.item.key.clone(), news.tells)).collect();
        tells.push(self.sent(key.clone(), Told::Open(self.inspection.verdict)));
        let items = bundled.into_iter().map(|news| news.item).collect();
        plan.notices.push(self.notice(self.maker.digest(key, items), tells));
    }

    /// A message for each cause, and one for all that is unstable.
    fn singly(&self, news: Vec<News<'a>>, plan: &mut Plan) {
        let (unstable, rest): (Vec<_>, Vec<_>) = news.into_iter().partition(|news| is_unstable(news));
        for news in rest {
            let purpose = match news.item.mark {
                Mark::Open => continue,
                // The same key with another severity is the same incident; a person is not told of it by itself.
                Mark::Better if self.reach.style == Style::Event => Purpose::Open,
                Mark::Better => {
                    plan.noted.push(self.sent(news.item.key, news.tells));
                    continue;
                }
                Mark::New | Mark::Worse | Mark::Unstable => Purpose::Open,
                Mark::Acknowledged => Purpose::Acknowledged,
                Mark::Fixed | Mark::Gone | Mark::Waived | Mark::Below => Purpose::Resolved,
            };
            let tells = vec![self.sent(news.item.key.clone(), news.tells)];
            plan.notices.push(self.notice(self.maker.single(purpose, news.item), tells));
        }
        self.unstable(unstable, plan);
    }

    fn unstable(&self, unstable: Vec<News<'a>>, plan: &mut Plan) {
        let key = self.key("unstable");
        if unstable.iter().any(|news| news.item.mark == Mark::Unstable) {
            let mut tells: Vec<Sent> =
                unstable.iter().map(|news| self.sent(news.item.key.clone(), news.tells)).collect();
            let items: Vec<Item> = unstable.into_iter().map(|news| news.item).collect();
            let worst = items.iter().map(|item| item.state).max().unwrap_or(State::Ok);
            tells.push(self.sent(key.clone(), Told::Open(worst)));
            plan.notices.push(self.notice(self.maker.unstable(key, items), tells));
        } else if unstable.is_empty()
            && self.reach.style == Style::Event
            && self.told.get(&key).is_some_and(|sent| sent.told.open().is_some())
        {
            let tells = vec![self.sent(key.clone(), Told::Resolved)];
            plan.notices.push(self.notice(self.maker.settled(key), tells));
        }
    }

    /// Everything that is so, and what ended, in one message.
    fn state(&self, news: Vec<News<'a>>, plan: &mut Plan) {
        let now = self.inspection.run.judged_at;
        let done = |news: &News<'_>| {
            self.told.get(&news.item.key).is_some_and(|sent| sent.at == now && sent.told == news.tells)
        };
        if news.iter().all(done) {
            return;
        }
        let tells = news.iter().map(|news| self.sent(news.item.key.clone(), news.tells)).collect();
        let items = news.into_iter().map(|news| news.item).collect();
        plan.notices.push(self.notice(self.maker.digest(self.key("digest"), items), tells));
    }
}

fn is_unstable(news: &News<'_>) -> bool {
    match news.tells {
        Told::Unstable(_) => true,
        Told::Open(_) | Told::Acknowledged(_) | Told::Resolved => false,
    }
}

/// The subject of a key; none for the planner's own words.
fn subject(key: &DedupKey) -> Option<Subject> {
    let (check, object) = key.what().split_once('@')?;
    Some(Subject { check: CheckId::new(check), object: object.parse().ok()? })
}

#[cfg(test)]
mod tests;
