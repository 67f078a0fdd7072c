#!/usr/bin/env python3
"""Compares kfleet with the tools a user would take instead, in one run on one machine, and prints ratios.

Flow: the outer process prepares what needs the network (the peers, from PyPI), then starts itself again in network,
mount and process namespaces of its own. In there are only loopback, the agents, one private sshd and the tools; when
the inner process ends, however it does, the kernel ends all that it started. The outer process then removes the files
and control groups. Needs root, Linux, Python 3.12 or newer, util-linux, iproute2 and (for peers) openssh-server.
"""

import argparse
import filecmp
import hashlib
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import measure
import report
import tools

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKLOADS = ("w1", "w2", "w3", "w4", "w5")
PEERS = {"ansible": tools.Ansible, "pyinfra": tools.Pyinfra}
FOREIGN_LIMIT = 0.10  # a run is repeated when other programs had more than this share of the cores
QUICK_FOREIGN_LIMIT = 0.25  # and this, when it is so short that the kernel's clock ticks blur the share
QUICK_S = 1.0
LARGE_BYTES, LINES_BYTES = 100_000_000, 10_000_000
FILES_OF_W2 = 11
RESULT = "result.json"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = lambda text: [name for name in text.split(",") if name]
    option = parser.add_argument
    option("--hosts", type=int, default=50, help="number of agents (default 50)")
    option("--workloads", type=names, default=list(WORKLOADS), help="of w1,w2,w3,w4,w5, in this order (default all)")
    option("--peers", type=names, default=["ansible"], help="of ansible,pyinfra; empty for none (default ansible)")
    option("--runs", type=int, default=3, help="counted runs of each tool and workload (default 3)")
    option("--slow-runs", type=int, default=1, help="the same for ansible's W2, which takes minutes (default 1)")
    option("--programs", type=pathlib.Path, default=ROOT / "target/release", help="where kfleet and kfleet-agent are")
    option("--cache", type=pathlib.Path, default=ROOT / "target/bench-peers", help="where the peers are installed")
    option("--work", type=pathlib.Path, default=ROOT / "target", help="a disk folder for what the run writes")
    option("--quiet-wait", type=float, default=60, help="longest wait for a quiet machine before a run, in seconds")
    option("--repeat", type=int, default=2, help="how often a disturbed run is repeated at most")
    option("--json", type=pathlib.Path, help="also write all figures to this file")
    option("--keep", action="store_true", help="leave the files of the run for a look")
    option("--inside", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for given, known in ((args.workloads, WORKLOADS), (args.peers, PEERS)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return args


def tell(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# The outer process


def check_needs(args):
    missing = [] if os.geteuid() == 0 else ["run it as root"]
    needs = ["unshare", "mount", "ip"] + (["ssh", "ssh-keygen", "/usr/sbin/sshd"] if args.peers else [])
    missing += [f"install {program}" for program in needs if not shutil.which(program)]
    missing += [f"build {args.programs / name}: cargo build --release -p {name}" for name in ("kfleet", "kfleet-agent")
                if not (args.programs / name).is_file()]
    if missing:
        raise tools.Failed("the benchmark can not run here:\n  " + "\n  ".join(missing))


def install(peer, cache):
    """A peer's newest release from PyPI in a virtual environment of its own; one that is there is used as it is."""
    venv = cache / peer.package
    if not (venv / "installed").exists():
        tell(f"installing {peer.package} into {venv}")
        tools.call([sys.executable, "-m", "venv", "--clear", venv])
        tools.call([venv / "bin/pip", "-q", "install", peer.package])
        (venv / "installed").touch()


def tell_result(path, copy):
    """What was measured, also when the run was stopped or failed in the middle."""
    if path.exists():
        print(report.text(json.loads(path.read_text())), flush=True)
        if copy:
            shutil.copyfile(path, copy)


def outer(args):
    check_needs(args)
    for name in args.peers:
        install(PEERS[name], args.cache)
    args.work.mkdir(parents=True, exist_ok=True)
    # Short, because the sockets of ssh connections lie in it and their paths are limited to 107 bytes.
    work = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=args.work.resolve()))
    groups = measure.Groups(work.name)
    inner = None

    def stop(_signal, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        groups.make()
        # The shell stays as first process of the namespace to collect what orphans leave; its end ends all others.
        isolated = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c",
                    'ip link set lo up && "$@"; exit $?', "sh"]
        inner = subprocess.Popen([*isolated, sys.executable, "-B", __file__, *sys.argv[1:], "--inside", str(work)])
        return inner.wait()
    except KeyboardInterrupt:
        tell("stopped; cleaning up")
        return 130
    finally:
        if inner:
            inner.kill()
            inner.wait()
        tell_result(work / RESULT, args.json)
        groups.remove()
        if args.keep:
            tell(f"the files are in {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


# The inner process


class Bench:
    """One run of the benchmark, in its namespaces."""

    def __init__(self, args):
        self.args = args
        self.groups = measure.Groups(args.inside.name)
        self.site = tools.Site(args.inside, args.hosts, self.groups)
        self.kfleet = tools.Kfleet(self.site, args.programs.resolve())
        self.peers = [PEERS[name](self.site, args.cache.resolve() / PEERS[name].package) for name in args.peers]
        self.tools = [self.kfleet, *self.peers]
        self.samples, self.memory, self.idle, self.trees = {}, {}, None, {}

    def set_up(self):
        tell(f"starting {self.site.count} agents" + (" and sshd" if self.peers else ""))
        with open(self.site.data / "lines.txt", "w", encoding="ascii") as lines:
            lines.writelines(f"{n:09d} {'a line of output':<88}\n" for n in range(LINES_BYTES // 99 + 1))
            lines.truncate(LINES_BYTES)
        if self.peers:
            tools.start_sshd(self.site)
        for tool in self.tools:
            tool.set_up()

    def once(self, tool, workload, memory=False):
        """One run, whatever else the machine does meanwhile."""
        tool.before()
        output = self.site.work / f"{tool.name}-{workload}.out"
        measure.wait_until_quiet(self.args.quiet_wait)
        sample = measure.run(self.groups, tool.command(workload.split("-")[0]), tool.environment(), self.site.work,
                             output, memory)
        if sample.exit_code:
            tail = output.read_text(errors="replace")[-3000:]
            raise tools.Failed(f"{tool.name} {workload}: exit code {sample.exit_code}\n{tail}")
        return sample, output

    def counted(self, tool, workload, prepare, check):
        """A run whose result is right, repeated when other programs disturbed it."""
        best = None
        for _ in range(1 + self.args.repeat):
            prepare(tool)
            sample, output = self.once(tool, workload)
            check(tool, output)
            if best is None or sample.foreign < best.foreign:
                best = sample
            limit = QUICK_FOREIGN_LIMIT if sample.wall_s < QUICK_S else FOREIGN_LIMIT
            # A run of minutes is not made again: the disturbance is told beside it.
            if best.foreign <= limit or sample.wall_s > 60:
                break
        self.samples.setdefault(workload, {}).setdefault(tool.name, []).append(vars(best))
        self.save()
        tell(f"{workload:9} {tool.name:13} {best.wall_s:8.2f} s  (other programs {best.foreign:.0%})")

    def rounds(self, tool, workload):
        return self.args.slow_runs if workload == "w2" and tool.single else self.args.runs

    def alternate(self, workload, steps):
        """All tools in turn, round after round, so that a slow minute of the machine meets each of them."""
        for turn in range(self.args.runs):
            for tool in self.tools:
                if turn < self.rounds(tool, workload):
                    for name, prepare, check in steps:
                        self.counted(tool, name, prepare, check)

    def warm_up(self):
        """One uncounted no-op each, so that no tool pays for reading its own files from disk."""
        for tool in self.tools:
            self.once(tool, "w1")

    def w1(self):
        self.alternate("w1", [("w1", self.nothing, self.no_check)])

    def w2(self):
        self.alternate("w2", [("w2-first", self.empty_folder, self.check_first),
                              ("w2-again", self.nothing, self.check_again)])

    def w3(self):
        self.alternate("w3", [("w3", self.new_large_file, self.check_copies)])

    def w4(self):
        self.alternate("w4", [("w4", self.nothing, self.check_output)])

    def nothing(self, _tool):
        """For workloads that need no preparation."""

    def no_check(self, _tool, _output):
        """The exit code says all: each tool gives another than 0 when one host fails."""

    def empty_folder(self, _tool):
        shutil.rmtree(self.site.dest / "w2", ignore_errors=True)
        (self.site.dest / "w2").mkdir()
        os.sync()

    def check_first(self, tool, _output):
        files = sorted(path for path in (self.site.dest / "w2").rglob("*") if path.is_file())
        if len(files) != FILES_OF_W2 * self.site.count:
            raise tools.Failed(f"{tool.name} W2: {len(files)} files, not {FILES_OF_W2 * self.site.count}")
        digest = hashlib.sha256()
        for path in files:
            digest.update(f"{path} {path.stat().st_mode:o}\n".encode() + path.read_bytes())
        self.trees[tool.name] = digest.hexdigest()
        ours, theirs = self.trees.get("kfleet"), self.trees.get("ansible-core")
        if ours and theirs and ours != theirs:
            raise tools.Failed("W2: kfleet and ansible-core did not write the same files")

    def check_again(self, tool, output):
        if changes := tool.changes(output):
            raise tools.Failed(f"{tool.name} W2: {changes} changes in a run that had nothing to change")
        self.check_first(tool, output)

    def new_large_file(self, _tool):
        """New bytes every time, so that no cache of an earlier run can help."""
        shutil.rmtree(self.site.dest / "w3", ignore_errors=True)
        (self.site.dest / "w3").mkdir()
        with open(self.site.data / "large.bin", "wb") as file:
            file.write(os.urandom(LARGE_BYTES))
        os.sync()

    def check_copies(self, tool, _output):
        for name in self.site.few:
            copy = self.site.dest / "w3" / (f"{name}.bin")
            if not filecmp.cmp(self.site.data / "large.bin", copy, shallow=False):
                raise tools.Failed(f"{tool.name} W3: {copy} is not the file that was sent")
        os.sync()

    def check_output(self, tool, output):
        collected = tool.collected(output)
        if collected is not None and collected != dict.fromkeys(self.site.few, LINES_BYTES):
            raise tools.Failed(f"{tool.name} W4: not all output came back: {collected}")

    def w5(self):
        """Memory, in runs of their own as looking costs CPU (of the peers without the long W2); then agents at rest."""
        for workload in ("w1", "w2-first", "w2-again", "w4"):
            for tool in [self.kfleet] if workload.startswith("w2") else self.tools:
                if workload == "w2-first":
                    self.empty_folder(tool)
                sample, _ = self.once(tool, workload, memory=True)
                self.memory.setdefault(workload, {})[tool.name] = sample.peak_mib
                self.save()
        self.at_rest()

    def at_rest(self, settle_s=5, seconds=30):
        tell(f"agents at rest for {seconds} s")
        time.sleep(settle_s)
        agents = [agent.pid for agent in self.kfleet.agents]
        used_s = lambda: sum(map(measure.process_cpu_s, agents))
        before, begun = used_s(), time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - begun
        rss = [measure.status_mib(pid, "VmRSS") for pid in agents]
        self.idle = {
            "agents": len(agents), "seconds": elapsed,
            "cpu_share": (used_s() - before) / elapsed / len(agents),
            "rss_mib": statistics.median(rss), "rss_max_mib": max(rss),
            "pss_mib": statistics.median(measure.pss_mib(pid) for pid in agents),
        }
        self.save()

    def save(self):
        """Leaves what is known so far to the outer process, which tells it however this one ends."""
        (self.site.work / RESULT).write_text(json.dumps(self.result(), indent=1) + "\n")

    def result(self):
        summaries = {workload: {name: report.summary(samples) for name, samples in of.items()}
                     for workload, of in self.samples.items()}
        found = report.ratios(summaries)
        memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        return {
            "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "hosts": self.site.count,
            "machine": f"{cpu_model()}, {os.cpu_count()} cores for controller and hosts together, "
                       f"{memory_gib:.0f} GiB, Linux {platform.release()}",
            "versions": [tool.version for tool in self.tools] + [f"Python {platform.python_version()}"],
            "summaries": summaries, "ratios": {"/".join(key): ratio for key, ratio in found.items()},
            "memory": self.memory, "idle": self.idle, "samples": self.samples,
        }


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def inner(args):
    bench = Bench(args)
    bench.set_up()
    bench.warm_up()
    for workload in args.workloads:
        getattr(bench, workload)()
    return 0


def main():
    args = arguments()
    try:
        return inner(args) if args.inside else outer(args)
    except tools.Failed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
