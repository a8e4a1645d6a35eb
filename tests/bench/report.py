# SPDX-License-Identifier: BSD-2-Clause
"""The results of a comparison: medians, ratios within rounds, the table, the JSON."""

import json
import math
import os
import platform
import resource
import statistics
import time


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def figure(value, digits=3):
    """The digits that matter, and no exponent."""
    if value is None:
        return "-"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if value == 0 or whole >= digits:
        return f"{value:.0f}"
    if whole:
        return f"{value:.{digits - whole}f}"
    return f"{value:.{digits - 1 - math.floor(math.log10(abs(value))) - 1}f}"


def ratio_of(pairs):
    """Median and spread of a/b over the rounds that have both."""
    ratios = [a / b for a, b in pairs if a is not None and b]
    if not ratios:
        return None
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios), "rounds": len(ratios)}


def ratio_text(r):
    return "-" if r is None else f"{figure(r['median'])} ({figure(r['min'])}..{figure(r['max'])})"


def write_json(path, record):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as f:
        json.dump(record, f, indent=1)
        f.write("\n")


class Report:
    def __init__(self, args, contenders, tests):
        self.args, self.tests = args, tests
        self.names = [c.name for c in contenders]
        self.results = []  # one dict a run
        self.memory = []
        self.failures = []
        self.rounds = []
        self.machine = {"kernel": platform.release(), "processors": os.cpu_count(), "model": self.cpu_model(),
                        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
                        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
                        "versions": {c.name: c.version() for c in contenders},
                        "commands": {c.name: [c.program, *c.args] for c in contenders if c.program}}

    @staticmethod
    def cpu_model():
        with open("/proc/cpuinfo") as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "?")

    def note_round(self, index, mtu):
        self.rounds.append({"round": index, "mtu": mtu, "loadavg": os.getloadavg()})

    def add(self, name, mtu, test, index, result):
        self.results.append({"contender": name, "mtu": mtu, "test": test.name, "round": index, **result})

    def add_memory(self, name, mtu, index, idle, after):
        self.memory.append({"contender": name, "mtu": mtu, "round": index, "idle": idle, "after": after})

    def fail(self, name, mtu, test, index, why):
        self.failures.append({"contender": name, "mtu": mtu, "test": test, "round": index, "why": why})

    def series(self, name, mtu, test, key):
        """The value of each round, None where the run failed."""
        found = {r["round"]: r.get(key) for r in self.results
                 if (r["contender"], r["mtu"], r["test"]) == (name, mtu, test)}
        return [found.get(i) for i in range(self.args.rounds)]

    def others(self):
        return [n for n in self.names if n != self.args.reference]

    def row(self, mtu, test, label, unit, key):
        series = {n: self.series(n, mtu, test, key) for n in self.names}
        return {"mtu": mtu, "test": test, "label": label, "unit": unit, "key": key,
                "medians": {n: median(series[n]) for n in self.names},
                "ratios": {n: ratio_of(zip(series[self.args.reference], series[n])) for n in self.others()}}

    def rows(self, mtu):
        for test in self.tests:
            better = "" if test.better == "more" else "  (less is better)"
            yield self.row(mtu, test.name, test.name + better, test.unit, test.value)
            for label, unit, key in getattr(test, "also", ()):
                yield self.row(mtu, test.name, label, unit, key)
            if test.per_gb:
                yield self.row(mtu, test.name, "   processor time  (less is better)", "s/GB", "cpu_s_per_gb")
            if test.role == "up" and test.per_gb:
                yield self.row(mtu, test.name, "   segments sent again", "", "retrans")
            if test.role in ("rr", "crr", "ping"):
                yield self.row(mtu, test.name, "   p99  (less is better)", "us", "p99_us")
            if test.role in ("rr", "crr"):
                yield self.row(mtu, test.name, "   processor time of the back end", "us", "cpu_us_each")
                if any("guest_us_each" in r for r in self.results):
                    yield self.row(mtu, test.name, "   processor time of the guest", "us", "guest_us_each")
            if test.role == "rate":
                yield self.row(mtu, test.name, "   time to the echo, p99  (less is better)", "us", "p99_us")
            if test.role in ("crr", "ping", "idle"):
                yield self.row(mtu, test.name, "   lost", "", "lost")
            if test.role.startswith("udp"):
                yield self.row(mtu, test.name, "   loss", "", "loss")
                yield self.row(mtu, test.name, "   processor time of the back end", "s", "cpu_s")

    def memory_rows(self, mtu):
        if not self.memory:
            return
        for key, label in (("rss_kb", "VmRSS"), ("pss_kb", "Pss")):
            for when in ("idle", "after"):
                values = {n: median([m[when][key] for m in self.memory if (m["contender"], m["mtu"]) == (n, mtu)])
                          for n in self.names}
                yield {"mtu": mtu, "label": f"{label}, {when}", "unit": "MB",
                       "medians": {n: None if v is None else v / 1024 for n, v in values.items()}, "ratios": {}}

    def best(self, mtus, group):
        """Each contender under the congestion control (and MTU) that suits it best."""
        chosen, series = {}, {}
        for name in self.names:
            candidates = [(median(self.series(name, mtu, t.name, "gbps")) or 0, mtu, t.cc, t.name)
                          for mtu in mtus for t in self.tests if getattr(t, "group", None) == group]
            value, mtu, cc, test = max(candidates)
            chosen[name] = f"{cc}" if len(mtus) == 1 else f"{cc} {mtu}"
            series[name] = self.series(name, mtu, test, "gbps")
        return {"mtus": mtus, "group": group, "chosen": chosen, "medians": {n: median(series[n]) for n in self.names},
                "ratios": {n: ratio_of(zip(series[self.args.reference], series[n])) for n in self.others()}}

    def bests(self):
        groups = list(dict.fromkeys(t.group for t in self.tests if hasattr(t, "group")))
        spans = [[m] for m in self.args.mtu] + ([self.args.mtu] if len(self.args.mtu) > 1 else [])
        return [self.best(span, group) for span in spans for group in groups]

    def record(self):
        return {"machine": self.machine, "arguments": vars(self.args), "rounds": self.rounds,
                "summary": [r for mtu in self.args.mtu for r in self.rows(mtu)],
                "memory_summary": [r for mtu in self.args.mtu for r in self.memory_rows(mtu)],
                "best": self.bests(), "failures": self.failures, "results": self.results, "memory": self.memory}

    def write(self, path):
        write_json(path, self.record())

    def text(self):
        reference, others = self.args.reference, self.others()
        head = ["", "", *self.names, *(f"{reference}/{n}" for n in others)]
        out = [f"{self.machine['model']}, {self.machine['processors']} processors, Linux {self.machine['kernel']}, "
               f"at most {self.machine['open_files'][1]} open files; "
               f"{self.args.rounds} rounds of {self.args.seconds:g} s; medians; ratios: median (smallest..largest)"]
        out += [f"{name}: {self.machine['versions'][name]}" for name in self.machine["commands"]]
        for mtu in self.args.mtu:
            table = [head]
            for r in [*self.rows(mtu), *self.memory_rows(mtu)]:
                table.append([r["label"], r["unit"], *(figure(r["medians"][n]) for n in self.names),
                              *(ratio_text(r["ratios"].get(n)) for n in others)])
            out += ["", f"MTU {mtu}", *self.align(table)]
        out += self.best_text(head)
        if self.args.rounds < 7:
            out += ["", f"{self.args.rounds} rounds: too few to quote a ratio; use --rounds 7 or more on a quiet machine."]
        if self.failures:
            out += ["", f"FAILED, {len(self.failures)} runs:"]
            out += [f"  {f['contender']}, MTU {f['mtu']}, {f['test']}, round {f['round'] + 1}: {f['why']}"
                    for f in self.failures]
        return "\n".join(out)

    def best_text(self, head):
        if not self.bests():
            return []
        table = [["", *head[1:]]]
        for b in self.bests():
            where = f"MTU {b['mtus'][0]}" if len(b["mtus"]) == 1 else "any MTU"
            table.append([f"{b['group']}, {where}", "Gbit/s",
                          *(f"{figure(b['medians'][n])} {b['chosen'][n]}" for n in self.names),
                          *(ratio_text(b["ratios"].get(n)) for n in self.others())])
        return ["", "Each under the congestion control that suits it best", *self.align(table)]

    @staticmethod
    def align(table):
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        return ["  ".join(cell.ljust(w) if i < 2 else cell.rjust(w)
                          for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in table]
