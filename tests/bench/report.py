"""What the figures come to: medians, ratios, goals; as text and as JSON."""

import statistics

TITLES = {
    "w1": "W1 no-op on all hosts",
    "w2-first": "W2 20 tasks, first run",
    "w2-again": "W2 20 tasks, nothing to change",
    "w3": "W3 100 MB to 10 hosts",
    "w4": "W4 10 MB of output from 10 hosts",
}
# How many times as long as kfleet the peer is to take; and kfleet's own bounds: memory in MiB, idle CPU in cores.
GOALS = {
    ("w1", "pyinfra"): 10, ("w1", "ansible-core"): 60,
    ("w2-first", "pyinfra"): 15, ("w2-first", "ansible-core"): 200,
    ("w2-again", "pyinfra"): 15, ("w2-again", "ansible-core"): 200,
    ("w3", "pyinfra"): 5, ("w4", "pyinfra"): 5,
}
CONTROLLER_MIB = {"w1": 40, "w2-first": 40, "w2-again": 40, "w4": 64}
AGENT_MIB, AGENT_IDLE = 20, 0.001


def summary(samples):
    """Medians over the runs of one tool and workload."""
    walls = [sample["wall_s"] for sample in samples]
    median = lambda key: statistics.median(sample[key] for sample in samples)
    return {
        "runs": len(samples), "wall_s": statistics.median(walls), "min_s": min(walls), "max_s": max(walls),
        "controller_cpu_s": median("controller_cpu_s"), "hosts_cpu_s": median("hosts_cpu_s"),
        "foreign": max(sample["foreign"] for sample in samples),
    }


def ratios(summaries):
    """For every workload and peer, how many times as long as kfleet it took, and how many times the CPU of both sides.

    The second is what remains true when other programs disturb the clock.
    """
    found = {}
    for workload, tools in summaries.items():
        ours = tools.get("kfleet")
        for tool, theirs in tools.items():
            if ours and tool != "kfleet":
                cpu = [of["controller_cpu_s"] + of["hosts_cpu_s"] for of in (theirs, ours)]
                found[workload, tool] = {"wall": theirs["wall_s"] / ours["wall_s"], "cpu": cpu[0] / cpu[1]}
    return found


def table(rows, titles):
    rows = [titles, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    line = lambda row: "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
    return "\n".join([line(rows[0]), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows[1:])])


def verdict(reached):
    return "reached" if reached else "MISSED"


def times_table(summaries, memory):
    rows = []
    for workload, tools in summaries.items():
        for tool, of in tools.items():
            peak = memory.get(workload, {}).get(tool)
            wall = f"{of['wall_s']:.2f} ({of['min_s']:.2f}-{of['max_s']:.2f})"
            rows.append([TITLES[workload], tool, of["runs"], wall, f"{of['controller_cpu_s']:.2f}",
                         f"{of['hosts_cpu_s']:.2f}", "-" if peak is None else f"{peak:.0f}", f"{of['foreign']:.0%}"])
    return table(rows, ["work", "tool", "runs", "wall s: median (min-max)", "CPU s controller", "CPU s hosts",
                        "peak MiB", "foreign CPU"])


def ratio_table(found):
    rows = []
    for (workload, tool), ratio in found.items():
        goal = GOALS.get((workload, tool))
        rows.append([TITLES[workload], tool, f"{ratio['wall']:.1f}x", f"{goal}x" if goal else "-",
                     verdict(ratio["wall"] >= goal) if goal else "", f"{ratio['cpu']:.1f}x"])
    return table(rows, ["work", "kfleet is faster than", "by", "goal", "", "CPU of both sides"])


def bounds_table(memory, idle):
    rows = []
    for workload, most in CONTROLLER_MIB.items():
        peak = memory.get(workload, {}).get("kfleet")
        if peak is not None:
            rows.append([f"controller's peak memory, {TITLES[workload]}", f"{peak:.1f} MiB", f"{most} MiB",
                         verdict(peak <= most)])
    if idle:
        rows.append([f"an idle agent's memory, median of {idle['agents']} (largest {idle['rss_max_mib']:.1f})",
                     f"{idle['rss_mib']:.1f} MiB", f"{AGENT_MIB} MiB", verdict(idle["rss_mib"] <= AGENT_MIB)])
        rows.append([f"an idle agent's CPU, mean over {idle['seconds']:.0f} s", f"{idle['cpu_share']:.3%} of a core",
                     f"{AGENT_IDLE:.1%}", verdict(idle["cpu_share"] <= AGENT_IDLE)])
    return table(rows, ["kfleet's own bounds", "measured", "goal", ""]) if rows else ""


def text(result):
    """The whole report for people."""
    found = {tuple(key.split("/")): ratio for key, ratio in result["ratios"].items()}
    parts = ["{when}, {hosts} hosts, {machine}".format(**result), "; ".join(result["versions"]),
             times_table(result["summaries"], result["memory"])]
    if found:
        parts.append(ratio_table(found))
    parts.append(bounds_table(result["memory"], result["idle"]))
    return "\n\n".join(part for part in parts if part)
