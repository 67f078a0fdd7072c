//! The cache of files, by the SHA-256 of their content.
//!
//! Purpose: a file travels to a host once; a transfer that was cut goes on where it stopped; a name promises a content.
//! Place in the flow: `service` fills it, modules copy from it.
//! Shape: `cache/sha256/ab/ab12...` for whole files, `cache/partial/ab12...` for others. A file gets its place among the whole
//! ones only after its hash was computed from what was received.
//! A cached file is not synced: it is synced where it ends up, and the cache can be filled again. So this process trusts
//! a whole file that it has hashed itself, on arrival or when it first meets it, for as long as nobody has changed it.
//! Not here: where files end up on the host.

use super::error::StateError;
use super::files;
use super::record::hex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A file that was asked for or used within this time is not removed to make room: the op that needs it may be on its way.
const FRESH: Duration = Duration::from_secs(3600);

/// A partial file that nobody went on with for so long is removed.
const PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);

/// A SHA-256 in lower-case hex; nothing else ever becomes a file name here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobId(String);

impl BlobId {
    /// Checks the text.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (text.len() == 64 && is_hex).then(|| Self(text.to_owned()))
    }
}

/// How much of a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Have {
    /// All of it, with its size.
    Whole(u64),
    /// So many bytes from its beginning, perhaps none.
    Part(u64),
}

/// Why a transfer can not go on.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The state directory failed.
    #[error("failed to {}", super::error::chain(.0))]
    State(#[from] StateError),
    /// The file is larger than the cache may ever be.
    #[error("a file of {bytes} bytes is larger than the agent's cache ({limit} bytes, cache_bytes in agent.toml)")]
    TooLarge {
        /// The file's size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Everything in the cache is in use.
    #[error("the agent's cache is full of files that are in use ({used} of {limit} bytes); try again later")]
    Busy {
        /// What is used.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// A piece does not begin where the last one ended.
    #[error("a piece begins at byte {given}, and {wanted} is next")]
    Offset {
        /// Where it begins.
        given: u64,
        /// Where it should.
        wanted: u64,
    },
    /// A piece's checksum is wrong.
    #[error("the piece at byte {offset} was changed on its way: its checksum is wrong")]
    Checksum {
        /// Where it begins.
        offset: u64,
    },
    /// The content is not what its name says.
    #[error(
        "the content has SHA-256 {found} and was announced as {wanted}; the file may have changed while it was sent"
    )]
    Content {
        /// The hash of what came.
        found: String,
        /// The announced one.
        wanted: String,
    },
    /// The stream ended early.
    #[error("the transfer ended at byte {have} of {total}; go on from there")]
    Short {
        /// What came.
        have: u64,
        /// What was announced.
        total: u64,
    },
    /// A later transfer of the same file took over.
    #[error("another transfer of the same file has taken over")]
    TakenOver,
}

/// The cache. Its calls block.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    limit: u64,
    /// Which transfer of a file is the newest: a connection that died unnoticed must not keep its successor out.
    transfers: Mutex<HashMap<BlobId, u64>>,
    /// The whole files whose content this process has hashed.
    proven: Mutex<HashMap<BlobId, Stamp>>,
}

/// One state of one file: whoever writes to it changes the time of its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self { inode: meta.ino(), size: meta.len(), changed: (meta.ctime(), meta.ctime_nsec()) })
    }
}

impl Cache {
    /// Opens the cache under a state directory.
    ///
    /// # Errors
    /// When its folders can not be made.
    pub fn open(state_dir: &Path, limit: u64) -> Result<Self, StateError> {
        let dir = state_dir.join("cache");
        files::make_private_dir(&dir.join("sha256"))?;
        files::make_private_dir(&dir.join("partial"))?;
        Ok(Self { dir, limit, transfers: Mutex::default(), proven: Mutex::default() })
    }

    fn transfers(&self) -> MutexGuard<'_, HashMap<BlobId, u64>> {
        self.transfers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whole(&self, id: &BlobId) -> PathBuf {
        self.dir.join("sha256").join(&id.0[..2]).join(&id.0)
    }

    fn partial(&self, id: &BlobId) -> PathBuf {
        self.dir.join("partial").join(&id.0)
    }

