use super::*;
use crate::report::inspection::samples;

fn names(groups: &[Group<'_>]) -> Vec<String> {
    groups.iter().map(|group| format!("{} {} {}", group.state.name(), group.lead.check, group.size())).collect()
}

#[test]
fn findings_fold_under_their_cause_and_the_worst_and_largest_group_is_first() {
    let sample = samples::bad_night();
    let groups = groups(&sample.inspection, Place::Counts);
    assert_eq!(
        names(&groups)[..4],
        ["crit disk.errors 11", "crit disk.space 4", "crit disk.fill_eta 1", "warn os.thp 5"]
    );
    assert_eq!((groups[0].rows.len(), groups[0].rows[0].followers.len()), (1, 10));
    let thp: Vec<String> = groups[3].rows.iter().map(|row| row.finding.object.to_string()).collect();
    assert_eq!(thp, ["host:kafka-3", "host:kafka-6", "host:kafka-7", "host:kafka-10", "host:kafka-12"]);
}

#[test]
fn every_finding_stands_in_exactly_one_place() {
    for sample in samples::all() {
        let places = [Place::Counts, Place::Info, Place::Accepted];
        let sizes = places.map(|place| groups(&sample.inspection, place).iter().map(Group::size).sum::<usize>());
        assert_eq!(sizes.iter().sum::<usize>(), sample.inspection.findings.len(), "{}", sample.name);
    }
}

#[test]
fn a_chain_ends_at_its_root_and_a_circle_or_an_accepted_cause_hides_nothing() {
    let mut sample = samples::bad_night();
    let follow = |sample: &mut samples::Sample, from: &str, to: &str| {
        let cause = sample.inspection.findings.iter().find(|f| f.check.as_str() == to).unwrap().subject();
        let one = sample.inspection.findings.iter_mut().find(|f| f.check.as_str() == from).unwrap();
        one.cause = Some(cause);
    };
    // The failed directory follows from the device's errors: what follows from the directory stands under the device.
    follow(&mut sample, "topic.under_min_isr", "disk.logdir_offline");
    let found = groups(&sample.inspection, Place::Counts);
    assert_eq!(found[0].rows[0].followers.len(), 10);
    // Two that point at each other: both stay in sight.
    follow(&mut sample, "jvm.gc_share", "net.retrans");
    follow(&mut sample, "net.retrans", "jvm.gc_share");
    // A cause that somebody has waived explains nothing away.
    follow(&mut sample, "sec.cert_expiry", "sysctl.swappiness");
    let found = groups(&sample.inspection, Place::Counts);
    for check in ["jvm.gc_share", "net.retrans", "sec.cert_expiry"] {
        assert!(found.iter().any(|group| group.lead.check.as_str() == check), "{check} is hidden");
    }
}

#[test]
fn what_changed_is_told_new_and_worse_first_and_never_what_did_not() {
    let sample = samples::bad_night();
    let changed = changed(&sample.inspection);
    let order: Vec<Change> = changed.iter().map(|one| one.change).collect();
    let rank = |change: &Change| worry(*change);
    assert!(order.is_sorted_by_key(rank) && !order.contains(&Change::Unchanged), "{order:?}");
    assert_eq!((order.first(), order.last()), (Some(&Change::New), Some(&Change::Gone)));
    assert_eq!(changed[0].state, State::Crit);
}

#[test]
fn what_is_due_is_due_by_its_earliest_moment() {
    let sample = samples::bad_night();
    let due: Vec<Due> = deadlines(&sample.inspection).iter().map(|(due, _)| *due).collect();
    assert_eq!(due, [Due::Tonight, Due::Week, Due::Week, Due::Month, Due::Later]);
    let now = samples::night();
    for (hours, wanted) in
        [(-5, Due::Tonight), (23, Due::Tonight), (24, Due::Week), (168, Due::Month), (720, Due::Later)]
    {
        assert_eq!(Due::of(now + SignedDuration::from_hours(hours), now), wanted, "{hours} h");
    }
}

#[test]
fn the_map_has_missing_hosts_first_and_folds_away_who_is_well() {
    let heat_of = |sample: &samples::Sample| heat(&sample.inspection);
    let healthy = heat_of(&samples::healthy());
    assert!(healthy.rows.is_empty());
    assert_eq!(healthy.well.len(), 16, "15 hosts and the cluster that was skipped");
    assert_eq!(healthy.well[1..3], ["kafka-2", "kafka-3"], "{:?}", healthy.well);
    let half = heat_of(&samples::half_missing());
    assert!(half.rows[..7].iter().all(|row| row.missing.is_some()));
    let bad = heat_of(&samples::bad_night());
    let disk = bad.areas.iter().position(|(prefix, _)| prefix == "disk").unwrap();
    assert_eq!((bad.rows[0].name.as_str(), bad.rows[0].cells[disk]), ("kafka-2", Some((State::Crit, 2))));
}

#[test]
fn names_stand_as_people_count() {
    let mut names = ["kafka-10", "kafka-2", "zk-1", "kafka-1", "10", "9"];
    names.sort_by_cached_key(|name| natural(name));
    assert_eq!(names, ["kafka-1", "kafka-2", "kafka-10", "zk-1", "9", "10"]);
}
