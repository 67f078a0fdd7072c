//! Every text of the report in English and Chinese, in one table. What a check says stands in the catalogue instead.
//!
//! `{name}` is filled in. `{s}` is an English plural's ending: nothing when `n` is 1.

use super::shape::Due;
use super::{HappeningKind, Language, Restartable};
use kfleet_inspect::finding::{Against, Change, WaiverNotice};
use kfleet_inspect::reading::{Confidence, Role};
use kfleet_inspect::{Bilingual, Layer, State};

macro_rules! texts {
    ($($name:ident: $en:literal, $zh:literal;)*) => {
        /// A text of the report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Text {
            $(#[doc = $en] $name,)*
        }

        impl Text {
            /// Every text.
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name, which templates use.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// English and Chinese.
            fn both(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => ($en, $zh),)*
                }
            }
        }
    };
}

texts! {
    Title: "Nightly inspection", "夜间巡检";
    PageTitle: "{fleet}: {state}, inspection of {at}", "{fleet}:{state},{at} 巡检";
    Fleet: "Fleet", "机群";
    Language: "Language", "语言";
    Contents: "Contents", "目录";
    WordOk: "OK", "正常";
    WordWarn: "Warning", "警告";
    WordCrit: "Critical", "严重";
    WordUnknown: "Unknown", "未知";
    SaysOk: "all is well", "一切正常";
    SaysWarn: "something needs a look", "有问题需要关注";
    SaysCrit: "something needs a hand", "有问题需要处理";
    SaysUnknown: "not everything was seen", "部分情况未知";
    NoFindings: "No findings", "没有发现项";
    NoFindingsLong: "Every check that applied was read and is well.", "所有适用的检查项均已读取且正常。";
    JudgedAt: "Judged", "评定时间";
    Compared: "Compared with", "对比基线";
    FirstNight: "Nothing: this is the first inspection", "无:首次巡检";
    Score: "Health score", "健康分";
    ScoreOf: "{n} of 100", "{n} / 100";
    ScoreNights: "Score over {n} night{s}", "近 {n} 次巡检健康分";
    HostsSeen: "Hosts seen", "已覆盖主机";
    ChecksRun: "Checks judged", "已评定检查项";
    Judgements: "Judgements", "评定次数";
    OfWhichUnknown: "{n} unknown", "{n} 项未知";
    OfBuilt: "of {built} built, {checks} in the catalogue", "/ 已实现 {built} 项,目录共 {checks} 项";
    OfCatalogue: "{ran} of {built} built, {checks} in the catalogue", "已实现 {built} 项中的 {ran} 项,目录共 {checks} 项";
    Cost: "Cost", "巡检开销";
    CostOf: "{cpu} CPU, {bytes} read", "CPU {cpu},读取 {bytes}";
    Changes: "What changed", "变化";
    ChangesLong: "Against the last inspection: what got worse first.", "与上次巡检相比,恶化在前。";
    NothingChanged: "No finding is new, worse, better or gone.", "没有新增、恶化、好转或消除的发现项。";
    AsBefore: "{n} finding{s} as before", "{n} 项与上次相同";
    Happenings: "What happened meanwhile", "期间发生的事";
    NothingHappened: "Nothing was recorded.", "没有记录。";
    Between: "between the nights", "两次巡检之间";
    MustAct: "Must act", "限期处理";
    MustActLong: "By the earliest likely moment, from the trend of earlier nights.", "按历史趋势推算,以最早可能时刻为准。";
    NothingDue: "Nothing has a date.", "没有带期限的事项。";
    DueTonight: "Before the next night", "今晚之前";
    DueWeek: "This week", "本周内";
    DueMonth: "This month", "本月内";
    DueLater: "Later", "以后";
    Reaches: "reaches {limit}", "达到 {limit}";
    Likely: "likely {at}", "最可能 {at}";
    Latest: "at the latest {at}", "最迟 {at}";
    LatestNever: "by the slower trend never", "按较慢趋势不会达到";
    Earliest: "Earliest", "最早";
    NowPerDay: "{now} now, {per_day} a day, from {n} night{s}", "当前 {now},每天 {per_day},依据 {n} 晚";
    WaiverEnds: "the waiver of {check} ends", "{check} 的豁免到期";
    WaiverEnded: "the waiver of {check} has ended, what it covered counts again", "{check} 的豁免已过期,所涉发现项重新计入";
    WaiverUnused: "covers nothing any more", "已无匹配对象";
    Owner: "Owner", "负责人";
    Restart: "Restart-safe now?", "现在可以重启吗?";
    RestartLong: "By the rules of a rolling restart, one member at a time.", "按滚动重启规则逐个成员判断。";
    NoClusters: "No cluster was looked at.", "没有查看任何集群。";
    Safe: "safe", "安全";
    NotSafe: "not safe", "不安全";
    NotKnown: "unknown", "未知";
    LoseMember: "Can lose any one member", "可失去任一成员";
    LoseRack: "Can lose rack {rack}", "可失去机架 {rack}";
    Members: "{safe} of {n} safe", "{n} 个成员中 {safe} 个安全";
    Findings: "Findings", "发现项";
    FindingsLong: "By cause and check, the worst first. What follows from another finding is folded under it.", "按根因与检查项分组,最严重的在前;由其他发现项引起的折叠在其下。";
    Information: "Worth knowing", "提示";
    Filter: "Filter findings", "筛选发现项";
    FilterHint: "host, check, text", "主机、检查项、文字";
    OpenAll: "Open all", "全部展开";
    CloseAll: "Close all", "全部收起";
    Matches: "match", "匹配";
    Level: "Level", "级别";
    Objects: "{n} object{s}", "{n} 个对象";
    Object: "Object", "对象";
    Reading: "Reading", "读数";
    Limit: "Limit", "阈值";
    SetBy: "set by {layer}", "由{layer}设定";
    Since: "Since", "始于";
    Change: "Change", "变化";
    Evidence: "Evidence", "证据";
    Source: "Source", "来源";
    Trust: "confidence {level}", "可信度{level}";
    Note: "Note", "说明";
    Why: "Why it matters", "影响";
    Advice: "Advice", "处置建议";
    Fix: "Command", "命令";
    FixHint: "dry run; look at it before you run it", "演练;执行前请先确认";
    Explains: "explains {n} finding{s}", "引起 {n} 项";
    Follows: "Follows from this", "由此引起";
    CausedBy: "Cause", "根因";
    Recovering: "recovering", "恢复中";
    UnstableOf: "unstable: {changes} changes in {nights} nights", "抖动:{nights} 晚变化 {changes} 次";
    Acknowledged: "acknowledged by {who}", "{who} 已确认";
    Nights: "{n} night{s}: {low} to {high}", "{n} 晚:{low} 至 {high}";
    MoreObjects: "{n} more object{s}", "另有 {n} 个对象";
    MoreElsewhere: "{n} more are not shown here; the JSON and CSV forms have all", "另有 {n} 项未显示;JSON 与 CSV 报告包含全部";
    More: "{n} more", "另有 {n} 项";
    HeatMap: "Hosts and areas", "主机与领域";
    HeatLong: "Each cell has the worst state and how many findings have it.", "每格为最严重级别及其数量。";
    HeatWell: "{n} without anything that counts", "{n} 个没有计入的发现项";
    NotSeen: "not seen", "未覆盖";
    NotLookedAt: "not looked at", "未检查";
    ScoreArithmetic: "How the score is made", "健康分算法";
    ScoreLong: "100 less what each area took. It never hides what is critical: the verdict comes first.", "100 减去各领域扣分。健康分不会掩盖严重问题:以结论为先。";
    Area: "Area", "领域";
    Penalty: "Penalty", "应扣";
    Taken: "Taken", "实扣";
    Accepted: "Waived, expected, unknown", "豁免、预期与未知";
    AcceptedLong: "Accepted by a person or explained by a maintenance window: never silent, never counted.", "由人豁免或由维护窗口解释:不隐藏,不计入结论。";
    NothingAccepted: "Nothing is waived or expected.", "没有豁免或预期内的发现项。";
    UnknownAbove: "{n} unknown: they count, and stand among the findings", "{n} 项未知:计入结论,列于发现项";
    Anomalies: "Unusual", "异常";
    AnomaliesLong: "Far from normal, and within every limit: worth a look, not part of the verdict.", "偏离常态但未超阈值:值得关注,不计入结论。";
    Median: "Normal", "常态";
    Distance: "Distance", "偏离";
    AgainstHistory: "its own nights", "自身历史";
    AgainstPeers: "hosts of the same roles", "同角色主机";
    Appendix: "Coverage and cost", "覆盖率与开销";
    Missing: "Hosts that gave nothing", "未返回结果的主机";
    NoMissing: "Every expected host was seen.", "所有应巡检主机均已覆盖。";
    Skipped: "Does not apply", "不适用";
    Passed: "Found well", "正常的检查项";
    PassedOf: "{checks} checks on {n} object{s}", "{checks} 个检查项,{n} 个对象";
    CostByHost: "Cost on each host", "各主机开销";
    Host: "Host", "主机";
    CpuTime: "CPU time", "CPU 时间";
    BytesRead: "Read", "读取量";
    WallTime: "Duration", "耗时";
    Made: "Made by kfleet {version} from {schema}.", "由 kfleet {version} 根据 {schema} 生成。";
    TimesAre: "Times are in UTC.", "时间为 UTC。";
    TimesAreZone: "Times are in UTC, and in {zone}.", "时间为 UTC 与 {zone}。";
    New: "new", "新增";
    Worse: "worse", "恶化";
    Unchanged: "unchanged", "不变";
    Better: "better", "好转";
    Fixed: "fixed", "已消除";
    Gone: "gone", "对象消失";
    Unseen: "not seen this time", "本次未见";
    Config: "configuration", "配置";
    Package: "package", "软件包";
    File: "file", "文件";
    Restarted: "restart", "重启";
    Leadership: "leadership", "领导权";
    Topic: "topic", "主题";
    Acl: "ACL", "访问控制";
    Operation: "operation", "操作";
    High: "high", "高";
    Medium: "medium", "中";
    Low: "low", "低";
    BuiltIn: "the catalogue", "内置目录";
    LayerFleet: "the fleet", "机群";
    LayerCluster: "cluster {name}", "集群 {name} ";
    LayerRole: "role {name}", "角色 {name} ";
    LayerHostLabel: "host label {name}", "主机标签 {name} ";
    LayerTopicLabel: "topic label {name}", "主题标签 {name} ";
    LayerGroupLabel: "group label {name}", "消费者组标签 {name} ";
    Broker: "broker", "Broker";
    QuorumController: "controller", "控制器";
    ZooKeeperServer: "server", "服务器";
}

