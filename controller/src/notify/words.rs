//! What notices say, in English and Chinese. The terms are those of the report.

use super::message::{Item, Language, Mark};
use jiff::Timestamp;
use kfleet_inspect::finding::{Forecast, WaiverNotice};
use kfleet_inspect::{Bilingual, Inspection, State};

/// The words of a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words(pub Language);

impl Words {
    fn pick<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self.0 {
            Language::En => en,
            Language::Zh => zh,
        }
    }

    /// A text of the catalogue; English where there is no Chinese.
    #[must_use]
    pub fn of(self, text: &Bilingual) -> &str {
        let zh = if text.zh.is_empty() { &text.en } else { &text.zh };
        self.pick(&text.en, zh)
    }

    /// A state.
    #[must_use]
    pub fn state(self, state: State) -> &'static str {
        match self.0 {
            Language::En => state.name(),
            Language::Zh => state.name_zh(),
        }
    }

    /// Why an item is told; also the heading over those of its kind.
    #[must_use]
    pub fn mark(self, mark: Mark) -> &'static str {
        let (en, zh) = match mark {
            Mark::New => ("new", "新增"),
            Mark::Worse => ("worse", "恶化"),
            Mark::Unstable => ("unstable", "抖动"),
            Mark::Fixed => ("fixed", "已恢复"),
            Mark::Gone => ("gone", "对象已消失"),
            Mark::Waived => ("waived", "已豁免"),
            Mark::Below => ("milder, no longer told here", "已减轻,不再通知"),
            Mark::Better => ("better", "好转"),
            Mark::Acknowledged => ("acknowledged", "已确认"),
            Mark::Open => ("still open", "仍未恢复"),
        };
        self.pick(en, zh)
    }

    /// How many items are not shown.
    #[must_use]
    pub fn more(self, many: usize) -> String {
        match self.0 {
            Language::En => format!("… and {many} more"),
            Language::Zh => format!("… 另有 {many} 项"),
        }
    }

    /// Between a reading and its limit.
    #[must_use]
    pub fn against(self) -> &'static str {
        self.pick(", limit ", ",阈值 ")
    }

    /// Since when, how many it explains, how unstable it is.
    #[must_use]
    pub fn history(self, item: &Item) -> String {
        let since = time(item.since);
        let mut text = match self.0 {
            Language::En => format!("since {since}"),
            Language::Zh => format!("始于 {since}"),
        };
        if let Some(was) = item.was {
            let was = self.state(was);
            text.push_str(&match self.0 {
                Language::En => format!("; was {was}"),
                Language::Zh => format!(";此前为{was}"),
            });
        }
        if item.explains > 0 {
            text.push_str(&match self.0 {
                Language::En => format!("; explains {} more", item.explains),
                Language::Zh => format!(";可解释另外 {} 项", item.explains),
            });
        }
        if let Some(unstable) = item.unstable {
            text.push_str(&match self.0 {
                Language::En => format!("; unstable: {} changes in {} nights", unstable.changes, unstable.nights),
                Language::Zh => format!(";抖动:{} 夜内变化 {} 次", unstable.nights, unstable.changes),
            });
        }
        text
    }

    /// What to do.
    #[must_use]
    pub fn advice(self, advice: &str) -> String {
        format!("{}{advice}", self.pick("to do: ", "处置建议:"))
    }

    /// The name of the link.
    #[must_use]
    pub fn report(self) -> &'static str {
        self.pick("Report", "查看报告")
    }

    /// The title of one cause.
    #[must_use]
    pub fn cause(self, inspection: &Inspection, item: &Item) -> String {
        let fleet = &inspection.fleet;
        let (mark, state) = (self.mark(item.mark), self.state(item.state));
        format!("[{fleet}] {mark}: {state} {} {}", item.check, item.object)
    }

    /// The title of a digest: the verdict first.
    #[must_use]
    pub fn digest(self, inspection: &Inspection, items: &[Item]) -> String {
        let verdict = self.state(inspection.verdict);
        let counts: Vec<String> = Mark::ALL
            .iter()
            .map(|mark| (*mark, items.iter().filter(|item| item.mark == *mark).count()))
            .filter(|(_, many)| *many > 0)
            .map(|(mark, many)| format!("{many} {}", self.mark(mark)))
            .collect();
        let counts =
            if counts.is_empty() { self.pick("nothing changed", "无变化").to_owned() } else { counts.join(", ") };
        let (fleet, points) = (&inspection.fleet, inspection.score.points);
        match self.0 {
            Language::En => format!("[{fleet}] {}: {counts}; score {points}", verdict.to_uppercase()),
            Language::Zh => format!("[{fleet}] {verdict}:{counts};健康分 {points}"),
        }
    }

    /// The title of the message about all that is unstable.
    #[must_use]
    pub fn unstable(self, inspection: &Inspection, many: usize) -> String {
        let fleet = &inspection.fleet;
        match self.0 {
            Language::En => format!("[{fleet}] unstable: the state of {many} changes often"),
            Language::Zh => format!("[{fleet}] 抖动:{many} 项状态频繁变化"),
        }
    }

    /// The title of the message that nothing is unstable any more.
    #[must_use]
    pub fn settled(self, inspection: &Inspection) -> String {
        format!("[{}] {}", inspection.fleet, self.pick("fixed: nothing is unstable any more", "已恢复:不再抖动"))
    }

    /// What holds of the whole inspection: time, counts, coverage.
    #[must_use]
    pub fn summary(self, inspection: &Inspection) -> String {
        let at = time(inspection.run.judged_at);
        let mut counts: Vec<String> = Vec::new();
        for state in State::ALL.iter().rev() {
            if let Some(many) = inspection.counts.get(state).filter(|many| **many > 0) {
                counts.push(format!("{} {many}", self.state(*state)));
            }
        }
        let counts =
            if counts.is_empty() { self.pick("no findings", "无发现项").to_owned() } else { counts.join(", ") };
        let (seen, expected) = (inspection.coverage.hosts_seen, inspection.coverage.hosts_expected);
        match self.0 {
            Language::En => format!("Inspection of {at}: {counts}; {seen} of {expected} hosts seen"),
            Language::Zh => format!("巡检时间 {at}:{counts};主机覆盖 {seen}/{expected}"),
        }
    }

    /// A reading that reaches its limit soon.
    #[must_use]
    pub fn forecast(self, forecast: &Forecast) -> String {
        let Forecast { object, limit, .. } = forecast;
        let date = day(forecast.earliest);
        match self.0 {
            Language::En => format!("forecast: {} of {object} reaches {limit} on {date} or later", forecast.key),
            Language::Zh => format!("预测:{object} 的 {} 最早于 {date} 达到 {limit}", forecast.key),
        }
    }

    /// A waiver that ends soon or has ended.
    #[must_use]
    pub fn waiver(self, waiver: &WaiverNotice) -> String {
        let WaiverNotice { check, object, owner, .. } = waiver;
        let date = day(waiver.expires);
        let ends = if waiver.expired { self.pick("ended", "已过期") } else { self.pick("ends", "将过期") };
        match self.0 {
            Language::En => format!("the waiver of {check} for {object} ({owner}) {ends} on {date}"),
            Language::Zh => format!("{check} 对 {object} 的豁免({owner}){ends}:{date}"),
        }
    }

    /// The report does not fit into a mail.
    #[must_use]
    pub fn too_large(self, bytes: usize) -> String {
        let mb = bytes.div_ceil(1_000_000);
        match self.0 {
            Language::En => format!("The report is not attached: with it the mail has {mb} MB."),
            Language::Zh => format!("报告未附上:附上后邮件将达 {mb} MB。"),
        }
    }

    /// The title, the text and the name of the thing of a test message.
    #[must_use]
    pub fn test(self) -> (&'static str, &'static str, &'static str) {
        match self.0 {
            Language::En => (
                "TEST: a test message of kfleet",
                "This is a test. Nothing is wrong; whoever reads this can be reached by kfleet.",
                "A try of this channel",
            ),
            Language::Zh => (
                "测试:kfleet 测试消息",
                "这是一条测试消息,集群没有异常;看到本消息说明 kfleet 可以通知到您。",
                "通道测试",
            ),
        }
    }
}

/// A moment for people: to the minute, with its zone.
#[must_use]
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A date for people.
#[must_use]
pub fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
