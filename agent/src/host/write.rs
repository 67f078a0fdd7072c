//! Files put in place as a whole: written beside the target under a name of their own, made durable, then renamed.
//!
//! The folder is opened once and everything happens through its handle, so a folder that is swapped on the way is
//! not written through. The last part of a path is never followed. A failure at any step leaves what was there.

use super::{Attributes, HostError};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstat, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, fsync, linkat, symlinkat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What every temporary file of the agent has in its name: an operator who finds one after a power cut knows whose
/// it is.
const MARK: &str = ".kfleet-";

/// The longest file name that Linux allows.
const NAME_MAX: usize = 255;

/// How many names are tried before something must be wrong: each has 64 random bits.
const NAME_TRIES: u32 = 16;

/// The mode of a new file before the umask, as `open` has it.
const NEW_FILE: u32 = 0o666;

pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Io { what, path, source }
}

fn errno(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> HostError {
    let path = path.to_owned();
    move |errno| HostError::Io { what, path, source: errno.into() }
}

/// A folder and the name of an entry in it.
struct Place<'a> {
    path: &'a Path,
    folder: OwnedFd,
    name: &'a OsStr,
}

impl<'a> Place<'a> {
    fn open(what: &'static str, path: &'a Path) -> Result<Self, HostError> {
        let name = path.file_name().ok_or_else(|| errno(what, path)(Errno::EINVAL))?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let folder = open(parent, flags, Mode::empty()).map_err(errno(what, path))?;
        Ok(Self { path, folder, name })
    }

    /// A free name beside the target. The file that gets it goes again unless it is kept.
    fn temporary<T>(&self, mut make: impl FnMut(&OsStr) -> Result<T, Errno>) -> Result<(T, Temporary<'_>), HostError> {
        for _ in 0..NAME_TRIES {
            let name = temporary_name(self.name);
            match make(&name) {
                Ok(made) => return Ok((made, Temporary { place: self, name, kept: false })),
                Err(Errno::EEXIST) => {}
                Err(error) => return Err(errno("make a temporary file beside", self.path)(error)),
            }
        }
        Err(errno("make a temporary file beside", self.path)(Errno::EEXIST))
    }

    fn sync(&self) -> Result<(), HostError> {
        fsync(&self.folder).map_err(errno("make durable the folder of", self.path))
    }
}

fn temporary_name(name: &OsStr) -> OsString {
    let random = std::hash::RandomState::new().build_hasher().finish();
    let tail = format!("{MARK}{random:016x}");
    let mut stem = name.to_string_lossy().into_owned();
    while stem.len() + tail.len() + 1 > NAME_MAX {
        stem.pop();
    }
    format!(".{stem}{tail}").into()
}

/// A temporary entry that is removed when it was not put in place.
struct Temporary<'a> {
    place: &'a Place<'a>,
    name: OsString,
    kept: bool,
}

impl Temporary<'_> {
    fn path(&self) -> PathBuf {
        self.place.path.with_file_name(&self.name)
    }

    fn put_in_place(mut self, what: &'static str) -> Result<(), HostError> {
        let place = self.place;
        renameat(&place.folder, self.name.as_os_str(), &place.folder, place.name).map_err(errno(what, place.path))?;
        self.kept = true;
        place.sync()
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = unlinkat(&self.place.folder, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir)
            && error != Errno::ENOENT
        {
            tracing::warn!(path = %self.path().display(), %error, "a temporary file could not be removed");
        }
    }
}

/// Makes or replaces a file. `fill` writes the content, `check` may look at the finished file and refuse it.
pub(super) fn replace(
    path: &Path,
    attributes: Attributes,
    fill: &mut dyn FnMut(&mut File) -> Result<(), HostError>,
    check: &mut dyn FnMut(&Path) -> Result<(), HostError>,
) -> Result<(), HostError> {
    const WHAT: &str = "replace";
    let place = Place::open(WHAT, path)?;
    let attributes = complete(&place, attributes)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let private = Mode::from_bits_truncate(0o600);
    let (fd, temporary) = place.temporary(|name| openat(&place.folder, name, flags, private))?;
    let mut file = File::from(fd);
    fchown(&file, attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw))
        .map_err(errno("set the owner of", path))?;
    if let Some(mode) = attributes.mode {
        fchmod(&file, Mode::from_bits_truncate(mode)).map_err(errno("set the mode of", path))?;
    }
    fill(&mut file)?;
    file.sync_all().map_err(io("make durable", path))?;
    drop(file);
    check(&temporary.path())?;
    temporary.put_in_place(WHAT)
}