    fn proven(&self) -> MutexGuard<'_, HashMap<BlobId, Stamp>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a whole file lies that holds what its name says. Asking for it keeps it for a while.
    #[must_use]
    pub fn path(&self, sha256: &str) -> Option<PathBuf> {
        let id = BlobId::new(sha256)?;
        let path = self.whole(&id);
        // A file that can not be opened or read is not there.
        let mut file = File::open(&path).ok()?;
        let stamp = Stamp::of(&file).ok()?;
        if self.proven().get(&id) != Some(&stamp) {
            let mut hash = Sha256::new();
            hash_file(&mut file, &mut hash).ok()?;
            if hex(&hash.finalize()) != id.0 {
                tracing::warn!(path = %path.display(), "a cached file was damaged and is removed");
                files::remove(&path).ok()?;
                return None;
            }
        }
        // Its time of modification is its time of use.
        file.set_modified(SystemTime::now()).ok()?;
        self.trust(&id, &file).ok()?;
        Some(path)
    }

    /// Remembers that a file has the right content as it is now.
    fn trust(&self, id: &BlobId, file: &File) -> std::io::Result<()> {
        let stamp = Stamp::of(file)?;
        self.proven().insert(id.clone(), stamp);
        Ok(())
    }

    /// How much of a file is there. Asking for it keeps it for a while.
    #[must_use]
    pub fn have(&self, id: &BlobId) -> Have {
        if let Some(size) = self.path(&id.0).and_then(|path| path.metadata().ok()).map(|meta| meta.len()) {
            return Have::Whole(size);
        }
        Have::Part(self.partial(id).metadata().map_or(0, |meta| meta.len()))
    }

    /// Begins a transfer, or goes on with one, and takes over from an earlier one of the same file.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn receive(self: &Arc<Self>, id: BlobId, total: u64) -> Result<Transfer, BlobError> {
        self.make_room(total)?;
        let number = {
            let mut transfers = self.transfers();
            let number = transfers.entry(id.clone()).or_default();
            *number += 1;
            *number
        };
        let path = self.partial(&id);
        let file = files::private().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(StateError::io("open", &path))?;
        let mut have = file.metadata().map_err(StateError::io("look at", &path))?.len();
        if have > total {
            file.set_len(0).map_err(StateError::io("empty", &path))?;
            have = 0;
        }
        let mut hash = Sha256::new();
        hash_file(&mut file, &mut hash).map_err(StateError::io("read", &path))?;
        Ok(Transfer { cache: self.clone(), id, number, path, file, hash, have, total })
    }

    /// Removes unused files, least recently used first, until the new one fits.
    fn make_room(&self, bytes: u64) -> Result<(), BlobError> {
        if bytes > self.limit {
            return Err(BlobError::TooLarge { bytes, limit: self.limit });
        }
        let mut files = self.list()?;
        let mut used: u64 = files.iter().map(|(_, size, _)| size).sum();
        files.sort_by_key(|(time, ..)| *time);
        let now = SystemTime::now();
        for (time, size, path) in files {
            let age = now.duration_since(time).unwrap_or_default();
            let left_over = path.starts_with(self.dir.join("partial")) && age > PARTIAL_AGE;
            if !left_over && (used + bytes <= self.limit || age < FRESH) {
                continue;
            }
            files::remove(&path).map_err(StateError::io("remove", &path))?;
            if let Some(id) = path.file_name().and_then(|name| BlobId::new(&name.to_string_lossy())) {
                self.proven().remove(&id);
            }
            used -= size;
        }
        if used + bytes > self.limit {
            return Err(BlobError::Busy { used, limit: self.limit });
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<(SystemTime, u64, PathBuf)>, StateError> {
        let mut folders = vec![self.dir.join("partial")];
        let whole = self.dir.join("sha256");
        for folder in std::fs::read_dir(&whole).map_err(StateError::io("list", &whole))? {
            folders.push(folder.map_err(StateError::io("list", &whole))?.path());
        }
        let mut out = Vec::new();
        for folder in folders {
            for file in std::fs::read_dir(&folder).map_err(StateError::io("list", &folder))? {
                let file = file.map_err(StateError::io("list", &folder))?;
                let meta = file.metadata().map_err(StateError::io("look at", file.path()))?;
                out.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), file.path()));
            }
        }
        Ok(out)
    }
}

fn hash_file(file: &mut File, hash: &mut Sha256) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// One transfer under way. Dropping it keeps what came.
#[derive(Debug)]
pub struct Transfer {
    cache: Arc<Cache>,
    id: BlobId,
    number: u64,
    path: PathBuf,
    file: File,
    hash: Sha256,
    have: u64,
    total: u64,
}

