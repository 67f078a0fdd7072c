//! Security: who may read the files that hold secrets.

use crate::finding::{Level, Shown};
use crate::judge::raw::{Gap, Raw, Ruled};
use crate::judge::scene::Scene;
use crate::object::Part;
use crate::reading::Outcome;

/// Bits of a mode: the group reads or writes, anybody else reads or writes.
const GROUP_READS: u32 = 0o040;
const GROUP_WRITES: u32 = 0o020;
const OTHERS: u32 = 0o006;

/// Files with secrets that others than the service may read or write.
pub(super) fn file_modes(scene: &Scene<'_>) -> Result<Ruled, Gap> {
    let mut raws = Vec::new();
    for reading in scene.all("file.access") {
        let part = reading.part.clone();
        let raw = match &reading.outcome {
            Outcome::Unreadable { why } => Err(Gap::Unknown(format!("file.access could not be read: {why}"))),
            Outcome::NotHere { why } => Err(Gap::Skip(why.clone())),
            Outcome::Read(_) => file(scene, part.as_ref()),
        };
        raws.push(raw.map_or_else(|gap| scene.gap(part, &gap), |raw| raw.from(reading)));
    }
    if raws.is_empty() {
        return Err(Gap::Unknown("there is no reading of file.access".to_owned()));
    }
    Ok(raws.into())
}

fn file(scene: &Scene<'_>, part: Option<&Part>) -> Result<Raw, Gap> {
    let access = scene.texts("file.access", part)?;
    let get = |name: &str| {
        access.get(name).map(String::as_str).ok_or_else(|| Gap::Unknown(format!("file.access has no entry {name}")))
    };
    let (text, group, service) = (get("mode")?, get("group")?, get("service_group")?);
    let mode = u32::from_str_radix(text, 8).map_err(|_| Gap::Unknown(format!("the mode is {text:?}")))?;
    // Root may read everything anyway, so its group adds nobody.
    let foreign = group != service && group != "root";
    let shown = Shown::Text(format!("{text} {}:{group}", get("owner")?));
    Ok(if mode & OTHERS != 0 || (foreign && mode & GROUP_WRITES != 0) {
        scene.verdict(part.cloned(), Level::Crit, shown)
    } else if foreign && mode & GROUP_READS != 0 {
        scene.verdict(part.cloned(), Level::Warn, shown)
    } else {
        Raw { shown: Some(shown), ..scene.ok(part.cloned()) }
    })
}
