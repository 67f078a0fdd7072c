//! The lab's network: one namespace of its own with a bridge in it, so that nothing of the lab reaches beyond.
//!
//! Links are made by nspawn (`vb-HOST` on this side, `host0` inside). Faults on the wire are a link that is set down,
//! and nftables rules on the bridge that drop what two hosts send each other.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::state::Layout;
use super::tool::Tool;
use super::topology::{CONTROLLER, Hosting, Topology};

/// The bridge's name; it is alone in its namespace, so all labs use the same.
pub(super) const BRIDGE: &str = "br-lab";

/// The nftables table that holds the partitions, and nothing else.
const TABLE: &str = "kfleet_partitions";

/// How long a link may take to change.
const LINK_LIMIT: Duration = Duration::from_secs(10);

/// Runs a tool where it reaches the hosts.
pub(super) fn reaching(layout: &Layout, topology: &Topology, program: &str) -> Tool {
    match topology.hosting() {
        Hosting::Containers => inside(layout, program),
        Hosting::Processes => Tool::new(program),
    }
}

/// Runs a tool inside the lab's network namespace.
///
/// `nsenter`, not `ip netns exec`: the latter remounts /sys, which hides the cgroups from nspawn.
fn inside(layout: &Layout, program: &str) -> Tool {
    Tool::new("nsenter").arg(enter_option(layout)).arg("--").arg(program)
}

/// The option that makes `nsenter` enter the lab's namespace.
pub(super) fn enter_option(layout: &Layout) -> String {
    format!("--net={}", layout.namespace().display())
}

/// Makes namespace and bridge where they are missing, and says whether anything was.
pub(super) async fn make(layout: &Layout, topology: &Topology) -> Result<bool> {
    let mut made = false;
    if !exists(layout) {
        Tool::new("ip").args(["netns", "add", layout.name()]).run().await?;
        made = true;
    }
    if !has_link(layout, BRIDGE).await? {
        let address = format!("{}/24", topology.subnet.controller());
        let script = format!(
            "link set lo up\nlink add {BRIDGE} type bridge\naddress add {address} dev {BRIDGE}\nlink set {BRIDGE} up\n"
        );
        in_namespace(layout).args(["-batch", "-"]).input(script).run().await?;
        made = true;
    }
    Ok(made)
}

/// Removes the namespace, and with it bridge, links and rules. One that is gone already is fine.
pub(super) async fn remove(layout: &Layout) -> Result<()> {
    if exists(layout) {
        Tool::new("ip").args(["netns", "delete", layout.name()]).run().await?;
    }
    // `ip netns add` leaves /run/netns mounted on itself for good. With no namespace in it, nobody needs that; a
    // namespace that appears meanwhile keeps the folder busy, and then it stays.
    let folder = Path::new("/run/netns");
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        Tool::new("umount").arg(folder).output().await?;
        std::fs::remove_dir(folder).ok();
    }
    Ok(())
}

/// Whether the namespace has its name.
pub(super) fn exists(layout: &Layout) -> bool {
    layout.namespace().exists()
}

/// The lab's side of a host's link.
pub(super) fn link_of(host: &str) -> String {
    format!("vb-{host}")
}

/// Whether a link is there.
pub(super) async fn has_link(layout: &Layout, link: &str) -> Result<bool> {
    Ok(in_namespace(layout).args(["link", "show", "dev", link]).output().await?.status.success())
}

/// Removes a host's link, should its last run have left one behind.
pub(super) async fn drop_stale_link(layout: &Layout, host: &str) -> Result<()> {
    let link = link_of(host);
    if has_link(layout, &link).await? {
        // It may go by itself at this very moment, when the kernel ends the old host's namespace.
        in_namespace(layout).args(["link", "delete", link.as_str()]).output().await?;
        ensure!(!has_link(layout, &link).await?, "link {link} of the host's last run can not be removed");
    }
    Ok(())
}

/// Whether traffic of a host can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    Down,
}

