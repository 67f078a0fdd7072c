"""Times one command, with the CPU of both sides and what strangers used meanwhile.

Both sides (the controller's command; agents, or sshd and its sessions) live in a control group each, so that the CPU
of short-lived children is counted. Not here: what is run, and whether its result is right.
"""

import os
import pathlib
import subprocess
import threading
import time
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_S = 0.02


class Groups:
    """Two control groups for CPU accounting, of either kind (v1 cpuacct, v2)."""

    SIDES = ("controller", "hosts")

    def __init__(self, name):
        old = pathlib.Path("/sys/fs/cgroup/cpuacct")
        self.old = old.is_dir()
        self.top = (old if self.old else pathlib.Path("/sys/fs/cgroup")) / name

    def make(self):
        for side in self.SIDES:
            (self.top / side).mkdir(parents=True)

    def remove(self):
        """Removes both; a group whose last process is just ending is busy for a moment."""
        for path in [self.top / side for side in self.SIDES] + [self.top]:
            for _ in range(50):
                try:
                    path.rmdir()
                except FileNotFoundError:
                    pass
                except OSError:
                    time.sleep(0.1)
                    continue
                break

    def enter(self, side, argv):
        """The command that puts itself into a group and then becomes `argv`."""
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.top / side / "cgroup.procs"), *argv]

    def cpu_s(self, side):
        if self.old:
            return int((self.top / side / "cpuacct.usage").read_text()) / 1e9
        for line in (self.top / side / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
        raise RuntimeError(f"no usage_usec in {self.top / side / 'cpu.stat'}")

    def pids(self, side):
        return [int(pid) for pid in (self.top / side / "cgroup.procs").read_text().split() if pid != "0"]


@dataclass
class Sample:
    """One run of one command."""

    wall_s: float
    controller_cpu_s: float
    hosts_cpu_s: float
    foreign: float  # share of the machine's cores that went to other programs meanwhile
    exit_code: int
    peak_mib: float | None = None  # largest process of the controller's side


def busy_s():
    """CPU seconds that all programs together have used since boot; time stolen by other machines counts."""
    fields = [int(n) for n in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / TICKS


def wait_until_quiet(longest_s, share=0.15):
    """Waits until other programs use less than `share` of the cores; gives up after `longest_s`."""
    end = time.monotonic() + longest_s
    while True:
        before, at = busy_s(), time.monotonic()
        time.sleep(1)
        used = (busy_s() - before) / (time.monotonic() - at) / os.cpu_count()
        if used < share or time.monotonic() > end:
            return


def process_cpu_s(pid):
    """CPU seconds of a process, without its children; in steps of the kernel's clock tick."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / TICKS


def status_mib(pid, key):
    """A memory figure from a process's status; None when the process is gone."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def pss_mib(pid):
    """Memory of a process, with shared pages divided among those who share them."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def run(groups, argv, env, cwd, output, memory=False, timeout_s=1800):
    """Runs a command of the controller's side to its end."""
    controller, hosts = (groups.cpu_s(side) for side in Groups.SIDES)
    busy = busy_s()
    done = threading.Event()
    peaks = [0.0]

    def watch():
        # The kernel keeps each process's own maximum, so only what grows in the last moment is missed.
        while not done.wait(SAMPLE_S):
            peaks.extend(peak for pid in groups.pids("controller") if (peak := status_mib(pid, "VmHWM")))

    watcher = threading.Thread(target=watch) if memory else None
    with open(output, "wb") as out:
        begun = time.perf_counter()
        process = subprocess.Popen(groups.enter("controller", argv), env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=subprocess.STDOUT)
        if watcher:
            watcher.start()
        try:
            code = process.wait(timeout_s)
        finally:
            done.set()
            process.kill()
        wall = time.perf_counter() - begun
    if watcher:
        watcher.join()
    controller, hosts = groups.cpu_s("controller") - controller, groups.cpu_s("hosts") - hosts
    foreign = max(0.0, busy_s() - busy - controller - hosts) / wall / os.cpu_count()
    return Sample(wall, controller, hosts, foreign, code, max(peaks) if memory else None)
