//! The kernel's table of mounts, `/proc/self/mountinfo` (kernel, filesystems/proc, 3.5).

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountLine {
    /// Its device's numbers; the first is 0 where no block device is behind it.
    pub device: (u64, u64),
    /// Where it is mounted.
    pub dir: String,
    /// The options of the mount itself.
    pub options: Vec<String>,
    /// What kind of file system it is.
    pub kind: String,
    /// What is mounted.
    pub source: String,
    /// The options of the file system, which all its mounts have: `ro` among them when the kernel stopped writing to it.
    pub system: Vec<String>,
}

/// Reads the table; a line that is none is passed over.
#[must_use]
pub fn parse(text: &str) -> Vec<MountLine> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<MountLine> {
    let (mount, system) = line.split_once(" - ")?;
    let mount: Vec<&str> = mount.split(' ').collect();
    let mut system = system.split(' ');
    let (major, minor) = mount.get(2)?.split_once(':')?;
    Some(MountLine {
        device: (major.parse().ok()?, minor.parse().ok()?),
        dir: unescaped(mount.get(4)?),
        options: mount.get(5)?.split(',').map(str::to_owned).collect(),
        kind: system.next()?.to_owned(),
        source: unescaped(system.next()?),
        system: system.next().into_iter().flat_map(|options| options.split(',')).map(str::to_owned).collect(),
    })
}

/// Blanks and backslashes stand as octal numbers.
fn unescaped(field: &str) -> String {
    let (mut out, mut rest) = (String::new(), field);
    while let Some(at) = rest.find('\\') {
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push_str(&rest[..at]);
        match code.filter(u8::is_ascii) {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

/// The mount that a path lies in. Its device is asked first, since a link may lead elsewhere; of several mounts the
/// deepest counts, and the last of those in one place, which hides the others.
#[must_use]
pub fn of<'a>(mounts: &'a [MountLine], path: &str, device: Option<(u64, u64)>) -> Option<&'a MountLine> {
    let holds = |mount: &&MountLine| {
        let rest = path.strip_prefix(mount.dir.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let same = |mount: &&MountLine| device.is_some_and(|device| device.0 != 0 && mount.device == device);
    let deepest = |mount: &&MountLine| mount.dir.len();
    let by_both = mounts.iter().filter(same).filter(holds).max_by_key(deepest);
    by_both.or_else(|| mounts.iter().find(same)).or_else(|| mounts.iter().filter(holds).max_by_key(deepest))
}

impl MountLine {
    /// How it keeps access times.
    #[must_use]
    pub fn atime(&self) -> &'static str {
        let has = |word: &str| self.options.iter().any(|option| option == word);
        match (has("noatime"), has("relatime")) {
            (true, _) => "noatime",
            (false, true) => "relatime",
            (false, false) => "strictatime",
        }
    }

    /// Its options with another way to keep access times.
    #[must_use]
    pub fn with_atime(&self, word: &str) -> String {
        let kept = self
            .options
            .iter()
            .map(String::as_str)
            .filter(|option| !option.ends_with("atime") || *option == "nodiratime");
        kept.chain([word]).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 22 8:17 / /data rw,nosuid,nodev,relatime shared:2 master:1 - xfs /dev/sdb1 rw,attr2
31 30 253:0 / /data/kafka\\0402 rw,noatime,nodiratime - ext4 /dev/mapper/vg-kafka rw
32 22 0:30 / /tmp rw - tmpfs tmpfs rw,size=1g
broken
";

    #[test]
    fn a_path_lies_in_the_deepest_mount_or_on_the_device_that_it_says() {
        let mounts = parse(TABLE);
        assert_eq!(mounts.len(), 4);
        let cases = [
            ("/data/1", None, "/data"),
            ("/data/kafka 2/x", None, "/data/kafka 2"),
            ("/database", None, "/"),
            ("/tmp", None, "/tmp"),
            ("/srv/link", Some((8, 17)), "/data"),
            ("/data/1", Some((0, 99)), "/data"),
        ];
        for (path, device, dir) in cases {
            assert_eq!(of(&mounts, path, device).map(|mount| mount.dir.as_str()), Some(dir), "{path}");
        }
    }

    #[test]
    fn options_of_the_mount_and_of_its_file_system_are_told_apart() {
        let mounts = parse("30 22 8:17 / /data rw,noatime - ext4 /dev/sdb1 ro,errors=remount-ro\n");
        assert_eq!(
            (mounts[0].options.join(","), mounts[0].system.join(",")),
            ("rw,noatime".into(), "ro,errors=remount-ro".into())
        );
    }

    #[test]
    fn access_times_are_one_of_three_ways_and_the_other_options_stay() {
        let mounts = parse(TABLE);
        let ways: Vec<&str> = mounts.iter().map(MountLine::atime).collect();
        assert_eq!(ways, ["relatime", "relatime", "noatime", "strictatime"]);
        assert_eq!(mounts[1].with_atime("noatime"), "rw,nosuid,nodev,noatime");
        assert_eq!(mounts[2].with_atime("relatime"), "rw,nodiratime,relatime");
    }
}
