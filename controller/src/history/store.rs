//! The tables and their queries.

use kfleet_model::event::{Event, RunEnd};
use kfleet_model::{HostName, OpEnd, RunId};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqliteConnection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("failed to {what} in the run store {}", path.display())]
    Sql {
        /// What was tried.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// The cause.
        source: sqlx::Error,
    },
    /// The directory for it could not be made.
    #[error("failed to make the directory {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A stored document is not what this version writes.
    #[error("a stored {what} of run {run} can not be read")]
    Format {
        /// Which kind.
        what: &'static str,
        /// Of which run.
        run: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// A stored document of an inspection can not be packed or read.
    #[error("failed to {what} in the run store: its document is damaged")]
    Packed {
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// The database was written by a newer kfleet.
    #[error("the run store {} has format {found}, this kfleet knows up to {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
}

/// The format of the database; a change adds a step to [`MIGRATIONS`].
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE runs (
        run_id TEXT PRIMARY KEY, command TEXT NOT NULL, what TEXT NOT NULL, request TEXT NOT NULL,
        plan_hash TEXT NOT NULL, owner TEXT NOT NULL, check_mode INTEGER NOT NULL, started TEXT NOT NULL,
        ended TEXT, end TEXT, resumes INTEGER NOT NULL DEFAULT 0, pid INTEGER NOT NULL, pid_started INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX runs_started ON runs (started);
    CREATE TABLE files (run_id TEXT NOT NULL, path TEXT NOT NULL, content BLOB NOT NULL,
        PRIMARY KEY (run_id, path)) STRICT, WITHOUT ROWID;
    CREATE TABLE events (run_id TEXT NOT NULL, seq INTEGER NOT NULL, event TEXT NOT NULL,
        PRIMARY KEY (run_id, seq)) STRICT, WITHOUT ROWID;
    CREATE TABLE ops (run_id TEXT NOT NULL, host TEXT NOT NULL, op_key TEXT NOT NULL, attempt INTEGER NOT NULL,
        end TEXT NOT NULL, PRIMARY KEY (run_id, host, op_key)) STRICT, WITHOUT ROWID;
    CREATE TABLE steps (run_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (run_id, key)) STRICT, WITHOUT ROWID;
    CREATE TABLE leases (cluster TEXT PRIMARY KEY, generation INTEGER NOT NULL, run_id TEXT, owner TEXT) STRICT;
",
    "
    CREATE TABLE inspections (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, verdict TEXT NOT NULL,
        points INTEGER NOT NULL, hosts_expected INTEGER NOT NULL, hosts_seen INTEGER NOT NULL,
        document BLOB NOT NULL) STRICT;
    CREATE INDEX inspections_at ON inspections (at);
    CREATE TABLE inspection_memory (one INTEGER PRIMARY KEY CHECK (one = 1), inspection INTEGER NOT NULL,
        document BLOB NOT NULL) STRICT;
    CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE nights (series INTEGER NOT NULL, day INTEGER NOT NULL, at INTEGER NOT NULL, value REAL NOT NULL,
        PRIMARY KEY (series, day)) STRICT, WITHOUT ROWID;
    CREATE INDEX nights_day ON nights (day);
",
    "
    CREATE TABLE schedules (name TEXT PRIMARY KEY, rule TEXT NOT NULL, settled INTEGER NOT NULL) STRICT;
    CREATE TABLE schedule_runs (name TEXT NOT NULL, cause TEXT NOT NULL, occurrence INTEGER NOT NULL, started INTEGER,
        ended INTEGER, outcome TEXT, detail TEXT NOT NULL, pid INTEGER NOT NULL, pid_started INTEGER NOT NULL,
        PRIMARY KEY (name, cause, occurrence)) STRICT, WITHOUT ROWID;
    CREATE INDEX schedule_runs_open ON schedule_runs (name) WHERE outcome IS NULL;
",
    "
    CREATE TABLE notices (channel TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, told TEXT NOT NULL,
        PRIMARY KEY (channel, key)) STRICT, WITHOUT ROWID;
    CREATE TABLE deliveries (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, channel TEXT NOT NULL, target TEXT NOT NULL,
        key TEXT NOT NULL, title TEXT NOT NULL, tries INTEGER NOT NULL, status INTEGER, raw TEXT NOT NULL,
        outcome TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
    CREATE INDEX deliveries_at ON deliveries (at);
",
];

/// A run as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its id.
    pub run_id: RunId,
    /// The subcommand: `run`, `exec`, `roll restart`.
    pub command: String,
    /// The playbook or the ad-hoc command, for people.
    pub what: String,
    /// Everything that is needed to start it again, as JSON; the command's own.
    pub request: String,
    /// The plan's hash.
    pub plan_hash: String,
    /// Who started it.
    pub owner: String,
    /// Check mode.
    pub check: bool,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// When it ended; none while it runs, or after its controller died.
    pub ended: Option<String>,
    /// How it ended.
    pub end: Option<RunEnd>,
    /// How often it was taken up again.
    pub resumes: u32,
    /// The controller's process, and when that process started (clock ticks after the boot), to tell whether it
    /// still lives.
    pub pid: u32,
    /// See `pid`.
    pub pid_started: u64,
}

/// An op's outcome as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct OpRecord {
    /// The host that it ran on.
    pub host: HostName,
    /// The op's id without the attempt.
    pub op_key: String,
    /// Which attempt.
    pub attempt: u32,
    /// How it ended.
    pub end: OpEnd,
}

