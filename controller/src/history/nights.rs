//! The inspections: one document a night, what the next one needs of the last, and the numbers of every night.
//!
//! Documents are compressed, numbers are rows, so that 400 nights of a fleet stay small and a trend is one query.

use super::store::{Store, StoreError};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;
use kfleet_inspect::history::{History, Point};
use kfleet_inspect::{Inspection, Memory};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// How many nights are kept: a year and a month, so that a night has its neighbour of the year before.
pub const NIGHTS: i64 = 400;

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 86_400_000;

/// An inspection of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectionRecord {
    /// Its number, in the order of their ends.
    pub id: i64,
    /// When it was judged.
    pub at: Timestamp,
    /// Its verdict's name.
    pub verdict: String,
    /// Its score.
    pub points: u32,
    /// Hosts that were expected.
    pub hosts_expected: u32,
    /// Hosts that answered.
    pub hosts_seen: u32,
}

impl Store {
    /// Stores an inspection with its numbers, and forgets the nights that are too old. All of it or nothing.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn put_inspection(
        &self,
        inspection: &Inspection,
        numbers: &BTreeMap<String, Point>,
    ) -> Result<i64, StoreError> {
        let what = "store an inspection";
        let at = inspection.run.judged_at.as_millisecond();
        let memory = pack(what, &inspection.memory)?;
        // What the next night needs is kept once, not with every night.
        let document = pack(what, &Inspection { memory: Memory::default(), ..inspection.clone() })?;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.sql("begin"))?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO inspections (at, verdict, points, hosts_expected, hosts_seen, document) \
             VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(at)
        .bind(inspection.verdict.name())
        .bind(i64::from(inspection.score.points))
        .bind(i64::from(inspection.coverage.hosts_expected))
        .bind(i64::from(inspection.coverage.hosts_seen))
        .bind(document)
        .fetch_one(&mut *tx)
        .await
        .map_err(self.sql(what))?;
        sqlx::query("INSERT OR REPLACE INTO inspection_memory (one, inspection, document) VALUES (1, ?, ?)")
            .bind(id)
            .bind(memory)
            .execute(&mut *tx)
            .await
            .map_err(self.sql(what))?;
        for (name, point) in numbers {
            sqlx::query("INSERT INTO series (name) VALUES (?) ON CONFLICT DO NOTHING")
                .bind(name)
                .execute(&mut *tx)
                .await
                .map_err(self.sql(what))?;
            // Of several inspections in a day the largest number is the day's.
            sqlx::query(
                "INSERT INTO nights (series, day, at, value) SELECT id, ?2, ?3, ?4 FROM series WHERE name = ?1 \
                 ON CONFLICT (series, day) DO UPDATE SET at = excluded.at, value = excluded.value \
                 WHERE excluded.value > value",
            )
            .bind(name)
            .bind(point.at.as_millisecond().div_euclid(DAY_MS))
            .bind(point.at.as_millisecond())
            .bind(point.value)
            .execute(&mut *tx)
            .await
            .map_err(self.sql(what))?;
        }
        let oldest = (at.div_euclid(DAY_MS) - NIGHTS) * DAY_MS;
        let forget = "forget old nights";
        for (statement, bound) in [
            ("DELETE FROM inspections WHERE at < ?", oldest),
            ("DELETE FROM nights WHERE day < ?", oldest.div_euclid(DAY_MS)),
        ] {
            sqlx::query(statement).bind(bound).execute(&mut *tx).await.map_err(self.sql(forget))?;
        }
        tx.commit().await.map_err(self.sql("commit an inspection"))?;
        Ok(id)
    }

    /// The newest inspection, with what the next one needs.
    ///
    /// # Errors
    /// When the database refuses, or a document can not be read.
    pub async fn last_inspection(&self) -> Result<Option<Inspection>, StoreError> {
        let what = "read the last inspection";
        let row = sqlx::query(
            "SELECT i.document, m.document FROM inspection_memory m JOIN inspections i ON i.id = m.inspection",
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(self.sql(what))?;
        let Some(row) = row else { return Ok(None) };
        let inspection: Inspection = unpack(what, &row.get::<Vec<u8>, _>(0))?;
        let memory = unpack(what, &row.get::<Vec<u8>, _>(1))?;
        Ok(Some(Inspection { memory, ..inspection }))
    }

    /// One inspection, without what the next one needed.
    ///
    /// # Errors
    /// As [`Store::last_inspection`].
    pub async fn inspection(&self, id: i64) -> Result<Option<Inspection>, StoreError> {
        let what = "read an inspection";
        let document: Option<Vec<u8>> = sqlx::query_scalar("SELECT document FROM inspections WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(self.sql(what))?;
        document.map(|document| unpack(what, &document)).transpose()
    }

    /// The newest inspections first, at most `limit`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn inspections(&self, limit: u32) -> Result<Vec<InspectionRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, at, verdict, points, hosts_expected, hosts_seen FROM inspections ORDER BY id DESC LIMIT ?",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(self.sql("list inspections"))?;
        let count = |row: &sqlx::sqlite::SqliteRow, name| u32::try_from(row.get::<i64, _>(name)).unwrap_or(u32::MAX);
        let record = |row: &sqlx::sqlite::SqliteRow| InspectionRecord {
            id: row.get("id"),
            at: moment(row.get("at")),
            verdict: row.get("verdict"),
            points: count(row, "points"),
            hosts_expected: count(row, "hosts_expected"),
            hosts_seen: count(row, "hosts_seen"),
        };
        Ok(rows.iter().map(record).collect())
    }

    /// The numbers of the nights since a moment.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn numbers(&self, since: Timestamp) -> Result<History, StoreError> {
        let rows = sqlx::query(
            "SELECT s.name, n.at, n.value FROM nights n JOIN series s ON s.id = n.series \
             WHERE n.day >= ? ORDER BY n.series, n.day",
        )
        .bind(since.as_millisecond().div_euclid(DAY_MS))
        .fetch_all(&self.pool)
        .await
        .map_err(self.sql("read the numbers of nights"))?;
        let mut series: BTreeMap<String, Vec<Point>> = BTreeMap::new();
        for row in rows {
            let point = Point { at: moment(row.get(1)), value: row.get(2) };
            series.entry(row.get(0)).or_default().push(point);
        }
        Ok(History { series })
    }
}

