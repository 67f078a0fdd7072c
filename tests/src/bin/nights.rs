//! What many nights of a large fleet cost: makes readings of simulated hosts, has each night judged against the last, and
//! stores it as `kfleet inspect` does.
//!
//! `cargo run --release -p kfleet-tests --bin nights -- --hosts 100 --nights 400` prints one line every 50 nights and a
//! summary. Times are compared within the run: the last nights against the first.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use anyhow::{Context, Result, ensure};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use kfleet::history::Store;
use kfleet_inspect::history::numbers;
use kfleet_inspect::readings::{KEYS, Key};
use kfleet_inspect::{
    CATALOGUE, Counter, Datum, DatumKind, FleetReadings, HostReadings, InspectionFile, Layers, Night, OffsetSample,
    Part, Reading, Role, Scope, judge,
};
use kfleet_model::{ClusterName, FleetName, HostName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How far back a night looks, as an inspection does.
const HISTORY: SignedDuration = SignedDuration::from_hours(24 * 90);

/// One host in so many has trouble on a night.
const TROUBLED: u64 = 20;

#[derive(Debug, Parser)]
struct Args {
    /// Simulated hosts
    #[arg(long, default_value_t = 100)]
    hosts: u64,
    /// Nights
    #[arg(long, default_value_t = 400)]
    nights: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("kfleet.db");
    let store = Store::open(&path).await?;
    let layers = Layers::new(&InspectionFile::default(), &CATALOGUE).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let first: Timestamp = "2026-01-01T02:00:00Z".parse()?;
    let mut took: Vec<(Duration, Duration)> = Vec::new();
    let mut findings = 0;
    for night in 0..args.nights {
        let now = first + SignedDuration::from_hours(24 * i64::try_from(night)?);
        let readings = fleet(&args, night, now)?;
        let begun = Instant::now();
        let last = store.last_inspection().await?;
        let history = store.numbers(now - HISTORY).await?;
        let read = begun.elapsed();
        let inspection = judge(&Night {
            catalogue: &CATALOGUE,
            readings: &readings,
            layers: &layers,
            waivers: &[],
            windows: &[],
            acknowledgements: &[],
            last: last.as_ref(),
            history: &history,
            now,
        });
        store.put_inspection(&inspection, &numbers(&readings)).await?;
        findings = inspection.findings.len();
        ensure!(night == 0 || inspection.run.compared_with.is_some(), "night {night} was compared with nothing");
        took.push((begun.elapsed(), read));
        if (night + 1) % 50 == 0 {
            println!("{:>4} nights  {:>6.0} ms the last one", night + 1, begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let kept = store.inspections(u32::MAX).await?.len();
    store.close().await;
    let share = (took.len() / 10).max(1);
    let mean = |part: &[(Duration, Duration)]| {
        part.iter().map(|(all, _)| all.as_secs_f64()).sum::<f64>() * 1000.0
            / f64::from(u32::try_from(part.len()).unwrap_or(1))
    };
    let (early, late) = (mean(&took[..share]), mean(&took[took.len() - share..]));
    println!("hosts                     {}", args.hosts);
    println!("nights kept               {kept} of {}", args.nights);
    println!("findings of the last      {findings}");
    println!("a night, first tenth      {early:.0} ms to read the last one, judge, compare and store");
    println!("a night, last tenth       {late:.0} ms, {:.2} of the first", late / early);
    println!("database                  {:.1} MiB", megabytes(std::fs::metadata(&path)?.len()));
    println!("peak memory               {:.0} MiB", megabytes(peak_bytes()?));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

fn fleet(args: &Args, night: u64, at: Timestamp) -> Result<FleetReadings> {
    let hosts = (0..args.hosts).map(|host| host_readings(host, night, at)).collect::<Result<_>>()?;
    let fleet = FleetName::new("simulated")?;
    Ok(FleetReadings { fleet, hosts, missing: Vec::new(), clusters: Vec::new(), readings: Vec::new() })
}

fn host_readings(host: u64, night: u64, at: Timestamp) -> Result<HostReadings> {
    let keys = KEYS.iter().filter(|key| key.scope == Scope::Host);
    Ok(HostReadings {
        host: HostName::new(format!("kafka{host:03}"))?,
        roles: BTreeSet::from([Role::KafkaBroker]),
        clusters: BTreeSet::from([ClusterName::new(format!("cluster{}", host / 10))?]),
        labels: BTreeMap::new(),
        when: at,
        cost: Default::default(),
        readings: keys.map(|key| reading(key, host, night, at)).collect(),
    })
}

/// A number that is always the same for the same host, key and night.
fn noise(host: u64, key: &str, night: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ host.wrapping_mul(0x9e37_79b9) ^ night.wrapping_mul(0x85eb_ca6b);
    for byte in key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^ (hash >> 29)
}

fn reading(key: &Key, host: u64, night: u64, at: Timestamp) -> Reading {
    let noise = noise(host, key.key, night);
    let bad = noise.is_multiple_of(TROUBLED);
    // Small numbers are well for most checks; a troubled reading is far over every limit.
    let number = i64::try_from(if bad { 95 + noise % 5 } else { noise % 5 + night / 40 }).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let float = number as f64;
    let datum = match key.kind {
        DatumKind::Flag => Datum::Flag(bad),
        DatumKind::Int => Datum::Int(number),
        DatumKind::Float => Datum::Float(float),
        DatumKind::Text => Datum::Text(if bad { "always".to_owned() } else { "never".to_owned() }),
        DatumKind::Time => Datum::Time(at + SignedDuration::from_hours(24 * if bad { 3 } else { 300 })),
        DatumKind::List => Datum::List(if bad { vec!["thing.service".to_owned()] } else { Vec::new() }),
        DatumKind::Samples => Datum::Samples(vec![float; 3]),
        DatumKind::Counter => Datum::Counter(Counter { value: number, epoch: "boot".to_owned(), since: None }),
        DatumKind::Numbers => Datum::Numbers(BTreeMap::from([("0".to_owned(), number)])),
        DatumKind::Texts => Datum::Texts(BTreeMap::from([("vm.swappiness".to_owned(), number.to_string())])),
        DatumKind::Offsets => {
            let sample = OffsetSample { at, committed: Some(number), end: number };
            Datum::Offsets(BTreeMap::from([("0".to_owned(), vec![sample])]))
        }
    };
    let reading = Reading::new(key.key, datum, "simulated", at);
    match key.part {
        Some(part) => reading.at(Part::new(part, "/data")),
        None => reading,
    }
}