/// The run store.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) pool: SqlitePool,
    path: PathBuf,
}

impl Store {
    /// Opens the database, and makes it or brings it to this version's format when needed.
    ///
    /// # Errors
    /// When the file can not be used or is of a newer version.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|source| StoreError::Io { path: dir.to_owned(), source })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(10));
        let sql = |source| StoreError::Sql { what: "open the database", path: path.to_owned(), source };
        let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.map_err(sql)?;
        let store = Self { pool, path: path.to_owned() };
        store.migrate().await?;
        Ok(store)
    }

    pub(super) fn sql(&self, what: &'static str) -> impl Fn(sqlx::Error) -> StoreError + '_ {
        move |source| StoreError::Sql { what, path: self.path.clone(), source }
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let what = "read the format";
        let found: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&self.pool).await.map_err(self.sql(what))?;
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        if found > known {
            return Err(StoreError::Newer { path: self.path.clone(), found, known });
        }
        for (step, text) in (0_i64..).zip(MIGRATIONS).filter(|(step, _)| *step >= found) {
            let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.sql("begin"))?;
            // Another controller may have done this step while we waited for the lock.
            let now: i64 =
                sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await.map_err(self.sql(what))?;
            if now > step {
                continue;
            }
            sqlx::raw_sql(*text).execute(&mut *tx).await.map_err(self.sql("bring up the format"))?;
            let version = format!("PRAGMA user_version = {}", step + 1);
            sqlx::raw_sql(sqlx::AssertSqlSafe(version)).execute(&mut *tx).await.map_err(self.sql("set the format"))?;
            tx.commit().await.map_err(self.sql("commit the format"))?;
        }
        Ok(())
    }

    /// Stores a new run with the files that it was made of.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn create_run(&self, run: &RunRecord, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await.map_err(self.sql("begin"))?;
        sqlx::query(
            "INSERT INTO runs (run_id, command, what, request, plan_hash, owner, check_mode, started, pid, pid_started)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(run.run_id.as_str())
        .bind(&run.command)
        .bind(&run.what)
        .bind(&run.request)
        .bind(&run.plan_hash)
        .bind(&run.owner)
        .bind(run.check)
        .bind(&run.started)
        .bind(i64::from(run.pid))
        .bind(i64::try_from(run.pid_started).unwrap_or(i64::MAX))
        .execute(&mut *tx)
        .await
        .map_err(self.sql("store the run"))?;
        for (path, content) in files {
            sqlx::query("INSERT OR REPLACE INTO files (run_id, path, content) VALUES (?, ?, ?)")
                .bind(run.run_id.as_str())
                .bind(path.to_string_lossy().as_ref())
                .bind(content.as_slice())
                .execute(&mut *tx)
                .await
                .map_err(self.sql("store a file of the run"))?;
        }
        tx.commit().await.map_err(self.sql("commit the run"))
    }

    /// Takes a run up again: counts the resume and names the process that now has it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn reopen_run(&self, run: &RunId, pid: u32, pid_started: u64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE runs SET resumes = resumes + 1, ended = NULL, end = NULL, pid = ?, pid_started = ? WHERE run_id = ?",
        )
        .bind(i64::from(pid))
        .bind(i64::try_from(pid_started).unwrap_or(i64::MAX))
        .bind(run.as_str())
        .execute(&self.pool)
        .await
        .map_err(self.sql("take up the run"))?;
        Ok(())
    }

    /// The files of a run as they were when it was made.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn run_files(&self, run: &RunId) -> Result<BTreeMap<PathBuf, Vec<u8>>, StoreError> {
        let rows = sqlx::query("SELECT path, content FROM files WHERE run_id = ?")
            .bind(run.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("read the files of the run"))?;
        Ok(rows.into_iter().map(|row| (PathBuf::from(row.get::<String, _>(0)), row.get::<Vec<u8>, _>(1))).collect())
    }

    /// Stores events and outcomes in one transaction; the end of the run closes it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn append(&self, run: &RunId, events: &[Event], ops: &[OpRecord]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await.map_err(self.sql("begin"))?;
        for event in events {
            self.append_event(&mut tx, event).await?;
        }
        for op in ops {
            let end = encode("outcome", run, &op.end)?;
            sqlx::query("INSERT OR REPLACE INTO ops (run_id, host, op_key, attempt, end) VALUES (?, ?, ?, ?, ?)")
                .bind(run.as_str())
                .bind(op.host.as_str())
                .bind(&op.op_key)
                .bind(i64::from(op.attempt))
                .bind(end)
                .execute(&mut *tx)
                .await
                .map_err(self.sql("store an outcome"))?;
        }
        tx.commit().await.map_err(self.sql("commit events"))
    }

    async fn append_event(&self, tx: &mut SqliteConnection, event: &Event) -> Result<(), StoreError> {
        let text = encode("event", &event.run, event)?;
        sqlx::query("INSERT OR REPLACE INTO events (run_id, seq, event) VALUES (?, ?, ?)")
            .bind(event.run.as_str())
            .bind(i64::try_from(event.seq).unwrap_or(i64::MAX))
            .bind(text)
            .execute(&mut *tx)
            .await
            .map_err(self.sql("store an event"))?;
        if let kfleet_model::event::EventKind::RunEnded { end, .. } = &event.kind {
            sqlx::query("UPDATE runs SET ended = ?, end = ? WHERE run_id = ?")
                .bind(&event.time)
                .bind(encode("end", &event.run, end)?)
                .bind(event.run.as_str())
                .execute(&mut *tx)
                .await
                .map_err(self.sql("end the run"))?;
        }
        Ok(())
    }

    /// All events of a run in their order, from a number on.
    ///
    /// # Errors
    /// When the database refuses or an event is not readable.
    pub async fn events(&self, run: &RunId, from: u64) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query("SELECT event FROM events WHERE run_id = ? AND seq >= ? ORDER BY seq")
            .bind(run.as_str())
            .bind(i64::try_from(from).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("read events"))?;
        rows.iter().map(|row| decode("event", run.as_str(), &row.get::<String, _>(0))).collect()
    }

    /// All outcomes of a run, by host and op key.
    ///
    /// # Errors
    /// When the database refuses or an outcome is not readable.
    pub async fn ops(&self, run: &RunId) -> Result<Vec<OpRecord>, StoreError> {
        let rows = sqlx::query("SELECT host, op_key, attempt, end FROM ops WHERE run_id = ?")
            .bind(run.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("read outcomes"))?;
        let mut out = Vec::with_capacity(rows.len());
        for row in rows {
            let Ok(host) = HostName::new(row.get::<String, _>(0)) else { continue };
            out.push(OpRecord {
                host,
                op_key: row.get(1),
                attempt: u32::try_from(row.get::<i64, _>(2)).unwrap_or(1),
                end: decode("outcome", run.as_str(), &row.get::<String, _>(3))?,
            });
        }
        Ok(out)
    }

    /// Stores a step of a roll and waits until it is on disk.
    ///
    /// # Errors
    /// When the database refuses; then the step must not be acted on.
    pub async fn put_step(&self, run: &RunId, key: &str, value: &str) -> Result<(), StoreError> {
        let what = "store a step";
        let mut connection = self.pool.acquire().await.map_err(self.sql(what))?;
        // In WAL mode NORMAL does not sync at a commit; a step is intent and must be there after a power cut.
        sqlx::raw_sql("PRAGMA synchronous = FULL").execute(&mut *connection).await.map_err(self.sql(what))?;
        let stored = sqlx::query("INSERT OR REPLACE INTO steps (run_id, key, value) VALUES (?, ?, ?)")
            .bind(run.as_str())
            .bind(key)
            .bind(value)
            .execute(&mut *connection)
            .await
            .map_err(self.sql(what));
        sqlx::raw_sql("PRAGMA synchronous = NORMAL").execute(&mut *connection).await.map_err(self.sql(what))?;
        stored.map(|_| ())
    }

    /// A step of a roll.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn step(&self, run: &RunId, key: &str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT value FROM steps WHERE run_id = ? AND key = ?")
            .bind(run.as_str())
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(self.sql("read a step"))
    }

    /// The newest runs first, at most `limit`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM runs ORDER BY started DESC, run_id DESC LIMIT ?")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("list runs"))?;
        rows.iter().map(run_of).collect()
    }

    /// The runs whose id begins with this text, the newest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn find_runs(&self, prefix: &str) -> Result<Vec<RunRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM runs WHERE substr(run_id, 1, length(?1)) = ?1 ORDER BY started DESC")
            .bind(prefix)
            .fetch_all(&self.pool)
            .await
            .map_err(self.sql("find runs"))?;
        rows.iter().map(run_of).collect()
    }

    /// Takes the lease of a cluster for a run: a generation higher than any before, unless another run that still
    /// lives holds it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn take_lease(
        &self,
        cluster: &str,
        run: &RunId,
        owner: &str,
        lives: impl Fn(&RunRecord) -> bool,
    ) -> Result<Result<u64, RunRecord>, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.sql("begin"))?;
        let row = sqlx::query("SELECT generation, run_id FROM leases WHERE cluster = ?")
            .bind(cluster)
            .fetch_optional(&mut *tx)
            .await
            .map_err(self.sql("read the lease"))?;
        let mut generation = 0;
        if let Some(row) = row {
            generation = row.get::<i64, _>(0);
            let holder: Option<String> = row.get(1);
            if let Some(holder) = holder.filter(|holder| holder != run.as_str()) {
                let held = sqlx::query("SELECT * FROM runs WHERE run_id = ?")
                    .bind(holder)
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(self.sql("read the holder"))?;
                if let Some(held) = held.as_ref().map(run_of).transpose()?
                    && held.ended.is_none()
                    && lives(&held)
                {
                    return Ok(Err(held));
                }
            }
        }
        sqlx::query("INSERT OR REPLACE INTO leases (cluster, generation, run_id, owner) VALUES (?, ?, ?, ?)")
            .bind(cluster)
            .bind(generation + 1)
            .bind(run.as_str())
            .bind(owner)
            .execute(&mut *tx)
            .await
            .map_err(self.sql("take the lease"))?;
        tx.commit().await.map_err(self.sql("commit the lease"))?;
        Ok(Ok(u64::try_from(generation + 1).unwrap_or(1)))
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn release_lease(&self, cluster: &str, run: &RunId) -> Result<(), StoreError> {
        sqlx::query("UPDATE leases SET run_id = NULL, owner = NULL WHERE cluster = ? AND run_id = ?")
            .bind(cluster)
            .bind(run.as_str())
            .execute(&self.pool)
            .await
            .map_err(self.sql("release the lease"))?;
        Ok(())
    }

    /// Writes everything out and closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn encode<T: serde::Serialize>(what: &'static str, run: &RunId, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Format { what, run: run.to_string(), source })
}