/// Fills in what the caller left open from the file that is replaced, or from the defaults of a new one.
fn complete(place: &Place<'_>, wanted: Attributes) -> Result<Attributes, HostError> {
    let old = match fstatat(&place.folder, place.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(stat),
        Err(Errno::ENOENT) => None,
        Err(error) => return Err(errno("look at", place.path)(error)),
    };
    let old = old.filter(|stat| SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG);
    Ok(match old {
        Some(stat) => Attributes {
            mode: wanted.mode.or(Some(stat.st_mode & 0o7777)),
            uid: wanted.uid.or(Some(stat.st_uid)),
            gid: wanted.gid.or(Some(stat.st_gid)),
        },
        None => Attributes { mode: wanted.mode.or_else(|| Some(NEW_FILE & !umask())), ..wanted },
    })
}

/// The process's umask, read without changing it; 022 where the kernel does not tell.
pub(super) fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o022)
}

/// Makes or replaces a symbolic link.
pub(super) fn symlink(target: &Path, path: &Path) -> Result<(), HostError> {
    let place = Place::open("link", path)?;
    let ((), temporary) = place.temporary(|name| symlinkat(target, &place.folder, name))?;
    temporary.put_in_place("link")
}

/// Makes or replaces a hard link.
pub(super) fn hard_link(target: &Path, path: &Path) -> Result<(), HostError> {
    let place = Place::open("link", path)?;
    let ((), temporary) = place.temporary(|name| linkat(AT_FDCWD, target, &place.folder, name, AtFlags::empty()))?;
    let spare = temporary.name.clone();
    temporary.put_in_place("link")?;
    // Renaming one name of a file onto another name of the same file does nothing and leaves both.
    match unlinkat(&place.folder, spare.as_os_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(errno("tidy up beside", path)(error)),
    }
}

/// Removes a file, a link or a folder with all that is in it.
pub(super) fn remove(path: &Path) -> Result<(), HostError> {
    const WHAT: &str = "remove";
    let place = match Place::open(WHAT, path) {
        Err(HostError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let gone = match unlinkat(&place.folder, place.name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR | Errno::EPERM) => std::fs::remove_dir_all(path),
        other => other.map_err(Into::into),
    };
    match gone {
        Ok(()) => place.sync(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(WHAT, path)(error)),
    }
}

/// Sets owner, group and mode through a handle, so that what was looked at is what is changed.
pub(super) fn set_attributes(path: &Path, attributes: Attributes, follow: bool) -> Result<(), HostError> {
    let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    if !follow {
        flags |= OFlag::O_NOFOLLOW;
    }
    let fd = open(path, flags, Mode::empty()).map_err(errno("look at", path))?;
    if attributes.uid.is_some() || attributes.gid.is_some() {
        let (uid, gid) = (attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw));
        fchownat(&fd, "", uid, gid, AtFlags::AT_EMPTY_PATH).map_err(errno("set the owner of", path))?;
    }
    let Some(mode) = attributes.mode else { return Ok(()) };
    let stat = fstat(&fd).map_err(errno("look at", path))?;
    if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFLNK {
        // A link has no mode of its own on Linux.
        return Ok(());
    }
    let through = format!("/proc/self/fd/{}", fd.as_raw_fd());
    fchmodat(AT_FDCWD, through.as_str(), Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)
        .map_err(errno("set the mode of", path))
}

/// Makes a folder and its missing parents, then sets what is given on the last one.
pub(super) fn make_dir(path: &Path, attributes: Attributes) -> Result<(), HostError> {
    std::fs::create_dir_all(path).map_err(io("create the directory", path))?;
    set_attributes(path, attributes, false)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            File::open(parent).and_then(|folder| folder.sync_all()).map_err(io("make durable the folder of", path))
        }
        _ => Ok(()),
    }
}

/// Sets a value of the kernel. The length is cut first, which a kernel's file does not mind, and an ordinary file that is
/// mounted over one needs.
pub(super) fn set_kernel_value(path: &Path, value: &[u8]) -> Result<(), HostError> {
    const WHAT: &str = "set the kernel's";
    let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(path).map_err(io(WHAT, path))?;
    let written = file.write(value).map_err(io(WHAT, path))?;
    if written < value.len() {
        return Err(io(WHAT, path)(std::io::ErrorKind::WriteZero.into()));
    }
    Ok(())
}

/// Sets both times to now.
pub(super) fn touch(path: &Path) -> Result<(), HostError> {
    let now = TimeSpec::UTIME_NOW;
    utimensat(AT_FDCWD, path, &now, &now, UtimensatFlags::NoFollowSymlink).map_err(errno("set the times of", path))
}

/// How much is copied between two looks at whether it is still wanted: some ten milliseconds' work.
const PIECE: u64 = 16 * 1024 * 1024;