impl Text {
    /// The text of a name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|text| text.name() == name)
    }

    /// In one language.
    pub(super) fn say(self, language: Language) -> &'static str {
        match language {
            Language::English => self.both().0,
            Language::Chinese => self.both().1,
        }
    }

    /// In one language, filled in.
    pub(super) fn with(self, language: Language, values: &[(&str, &dyn std::fmt::Display)]) -> String {
        let values: Vec<(&str, String)> = values.iter().map(|(name, value)| (*name, value.to_string())).collect();
        fill(self.say(language), &values)
    }

    /// In both, filled in.
    pub(super) fn both_with(self, values: &[(&str, &dyn std::fmt::Display)]) -> Bilingual {
        Bilingual { en: self.with(Language::English, values), zh: self.with(Language::Chinese, values) }
    }
}

/// Fills `{name}` in, in one pass, so that a value with braces stays a value.
pub(super) fn fill(text: &str, values: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, (name, after))) = rest.split_once('{').and_then(|(b, r)| Some((b, r.split_once('}')?))) {
        out.push_str(before);
        let known = values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        let one = || values.iter().any(|(known, value)| *known == "n" && value == "1");
        match (known, name) {
            (Some(value), _) => out.push_str(value),
            (None, "s") => out.push_str(if one() { "" } else { "s" }),
            (None, _) => out.extend(["{", name, "}"]),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A text of the catalogue; Chinese that is missing there is English.
pub(super) fn pick(text: &Bilingual, language: Language) -> &str {
    match language {
        Language::Chinese if !text.zh.is_empty() => &text.zh,
        Language::Chinese | Language::English => &text.en,
    }
}

/// The name of a state.
pub(super) fn state(state: State, language: Language) -> &'static str {
    match language {
        Language::English => state.name(),
        Language::Chinese => state.name_zh(),
    }
}

/// What a verdict says.
pub(super) fn verdict(state: State) -> Text {
    match state {
        State::Ok | State::Skip | State::Info | State::Expected | State::Waived => Text::SaysOk,
        State::Unknown => Text::SaysUnknown,
        State::Warn => Text::SaysWarn,
        State::Crit => Text::SaysCrit,
    }
}

/// The word for a verdict, of four.
pub(super) fn verdict_word(state: State) -> Text {
    match state {
        State::Ok | State::Skip | State::Info | State::Expected | State::Waived => Text::WordOk,
        State::Unknown => Text::WordUnknown,
        State::Warn => Text::WordWarn,
        State::Crit => Text::WordCrit,
    }
}

/// The word of a change.
pub(super) fn change(change: Change) -> Text {
    match change {
        Change::New => Text::New,
        Change::Worse => Text::Worse,
        Change::Unchanged => Text::Unchanged,
        Change::Better => Text::Better,
        Change::Fixed => Text::Fixed,
        Change::Gone => Text::Gone,
        Change::Unseen => Text::Unseen,
    }
}

/// The word of a kind of happening.
pub(super) fn happening(kind: HappeningKind) -> Text {
    match kind {
        HappeningKind::Config => Text::Config,
        HappeningKind::Package => Text::Package,
        HappeningKind::File => Text::File,
        HappeningKind::Restart => Text::Restarted,
        HappeningKind::Leadership => Text::Leadership,
        HappeningKind::Topic => Text::Topic,
        HappeningKind::Acl => Text::Acl,
        HappeningKind::Operation => Text::Operation,
    }
}

/// The word of a confidence.
pub(super) fn confidence(confidence: Confidence) -> Text {
    match confidence {
        Confidence::High => Text::High,
        Confidence::Medium => Text::Medium,
        Confidence::Low => Text::Low,
    }
}

/// The word of a role.
pub(super) fn role(role: Role) -> Text {
    match role {
        Role::KafkaBroker => Text::Broker,
        Role::KraftController => Text::QuorumController,
        Role::Zookeeper => Text::ZooKeeperServer,
    }
}

/// The word of an answer.
pub(super) fn restartable(answer: &Restartable) -> Text {
    match answer {
        Restartable::Yes => Text::Safe,
        Restartable::No(_) => Text::NotSafe,
        Restartable::Unknown(_) => Text::NotKnown,
    }
}

/// What an anomaly is measured against.
pub(super) fn against(against: Against) -> Text {
    match against {
        Against::History => Text::AgainstHistory,
        Against::Peers => Text::AgainstPeers,
    }
}

/// How soon something must be done.
pub(super) fn due(due: Due) -> Text {
    match due {
        Due::Tonight => Text::DueTonight,
        Due::Week => Text::DueWeek,
        Due::Month => Text::DueMonth,
        Due::Later => Text::DueLater,
    }
}

/// What is to be said of a waiver.
pub(super) fn waiver(waiver: &WaiverNotice) -> Text {
    if waiver.expired { Text::WaiverEnded } else { Text::WaiverEnds }
}

/// Who set a threshold.
pub(super) fn layer(layer: &Layer) -> Bilingual {
    match layer {
        Layer::BuiltIn => Text::BuiltIn.both_with(&[]),
        Layer::Fleet => Text::LayerFleet.both_with(&[]),
        Layer::Cluster(name) => Text::LayerCluster.both_with(&[("name", name)]),
        Layer::Role(role) => Text::LayerRole.both_with(&[("name", &role.name())]),
        Layer::HostLabel(label) => Text::LayerHostLabel.both_with(&[("name", label)]),
        Layer::TopicLabel(label) => Text::LayerTopicLabel.both_with(&[("name", label)]),
        Layer::GroupLabel(label) => Text::LayerGroupLabel.both_with(&[("name", label)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Words that Chinese operators write as they are.
    const SAME: &[&str] = &["Broker"];

    fn names_in(text: &str) -> BTreeSet<String> {
        text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn every_text_stands_in_both_languages_and_fills_in_the_same_values() {
        for text in Text::ALL {
            let (en, zh) = text.both();
            assert!(!en.is_empty() && en.is_ascii(), "{text:?}: {en}");
            let chinese = zh.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
            let only_values = names_in(zh).len() == 1 && zh.starts_with('{');
            assert!(chinese || SAME.contains(&zh) || only_values, "{text:?}: {zh}");
            let mut wanted = names_in(en);
            wanted.remove("s");
            assert_eq!(names_in(zh), wanted, "{text:?}");
        }
    }

    #[test]
    fn every_text_is_used_by_a_form() {
        let sources = [
            include_str!("texts.rs").split_once("impl Text {\n    /// The text of a name").unwrap().1,
            include_str!("html.rs"),
            include_str!("html/view.rs"),
            include_str!("html/sections.rs"),
            include_str!("html/page.html"),
            include_str!("terminal.rs"),
            include_str!("markdown.rs"),
            include_str!("shape.rs"),
        ];
        for text in Text::ALL {
            let name = text.name();
            let used = sources.iter().any(|source| {
                [format!("Text::{name}"), format!("'{name}'")].iter().any(|word| {
                    source
                        .match_indices(word.as_str())
                        .any(|(at, _)| !source[at + word.len()..].starts_with(|c: char| c.is_alphanumeric()))
                })
            });
            assert!(used, "nothing says {name}");
        }
    }

    #[test]
    fn values_are_filled_in_once_and_plurals_agree() {
        assert_eq!(Text::Objects.with(Language::English, &[("n", &1)]), "1 object");
        assert_eq!(Text::Objects.with(Language::English, &[("n", &2)]), "2 objects");
        assert_eq!(Text::Objects.with(Language::Chinese, &[("n", &2)]), "2 个对象");
        let evil = "{layer}{n}";
        assert_eq!(Text::SetBy.with(Language::English, &[("layer", &evil)]), "set by {layer}{n}");
        assert_eq!(fill("a {unknown} b {", &[]), "a {unknown} b {");
    }
}
