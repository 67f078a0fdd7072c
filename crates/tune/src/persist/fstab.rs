//! `/etc/fstab`: the options of a mount, and lines of swap. Everything else of the file is kept to the byte.

use std::ops::Range;

/// The file.
pub const PATH: &str = "/etc/fstab";

/// What is put before a line of swap that is taken out.
const OUT: &str = "#kfleet-os_tune# ";

/// Options of which a mount has one.
const ATIME: [&str; 5] = ["noatime", "relatime", "norelatime", "strictatime", "atime"];

/// A line that is an entry.
struct Entry {
    fields: Vec<Range<usize>>,
}

impl Entry {
    fn of(line: &str) -> Option<Self> {
        if line.trim_start().starts_with('#') {
            return None;
        }
        let mut fields = Vec::new();
        let mut at = 0;
        while let Some(start) = line[at..].find(|c: char| !c.is_whitespace()).map(|n| at + n) {
            let end = line[start..].find(char::is_whitespace).map_or(line.len(), |n| start + n);
            fields.push(start..end);
            at = end;
        }
        (fields.len() >= 3).then_some(Self { fields })
    }

    fn field<'a>(&self, line: &'a str, n: usize) -> &'a str {
        self.fields.get(n).map_or("", |range| &line[range.clone()])
    }
}

/// Blanks and backslashes in a path stand as octal numbers.
fn escaped(path: &str) -> String {
    path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011")
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n')
}

/// How the file says that a mount keeps access times, by the kernel's default where it says nothing; none when the mount
/// is not in it.
#[must_use]
pub fn atime(text: &str, dir: &str) -> Option<String> {
    let dir = escaped(dir);
    let line = lines(text).find(|line| Entry::of(line).is_some_and(|entry| entry.field(line, 1) == dir))?;
    let entry = Entry::of(line)?;
    let said = entry.field(line, 3).split(',').rfind(|option| ATIME.contains(option));
    Some(match said {
        Some(word @ ("noatime" | "strictatime")) => word.to_owned(),
        Some(_) | None => "relatime".to_owned(),
    })
}

/// The file with another way for a mount to keep access times.
#[must_use]
pub fn with_atime(text: &str, dir: &str, word: &str) -> String {
    let dir = escaped(dir);
    let edit = |line: &str| match Entry::of(line) {
        Some(entry) if entry.field(line, 1) == dir => {
            let old = entry.field(line, 3);
            let kept = old.split(',').filter(|option| !option.is_empty() && !ATIME.contains(option));
            let new = kept.chain([word]).collect::<Vec<_>>().join(",");
            match entry.fields.get(3) {
                Some(range) => format!("{}{new}{}", &line[..range.start], &line[range.end..]),
                None => format!("{} {new}{}", line.trim_end(), &line[line.trim_end().len()..]),
            }
        }
        Some(_) | None => line.to_owned(),
    };
    lines(text).map(edit).collect()
}

fn is_swap(line: &str) -> bool {
    Entry::of(line).is_some_and(|entry| {
        let options = entry.field(line, 3);
        entry.field(line, 2) == "swap" && !options.split(',').any(|option| option == "noauto")
    })
}

/// The swap spaces that a boot turns on.
#[must_use]
pub fn swaps(text: &str) -> Vec<String> {
    let name = |line: &str| Entry::of(line).map(|entry| entry.field(line, 0).to_owned());
    lines(text).filter(|line| is_swap(line)).filter_map(name).collect()
}

/// The file with its lines of swap taken out.
#[must_use]
pub fn without_swap(text: &str) -> String {
    lines(text).map(|line| if is_swap(line) { format!("{OUT}{line}") } else { line.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FSTAB: &str = "# comment\nUUID=a  /        ext4  errors=remount-ro 0 1\n\
                         UUID=b\t/data/1\txfs\tdefaults,relatime,nofail\t0\t2\n/dev/sdc /data\\0402 xfs\n\
                         /swapfile none swap sw 0 0\n/dev/zram0 none swap noauto 0 0\n";

    #[test]
    fn only_the_options_of_the_one_mount_change() {
        assert_eq!(atime(FSTAB, "/data/1").as_deref(), Some("relatime"));
        assert_eq!(atime(FSTAB, "/data 2").as_deref(), Some("relatime"));
        assert_eq!(atime(FSTAB, "/elsewhere"), None);
        let new = with_atime(FSTAB, "/data/1", "noatime");
        assert_eq!(new, FSTAB.replace("defaults,relatime,nofail", "defaults,nofail,noatime"));
        assert_eq!(atime(&new, "/data/1").as_deref(), Some("noatime"));
        let new = with_atime(FSTAB, "/data 2", "noatime");
        assert_eq!(new, FSTAB.replace("\\0402 xfs\n", "\\0402 xfs noatime\n"));
    }

    #[test]
    fn lines_of_swap_are_taken_out() {
        assert_eq!(swaps(FSTAB), ["/swapfile"]);
        let new = without_swap(FSTAB);
        assert_eq!(new, FSTAB.replace("/swapfile", "#kfleet-os_tune# /swapfile"));
        assert!(swaps(&new).is_empty());
    }

    proptest! {
        #[test]
        fn any_file_keeps_its_lines(text in "([ -~]{0,30}(\t[a-z/]{1,5}){0,4}\n){0,6}[ -~]{0,10}") {
            let dirs: Vec<String> = lines(&text)
                .filter_map(|line| Some(Entry::of(line)?.field(line, 1).to_owned()))
                .filter(|dir| !dir.contains('\\'))
                .collect();
            for dir in dirs {
                let new = with_atime(&text, &dir, "noatime");
                let shown = atime(&new, &dir);
                prop_assert_eq!(shown.as_deref(), Some("noatime"));
                prop_assert_eq!(lines(&new).count(), lines(&text).count());
                prop_assert_eq!(with_atime(&new, &dir, "noatime"), new);
            }
            prop_assert!(swaps(&without_swap(&text)).is_empty());
        }
    }
}
