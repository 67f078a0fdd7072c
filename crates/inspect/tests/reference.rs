//! The generated reference is that of the catalogue.

use kfleet_inspect::CATALOGUE;
use kfleet_inspect::reference::reference;

#[test]
fn docs_of_checks_are_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/inspection-checks.md");
    let wanted = reference(&CATALOGUE);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == wanted, "{} is stale: UPDATE_DOCS=1 cargo test -p kfleet-inspect", path.display());
}