/// Sets a host's link up or down, as plugging its cable would, and waits until it is.
///
/// The kernel passes traffic only once it has noticed the carrier, for which it takes up to a second.
pub(super) async fn set_link(layout: &Layout, host: &str, link: Link) -> Result<()> {
    let (word, state) = match link {
        Link::Up => ("up", " state UP "),
        Link::Down => ("down", " state DOWN "),
    };
    let name = link_of(host);
    in_namespace(layout).args(["link", "set", name.as_str(), word]).run().await?;
    let deadline = tokio::time::Instant::now() + LINK_LIMIT;
    while tokio::time::Instant::now() < deadline {
        let shown = in_namespace(layout).args(["-oneline", "link", "show", "dev", name.as_str()]).run().await?.stdout;
        if shown.contains(state) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("link {name} is not {word} after {} s", LINK_LIMIT.as_secs())
}

/// Makes the rules on the bridge exactly these partitions.
pub(super) async fn set_partitions(layout: &Layout, topology: &Topology, pairs: &[(String, String)]) -> Result<()> {
    let mut addresses = Vec::new();
    for (one, other) in pairs {
        addresses.push((topology.address(one)?, topology.address(other)?));
    }
    inside(layout, "nft").args(["-f", "-"]).input(ruleset(&addresses)).run().await?;
    Ok(())
}

/// The whole table in one text, which nft applies at once: old rules never show through.
///
/// Hosts talk through the bridge (`forward`), the controller talks from the bridge itself (`input` and `output`).
fn ruleset(pairs: &[(Ipv4Addr, Ipv4Addr)]) -> String {
    let mut text = format!("table bridge {TABLE} {{}}\ndelete table bridge {TABLE}\n");
    if pairs.is_empty() {
        return text;
    }
    text.push_str(&format!("table bridge {TABLE} {{\n"));
    for hook in ["forward", "input", "output"] {
        let _written = writeln!(text, "  chain at_{hook} {{\n    type filter hook {hook} priority 0; policy accept;");
        for (one, other) in pairs {
            let _written = writeln!(text, "    ip saddr {one} ip daddr {other} drop");
            let _written = writeln!(text, "    ip saddr {other} ip daddr {one} drop");
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

/// `/etc/hosts` for the hosts and for commands of the controller.
pub(super) fn hosts_file(topology: &Topology) -> String {
    let mut text = String::from("# Written by `lab up`.\n127.0.0.1 localhost\n");
    let _written = writeln!(text, "{} {CONTROLLER}", topology.subnet.controller());
    for host in &topology.hosts {
        let _written = writeln!(text, "{} {}", host.address, host.name);
    }
    text
}

fn in_namespace(layout: &Layout) -> Tool {
    Tool::new("ip").args(["-n", layout.name()])
}

/// Where the namespace can not be asked for, because it belongs to somebody else.
pub(super) fn refuse_foreign(layout: &Layout) -> Result<()> {
    ensure!(
        !exists(layout),
        "network namespace {} exists and no lab has recorded it; choose another --name, or `ip netns delete {0}`",
        layout.name()
    );
    Ok(())
}

/// The namespace has to be there before a command can run in it.
pub(super) fn require(layout: &Layout) -> Result<()> {
    exists(layout).then_some(()).with_context(|| {
        format!("lab {} has no network namespace; `lab up --name {0}` makes what is missing", layout.name())
    })
}

#[cfg(test)]
mod tests {
    use super::super::topology::{Kind, Subnet};
    use super::*;

    #[test]
    fn both_directions_of_a_pair_are_dropped_on_every_hook() {
        let text = ruleset(&[(Ipv4Addr::new(198, 18, 77, 11), Ipv4Addr::new(198, 18, 77, 21))]);
        for hook in ["forward", "input", "output"] {
            assert!(text.contains(&format!("type filter hook {hook} priority 0; policy accept;")), "{text}");
        }
        assert_eq!(text.matches("ip saddr 198.18.77.11 ip daddr 198.18.77.21 drop").count(), 3, "{text}");
        assert_eq!(text.matches("ip saddr 198.18.77.21 ip daddr 198.18.77.11 drop").count(), 3, "{text}");
    }

    #[test]
    fn healing_leaves_no_table() {
        assert_eq!(ruleset(&[]), "table bridge kfleet_partitions {}\ndelete table bridge kfleet_partitions\n");
    }

    #[test]
    fn every_host_knows_every_other_and_the_controller() {
        let text = hosts_file(&Topology::of(Kind::Kraft, Subnet::for_name("kfleet-lab")));
        assert_eq!(
            text,
            "# Written by `lab up`.\n127.0.0.1 localhost\n198.18.77.1 controller\n198.18.77.31 kraft1\n198.18.77.32 kraft2\n198.18.77.33 kraft3\n"
        );
    }
}
