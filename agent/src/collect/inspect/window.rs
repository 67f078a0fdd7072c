//! The window in which quantities that move fast are looked at several times.

use super::scene::Scene;
use std::time::Duration;

/// How many looks: three times between them, for a condition that must hold in three samples.
const LOOKS: u32 = 4;

/// What was seen at a moment.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    /// When, by the monotonic clock.
    pub(super) at: Duration,
    /// `/proc/stat`.
    pub(super) stat: String,
    /// `/proc/diskstats`.
    pub(super) disks: String,
    /// `/proc/net/netstat`.
    pub(super) netstat: String,
}

/// The window.
pub(super) struct Window {
    /// The moments that are still to come, the next one last.
    due: Vec<Duration>,
}

impl Window {
    /// A window from now on. It is shorter when the deadline leaves less than twice its length.
    pub(super) fn new(scene: &Scene<'_>, length: Duration) -> Self {
        let host = scene.host();
        let (begin, length) = (host.uptime(), length.min(host.time_left() / 2));
        // A clock may tell no less than milliseconds, and a wait for less would never end.
        let step = Duration::from_millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX) / u64::from(LOOKS - 1));
        Self { due: (0..LOOKS).rev().map(|n| begin + step * n).collect() }
    }

    /// Looks when a moment has come. When collectors took longer than the time between two looks, the ones that were
    /// missed are left out: two looks at the same moment would tell nothing.
    pub(super) fn look(&mut self, scene: &Scene<'_>) {
        let now = scene.host().uptime();
        let before = self.due.len();
        while self.due.len() > 1 && self.due.last().is_some_and(|due| *due <= now) {
            self.due.pop();
        }
        if self.due.len() < before {
            self.see(scene, now);
        }
    }

    /// Waits for the rest of the window.
    pub(super) fn wait(mut self, scene: &Scene<'_>) {
        loop {
            self.look(scene);
            let Some(next) = self.due.last().copied() else { return };
            let left = next.saturating_sub(scene.host().uptime());
            if scene.host().pause(left.max(Duration::from_millis(1)), "the next look of the inspection").is_err() {
                return;
            }
            if self.due.len() == 1 {
                self.see(scene, scene.host().uptime());
                return;
            }
        }
    }

    fn see(&self, scene: &Scene<'_>, at: Duration) {
        scene.begin("window", super::LIMIT);
        let text = |path: &str| scene.text(path).ok().flatten().unwrap_or_default();
        let moment =
            Moment { at, stat: text("/proc/stat"), disks: text("/proc/diskstats"), netstat: text("/proc/net/netstat") };
        scene.moments.borrow_mut().push(moment);
    }
}
