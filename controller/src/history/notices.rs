//! What channels were told, and what became of each message.

use super::nights::{DAY_MS, NIGHTS, moment};
use super::store::{Store, StoreError};
use crate::notify::send::{Delivery, Outcome};
use crate::notify::{DedupKey, Sent};
use sqlx::Row;

impl Store {
    /// What every channel was told last of everything.
    ///
    /// # Errors
    /// When the database refuses, or a record can not be read.
    pub async fn notices(&self) -> Result<Vec<Sent>, StoreError> {
        let what = "read what channels were told";
        let rows = sqlx::query("SELECT channel, key, at, told FROM notices")
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql(what))?;
        let sent = |row: &sqlx::sqlite::SqliteRow| {
            let told: String = row.get("told");
            let told = serde_json::from_str(&told);
            Ok(Sent {
                channel: row.get("channel"),
                key: DedupKey::stored(row.get::<String, _>("key")),
                at: moment(row.get("at")),
                told: told.map_err(|error| StoreError::Packed { what, source: error.into() })?,
            })
        };
        rows.iter().map(sent).collect()
    }

    /// Records what channels know now; the latest of each channel and key is kept.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn put_notices(&self, sent: &[Sent]) -> Result<(), StoreError> {
        let what = "store what channels were told";
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.sql("begin"))?;
        for one in sent {
            let told = serde_json::to_string(&one.told);
            let told = told.map_err(|error| StoreError::Packed { what, source: error.into() })?;
            sqlx::query("INSERT OR REPLACE INTO notices (channel, key, at, told) VALUES (?, ?, ?, ?)")
                .bind(&one.channel)
                .bind(one.key.as_str())
                .bind(one.at.as_millisecond())
                .bind(told)
                .execute(&mut *tx)
                .await
                .map_err(self.sql(what))?;
        }
        tx.commit().await.map_err(self.sql("commit what channels were told"))
    }

    /// Records what became of a message; those that are as old as the oldest night are forgotten.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn put_delivery(&self, delivery: &Delivery) -> Result<(), StoreError> {
        let what = "store what became of a message";
        let (outcome, detail) = match &delivery.outcome {
            Outcome::Delivered => ("delivered", ""),
            Outcome::Refused { why, .. } => ("refused", why.as_str()),
            Outcome::Exhausted { why } => ("exhausted", why.as_str()),
            Outcome::Unknown { why } => ("unknown", why.as_str()),
        };
        let at = delivery.at.as_millisecond();
        sqlx::query(
            "INSERT INTO deliveries (at, channel, target, key, title, tries, status, raw, outcome, detail) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(at)
        .bind(&delivery.channel)
        .bind(&delivery.target)
        .bind(delivery.key.as_str())
        .bind(&delivery.title)
        .bind(i64::from(delivery.tries))
        .bind(delivery.status.map(i64::from))
        .bind(&delivery.raw)
        .bind(outcome)
        .bind(detail)
        .execute(&self.pool)
        .await
        .map_err(self.sql(what))?;
        sqlx::query("DELETE FROM deliveries WHERE at < ?")
            .bind(at - NIGHTS * DAY_MS)
            .execute(&self.pool)
            .await
            .map_err(self.sql("forget old messages"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Told;
    use kfleet_inspect::State;
    use kfleet_model::FleetName;

    #[tokio::test]
    async fn the_latest_of_each_channel_and_key_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kfleet.db")).await.unwrap();
        let fleet = FleetName::new("prod").unwrap();
        let sent = |channel: &str, ms, told| Sent {
            channel: channel.to_owned(),
            key: DedupKey::new(&fleet, "disk.space@host:a"),
            at: moment(ms),
            told,
        };
        let first = [sent("ops", 1, Told::Open(State::Warn)), sent("dba", 1, Told::Open(State::Warn))];
        store.put_notices(&first).await.unwrap();
        store.put_notices(&[sent("ops", 2, Told::Resolved)]).await.unwrap();
        let mut found = store.notices().await.unwrap();
        found.sort_by(|a, b| a.channel.cmp(&b.channel));
        assert_eq!(found, [first[1].clone(), sent("ops", 2, Told::Resolved)]);
    }
}