/// Copies all of a file, within the kernel where that can be. `each` is asked before each piece.
pub(super) fn copy(
    source: &Path,
    to: &mut File,
    target: &Path,
    each: &mut dyn FnMut() -> Result<(), HostError>,
) -> Result<(), HostError> {
    let mut from = File::open(source).map_err(io("read", source))?;
    loop {
        each()?;
        // The kernel does not say which of the two files a failure was of.
        if std::io::copy(&mut (&mut from).take(PIECE), to).map_err(io("write", target))? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn put(path: &Path, text: &str, attributes: Attributes) -> Result<(), HostError> {
        replace(path, attributes, &mut |file| file.write_all(text.as_bytes()).map_err(io("write", path)), &mut |_| {
            Ok(())
        })
    }

    #[test]
    fn a_new_file_gets_the_default_mode_and_a_replaced_one_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        put(&path, "one", Attributes::default()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o666 & !umask());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        put(&path, "two", Attributes::default()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        put(&path, "three", Attributes { mode: Some(0o4711), ..Attributes::default() }).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o4711);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(entries(folder.path()), ["a"]);
    }

    #[test]
    fn owner_and_mode_are_set_before_the_content_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let (uid, gid) = if Uid::effective().is_root() { (4321, 4322) } else { (Uid::current().into(), 0) };
        let gid = if Uid::effective().is_root() { gid } else { Gid::current().as_raw() };
        let mut seen = None;
        let wanted = Attributes { mode: Some(0o440), uid: Some(uid), gid: Some(gid) };
        replace(
            &path,
            wanted,
            &mut |file| {
                let meta = file.metadata().unwrap();
                seen = Some((meta.uid(), meta.gid(), meta.mode() & 0o7777));
                Ok(())
            },
            &mut |_| Ok(()),
        )
        .unwrap();
        assert_eq!(seen, Some((uid, gid, 0o440)));
    }

    #[test]
    fn a_failure_while_writing_or_checking_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        put(&path, "old", Attributes::default()).unwrap();
        let broken = || io("write", &path)(std::io::Error::other("disk full"));
        let filled = replace(&path, Attributes::default(), &mut |_| Err(broken()), &mut |_| Ok(()));
        assert!(filled.is_err());
        let mut seen = String::new();
        let checked = replace(
            &path,
            Attributes::default(),
            &mut |file| file.write_all(b"new").map_err(io("write", &path)),
            &mut |temporary| {
                seen = std::fs::read_to_string(temporary).unwrap();
                Err(broken())
            },
        );
        assert!(checked.is_err());
        assert_eq!(seen, "new", "the check sees the finished file");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(entries(folder.path()), ["a"]);
    }

    #[test]
    fn a_kernel_value_is_written_in_place_and_never_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        assert!(set_kernel_value(&path, b"1\n").is_err(), "a value that is not there was made");
        std::fs::write(&path, "a longer value\n").unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        set_kernel_value(&path, b"1\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode, "the file was replaced");
    }

    #[test]
    fn a_link_is_replaced_and_what_it_points_at_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        put(&link, "theirs", Attributes::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
    }

    #[test]
    fn many_writers_of_one_file_leave_one_whole_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::thread::scope(|scope| {
            for n in 0..8u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        put(path, &char::from(b'a' + n).to_string().repeat(5000), Attributes::default()).unwrap();
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), 5000);
        assert!(text.bytes().all(|b| b == text.as_bytes()[0]));
        assert_eq!(entries(folder.path()), ["a"]);
    }

    #[test]
    fn links_are_made_and_replaced_and_leave_nothing_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("one"), "1").unwrap();
        std::fs::write(at("two"), "2").unwrap();
        symlink(Path::new("one"), &at("soft")).unwrap();
        symlink(Path::new("two"), &at("soft")).unwrap();
        assert_eq!(std::fs::read_to_string(at("soft")).unwrap(), "2");
        hard_link(&at("one"), &at("hard")).unwrap();
        hard_link(&at("one"), &at("hard")).unwrap();
        hard_link(&at("two"), &at("hard")).unwrap();
        assert_eq!(std::fs::metadata(at("hard")).unwrap().ino(), std::fs::metadata(at("two")).unwrap().ino());
        assert_eq!(entries(folder.path()), ["hard", "one", "soft", "two"]);
    }

    #[test]
    fn removing_takes_whole_folders_never_what_a_link_points_at_and_does_not_mind_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("deep/er")).unwrap();
        std::fs::create_dir(at("kept")).unwrap();
        std::fs::write(at("kept/file"), "").unwrap();
        std::os::unix::fs::symlink(at("kept"), at("link")).unwrap();
        for name in ["deep", "link", "gone", "gone/deeper"] {
            remove(&at(name)).unwrap();
        }
        assert_eq!(entries(folder.path()), ["kept"]);
        assert_eq!(entries(&at("kept")), ["file"]);
    }

    #[test]
    fn the_mode_of_a_links_target_is_left_alone_unless_following_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let wanted = Attributes { mode: Some(0o755), ..Attributes::default() };
        set_attributes(&link, wanted, false).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        set_attributes(&link, wanted, true).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_very_long_name_still_gets_a_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n".repeat(NAME_MAX));
        put(&path, "x", Attributes::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x");
    }
}