impl Transfer {
    /// How much is there, so where the next piece must begin.
    #[must_use]
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Takes a piece. The first may begin before what is there: the sender may not have known of all of it.
    ///
    /// # Errors
    /// When it does not follow, was damaged, or the disk does not take it.
    pub fn write(&mut self, offset: u64, data: &[u8], crc32: u32) -> Result<(), BlobError> {
        if self.cache.transfers().get(&self.id) != Some(&self.number) {
            return Err(BlobError::TakenOver);
        }
        if crc32fast::hash(data) != crc32 {
            return Err(BlobError::Checksum { offset });
        }
        let known = self.have.checked_sub(offset).and_then(|known| usize::try_from(known).ok());
        let Some(known) = known else { return Err(BlobError::Offset { given: offset, wanted: self.have }) };
        let data = &data[known.min(data.len())..];
        if self.have + data.len() as u64 > self.total {
            return Err(BlobError::Offset { given: self.have + data.len() as u64, wanted: self.total });
        }
        self.file.write_all_at(data, self.have).map_err(StateError::io("write", &self.path))?;
        self.hash.update(data);
        self.have += data.len() as u64;
        Ok(())
    }

    /// Checks the whole content and puts the file in its place; gives its size.
    ///
    /// # Errors
    /// When something is missing or the content is another; what is wrong is removed, what is only short stays.
    pub fn finish(self) -> Result<u64, BlobError> {
        if self.have < self.total {
            return Err(BlobError::Short { have: self.have, total: self.total });
        }
        let found = hex(&self.hash.finalize());
        if found != self.id.0 {
            files::remove(&self.path).map_err(StateError::io("remove", &self.path))?;
            return Err(BlobError::Content { found, wanted: self.id.0 });
        }
        let place = self.cache.whole(&self.id);
        let folder = place.parent().unwrap_or(&self.cache.dir).to_owned();
        files::make_private_dir(&folder)?;
        std::fs::rename(&self.path, &place).map_err(StateError::io("put in place", &place))?;
        // After the rename, which changes the inode's time.
        self.cache.trust(&self.id, &self.file).map_err(StateError::io("look at", &place))?;
        let mut transfers = self.cache.transfers();
        if transfers.get(&self.id) == Some(&self.number) {
            transfers.remove(&self.id);
        }
        Ok(self.have)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(limit: u64) -> (tempfile::TempDir, Arc<Cache>) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(dir.path(), limit).unwrap());
        (dir, cache)
    }

    fn id_of(content: &[u8]) -> BlobId {
        BlobId::new(&hex(&Sha256::digest(content))).unwrap()
    }

    fn send(transfer: &mut Transfer, content: &[u8], from: usize, to: usize) -> Result<(), BlobError> {
        for (n, piece) in content[from..to].chunks(7).enumerate() {
            transfer.write((from + n * 7) as u64, piece, crc32fast::hash(piece))?;
        }
        Ok(())
    }

    #[test]
    fn names_that_are_no_hash_are_refused() {
        let good = "a".repeat(64);
        assert!(BlobId::new(&good).is_some());
        for bad in ["", "../../etc/passwd", &"A".repeat(64), &"a".repeat(63), &format!("{}/", "a".repeat(63))] {
            assert!(BlobId::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_transfer_that_is_cut_anywhere_goes_on_and_ends_right() {
        let content: Vec<u8> = (0..200u8).collect();
        let id = id_of(&content);
        for cut in 0..content.len() {
            let (_dir, cache) = cache(1000);
            let mut first = cache.receive(id.clone(), 200).unwrap();
            send(&mut first, &content, 0, cut).unwrap();
            assert!(matches!(first.finish(), Err(BlobError::Short { .. })));
            assert_eq!(cache.have(&id), Have::Part(cut as u64));
            assert_eq!(cache.path(&id.0), None, "half a file is no file");
            let mut second = cache.receive(id.clone(), 200).unwrap();
            let from = usize::try_from(second.have()).unwrap();
            send(&mut second, &content, from, 200).unwrap();
            assert_eq!(second.finish().unwrap(), 200);
            assert_eq!(cache.have(&id), Have::Whole(200));
            assert_eq!(std::fs::read(cache.path(&id.0).unwrap()).unwrap(), content);
        }
    }

    #[test]
    fn wrong_pieces_and_wrong_content_are_refused() {
        let (_dir, cache) = cache(1000);
        let id = id_of(b"hello");
        let mut transfer = cache.receive(id.clone(), 5).unwrap();
        assert!(matches!(transfer.write(0, b"he", 1), Err(BlobError::Checksum { offset: 0 })));
        assert!(matches!(transfer.write(2, b"l", crc32fast::hash(b"l")), Err(BlobError::Offset { .. })));
        let longer = b"hello!";
        assert!(transfer.write(0, longer, crc32fast::hash(longer)).is_err());
        transfer.write(0, b"jello", crc32fast::hash(b"jello")).unwrap();
        assert!(matches!(transfer.finish(), Err(BlobError::Content { .. })));
        assert_eq!(cache.have(&id), Have::Part(0), "wrong content does not stay");
    }

    #[test]
    fn the_newer_transfer_of_a_file_takes_over() {
        let (_dir, cache) = cache(1000);
        let id = id_of(b"hello");
        let mut old = cache.receive(id.clone(), 5).unwrap();
        old.write(0, b"he", crc32fast::hash(b"he")).unwrap();
        let mut new = cache.receive(id.clone(), 5).unwrap();
        assert!(matches!(old.write(2, b"l", crc32fast::hash(b"l")), Err(BlobError::TakenOver)));
        assert_eq!(new.have(), 2);
        new.write(0, b"hello", crc32fast::hash(b"hello")).unwrap();
        new.finish().unwrap();
        assert_eq!(cache.have(&id), Have::Whole(5));
    }

    #[test]
    fn a_file_that_was_damaged_is_not_there_and_can_be_sent_again() {
        let content = b"what it says";
        let id = id_of(content);
        let put = |cache: &Arc<Cache>| {
            let mut transfer = cache.receive(id.clone(), content.len() as u64).unwrap();
            send(&mut transfer, content, 0, content.len()).unwrap();
            transfer.finish().unwrap();
        };
        // By this process' eyes, and by those of one that finds the file: a crash may have left less than was written.
        for fresh in [false, true] {
            let (dir, first) = cache(1000);
            put(&first);
            assert!(first.path(&id.0).is_some());
            std::fs::write(first.whole(&id), b"what it").unwrap();
            let cache = if fresh { Arc::new(Cache::open(dir.path(), 1000).unwrap()) } else { first };
            assert_eq!(cache.have(&id), Have::Part(0), "fresh: {fresh}");
            assert_eq!(cache.path(&id.0), None);
            put(&cache);
            assert_eq!(cache.have(&id), Have::Whole(content.len() as u64));
        }
    }

    #[test]
    fn a_file_is_hashed_once_and_trusted_until_it_is_changed() {
        let content = b"trusted";
        let id = id_of(content);
        let (dir, first) = cache(1000);
        let mut transfer = first.receive(id.clone(), 7).unwrap();
        send(&mut transfer, content, 0, 7).unwrap();
        transfer.finish().unwrap();
        for cache in [first, Arc::new(Cache::open(dir.path(), 1000).unwrap())] {
            for _ in 0..3 {
                let path = cache.path(&id.0).unwrap();
                let stamp = Stamp::of(&File::open(path).unwrap()).unwrap();
                assert_eq!(cache.proven().get(&id), Some(&stamp));
            }
        }
    }

    #[test]
    fn room_is_made_from_what_was_not_used_for_long() {
        let (_dir, cache) = cache(100);
        let put = |content: &[u8]| -> Result<u64, BlobError> {
            let mut transfer = cache.receive(id_of(content), content.len() as u64)?;
            transfer.write(0, content, crc32fast::hash(content))?;
            transfer.finish()
        };
        let age = |content: &[u8], hours: u64| {
            let file = File::open(cache.whole(&id_of(content))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        };
        let (a, b, c) = ([1; 40], [2; 40], [3; 40]);
        put(&a).unwrap();
        put(&b).unwrap();
        assert!(matches!(put(&c), Err(BlobError::Busy { .. })), "files that were just used stay");
        age(&a, 2);
        age(&b, 3);
        put(&c).unwrap();
        assert_eq!(cache.have(&id_of(&b)), Have::Part(0), "the oldest goes");
        assert!(!cache.proven().contains_key(&id_of(&b)), "and is forgotten");
        assert_eq!(cache.have(&id_of(&a)), Have::Whole(40), "and no more than needed");
        assert!(matches!(put(&[0; 101]), Err(BlobError::TooLarge { .. })));
    }
}