fn decode<T: serde::de::DeserializeOwned>(what: &'static str, run: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Format { what, run: run.to_owned(), source })
}

fn run_of(row: &sqlx::sqlite::SqliteRow) -> Result<RunRecord, StoreError> {
    let run_id: String = row.get("run_id");
    let end: Option<String> = row.get("end");
    Ok(RunRecord {
        end: end.map(|text| decode("end", &run_id, &text)).transpose()?,
        run_id: RunId::new(run_id).map_err(|error| StoreError::Format {
            what: "id",
            run: error.text.clone(),
            source: serde::de::Error::custom(error),
        })?,
        command: row.get("command"),
        what: row.get("what"),
        request: row.get("request"),
        plan_hash: row.get("plan_hash"),
        owner: row.get("owner"),
        check: row.get("check_mode"),
        started: row.get("started"),
        ended: row.get("ended"),
        resumes: u32::try_from(row.get::<i64, _>("resumes")).unwrap_or(u32::MAX),
        pid: u32::try_from(row.get::<i64, _>("pid")).unwrap_or(0),
        pid_started: u64::try_from(row.get::<i64, _>("pid_started")).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kfleet_model::TaskResult;
    use kfleet_model::event::EventKind;

    fn run(id: &str) -> RunRecord {
        RunRecord {
            run_id: RunId::new(id).unwrap(),
            command: "run".into(),
            what: "site.yml".into(),
            request: "{}".into(),
            plan_hash: "abc".into(),
            owner: "me".into(),
            check: false,
            started: format!("2026-01-01T00:00:0{}Z", id.len()),
            ended: None,
            end: None,
            resumes: 0,
            pid: 1,
            pid_started: 2,
        }
    }

    #[tokio::test]
    async fn a_run_comes_back_with_files_events_outcomes_and_steps_after_the_store_was_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/kfleet.db");
        let record = run("r1");
        let files: BTreeMap<PathBuf, Vec<u8>> = [(PathBuf::from("site.yml"), b"- hosts: all".to_vec())].into();
        let ended = Event {
            run: record.run_id.clone(),
            seq: 1,
            time: "2026-01-01T00:01:00Z".into(),
            kind: EventKind::RunEnded { end: RunEnd::FailedSafe, hosts: BTreeMap::new(), elapsed_ms: 5 },
        };
        let warning = Event { seq: 0, kind: EventKind::Warning { text: "w".into() }, ..ended.clone() };
        let op = OpRecord {
            host: HostName::new("kafka1").unwrap(),
            op_key: "0.1".into(),
            attempt: 2,
            end: OpEnd::Done { result: TaskResult::default() },
        };
        {
            let store = Store::open(&path).await.unwrap();
            store.create_run(&record, &files).await.unwrap();
            store.append(&record.run_id, &[warning.clone(), ended.clone()], std::slice::from_ref(&op)).await.unwrap();
            store.put_step(&record.run_id, "roll.0", "{\"a\":1}").await.unwrap();
            store.close().await;
        }
        let store = Store::open(&path).await.unwrap();
        let found = &store.find_runs("r").await.unwrap()[0];
        assert_eq!((found.end, found.ended.as_deref()), (Some(RunEnd::FailedSafe), Some("2026-01-01T00:01:00Z")));
        assert_eq!(store.run_files(&record.run_id).await.unwrap(), files);
        assert_eq!(store.events(&record.run_id, 0).await.unwrap(), [warning, ended]);
        assert_eq!(store.ops(&record.run_id).await.unwrap(), [op]);
        assert_eq!(store.step(&record.run_id, "roll.0").await.unwrap().as_deref(), Some("{\"a\":1}"));
        store.reopen_run(&record.run_id, 7, 8).await.unwrap();
        let again = &store.runs(5).await.unwrap()[0];
        assert_eq!((again.resumes, again.pid, again.end), (1, 7, None));
    }

    #[tokio::test]
    async fn a_lease_is_refused_while_its_holder_lives_and_its_generation_only_grows() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("k.db")).await.unwrap();
        for id in ["r1", "r22"] {
            store.create_run(&run(id), &BTreeMap::new()).await.unwrap();
        }
        let (one, other) = (RunId::new("r1").unwrap(), RunId::new("r22").unwrap());
        assert_eq!(store.take_lease("kafka", &one, "me", |_| true).await.unwrap().unwrap(), 1);
        let holder = store.take_lease("kafka", &other, "you", |_| true).await.unwrap().unwrap_err();
        assert_eq!(holder.run_id, one);
        assert_eq!(store.take_lease("kafka", &other, "you", |_| false).await.unwrap().unwrap(), 2);
        store.release_lease("kafka", &other).await.unwrap();
        assert_eq!(store.take_lease("kafka", &one, "me", |_| true).await.unwrap().unwrap(), 3);
    }
}