pub(super) fn moment(unix_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(unix_ms).unwrap_or_default()
}

fn pack<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, StoreError> {
    let wrong = |source: std::io::Error| StoreError::Packed { what, source };
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let written = serde_json::to_writer(&mut encoder, value).map_err(std::io::Error::from);
    written.and_then(|()| encoder.flush()).and_then(|()| encoder.finish()).map_err(wrong)
}

fn unpack<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    let wrong = |source: std::io::Error| StoreError::Packed { what, source };
    let mut text = Vec::new();
    DeflateDecoder::new(bytes).read_to_end(&mut text).map_err(wrong)?;
    serde_json::from_slice(&text).map_err(|error| wrong(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use kfleet_inspect::history::numbers;
    use kfleet_inspect::{
        CATALOGUE, Datum, FleetReadings, HostReadings, InspectionFile, Layers, Night, Part, PartKind, Reading, judge,
    };
    use kfleet_model::{FleetName, HostName};

    fn readings(at: Timestamp, used: f64) -> FleetReadings {
        let part = Part::new(PartKind::Volume, "/data");
        let reading = Reading::new("disk.used", Datum::Float(used), "statvfs", at).at(part);
        FleetReadings {
            fleet: FleetName::new("prod").unwrap(),
            hosts: vec![HostReadings {
                host: HostName::new("kafka1").unwrap(),
                roles: Default::default(),
                clusters: Default::default(),
                labels: BTreeMap::new(),
                when: at,
                cost: Default::default(),
                readings: vec![reading],
            }],
            missing: Vec::new(),
            clusters: Vec::new(),
            readings: Vec::new(),
        }
    }

    async fn night(store: &Store, at: Timestamp, used: f64) -> Inspection {
        let readings = readings(at, used);
        let last = store.last_inspection().await.unwrap();
        let history = store.numbers(at - SignedDuration::from_hours(24 * 30)).await.unwrap();
        let inspection = judge(&Night {
            catalogue: &CATALOGUE,
            readings: &readings,
            layers: &Layers::new(&InspectionFile::default(), &CATALOGUE).unwrap(),
            waivers: &[],
            windows: &[],
            acknowledgements: &[],
            last: last.as_ref(),
            history: &history,
            now: at,
        });
        store.put_inspection(&inspection, &numbers(&readings)).await.unwrap();
        inspection
    }

    #[tokio::test]
    async fn nights_come_back_as_they_were_and_old_ones_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kfleet.db")).await.unwrap();
        assert_eq!(store.last_inspection().await.unwrap(), None);
        let day = SignedDuration::from_hours(24);
        let first: Timestamp = "2026-01-01T02:00:00Z".parse().unwrap();
        let mut last = None;
        for (nights, used) in [(0, 10.0), (1, 20.0), (NIGHTS, 30.0), (NIGHTS + 1, 40.0)] {
            last = Some(night(&store, first + day * i32::try_from(nights).unwrap(), used).await);
        }
        // A second look on the same day: the day keeps its largest number.
        let again = first + day * i32::try_from(NIGHTS + 1).unwrap() + SignedDuration::from_hours(1);
        let second = night(&store, again, 35.0).await;
        assert_eq!(store.last_inspection().await.unwrap().unwrap(), second);
        let listed = store.inspections(10).await.unwrap();
        assert_eq!(listed.len(), 4, "the first night is {NIGHTS} days before the last");
        let stored = store.inspection(listed[1].id).await.unwrap().unwrap();
        assert_eq!(stored.findings, last.unwrap().findings);
        assert_eq!(stored.memory, Memory::default(), "only the last night's memory is kept");
        let history = store.numbers(first).await.unwrap();
        let values: Vec<f64> =
            history.series["disk.used@host:kafka1/volume:/data"].iter().map(|point| point.value).collect();
        assert_eq!(values, [20.0, 30.0, 40.0]);
    }
}
