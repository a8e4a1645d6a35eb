# SPDX-License-Identifier: BSD-2-Clause
"""What tools/test starts: three builds, the Meson suites in each, what has threads in a fourth, the scripts of tests/vhost,
tests/netns and tests/vm, lint.

Every build, Meson test, script and lint check counts as one. A test skips by exit status 77, and its last line
of output is the reason; it never counts as passed. Logs go to build/logs.
"""
import argparse
import collections
import concurrent.futures
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import lint

SKIP = 77
JOBS = os.environ.get("JOBS", "2")
LOGS = "build/logs"
MESON_SUITES = ("unit", "fuzz", "sim", "cli", "platform")
SCRIPT_SUITES = ("vhost", "netns", "vm")
SANITIZED_SCRIPTS = {"vhost", "netns", "vm"}  # in the build with sanitizers too
SANITIZED_VM = {"test-user-virtio"}  # of vm only the cheapest
SUITES = ("build", *MESON_SUITES, *SCRIPT_SUITES, "lint")
SCRIPT_LIMIT_S = {"vhost": 180, "netns": 120, "vm": 240}

# The build folders: what each is set up with, and what its tests run under.
Build = collections.namedtuple("Build", "folder compiler options environment slowness")
BUILDS = (
    Build("build", "gcc", [], {}, 1),
    Build("build-asan", "gcc", ["-Db_sanitize=address,undefined", "-Db_lundef=false"],
          {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}, 4),
    Build("build-clang", "clang", ["-Dwerror=true"], {}, 1),
)

# Of this only the tests of what has threads are built; the other sanitizers do not see races.
THREADS = Build("build-tsan", "clang", ["-Db_sanitize=thread", "-Db_lundef=false"],
                {"TSAN_OPTIONS": "halt_on_error=1"}, 4)
THREAD_TESTS = ("spsc", "workers")

RUNNING = set()  # scripts
STOPPING = threading.Event()

Outcome = collections.namedtuple("Outcome", "suite name verdict note")  # verdict: passed, failed, skipped


class Tally:
    def __init__(self):
        self.outcomes = []

    def add(self, suite, name, verdict, note=""):
        self.outcomes.append(Outcome(suite, name, verdict, note))
        if verdict != "passed":
            print(f"  {verdict}: {suite}: {name}: {note}", flush=True)

    def of(self, verdict):
        return [o for o in self.outcomes if o.verdict == verdict]

    def close(self):
        for verdict, title in (("skipped", "Skipped:"), ("failed", "Failed:")):
            if self.of(verdict):
                print(title)
            for o in self.of(verdict):
                print(f"  {o.suite}: {o.name}: {o.note}")
        print(", ".join(f"{len(self.of(verdict))} {verdict}" for verdict in ("passed", "failed", "skipped")))
        return 1 if self.of("failed") or not self.of("passed") else 0


def log_path(*words):
    return os.path.join(LOGS, re.sub(r"[^\w.-]+", "-", "-".join(words)) + ".log")


def last_line(text):
    lines = [line for line in text.split("\n") if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


def run_logged(command, log, environment=None):
    with open(log, "ab") as f:
        return subprocess.run(command, stdout=f, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
                              env={**os.environ, **(environment or {})}).returncode


def compile_build(build, tally, targets=()):
    """Whether the folder compiles. A warning of gcc fails it too, although -Werror does not stop a user."""
    log = log_path("compile", build.folder)
    if not os.path.exists(os.path.join(build.folder, "build.ninja")):
        shutil.rmtree(os.path.join(build.folder, "meson-private"), ignore_errors=True)
        run_logged(["meson", "setup", build.folder, *build.options], log, {"CC": build.compiler})
    status = run_logged(["ninja", "-C", build.folder, "-j", JOBS, *targets], log)
    with open(log, encoding="utf-8", errors="replace") as f:
        warned = re.search(r"^\S+:\d+:\d+: warning: ", f.read(), re.M)
    good = status == 0 and not warned
    tally.add("build", build.folder, "passed" if good else "failed",
              f"{'warnings' if status == 0 else 'does not compile'}; log: {log}")
    return status == 0


def meson_tests(build, suites, tally):
    """Runs the Meson tests of the suites and counts each by what Meson's own log says of it."""
    log = log_path("meson", build.folder)
    results = os.path.join(build.folder, "meson-logs/testlog.json")
    if os.path.exists(results):
        os.unlink(results)
    choice = [word for suite in suites for word in ("--suite", suite)]
    status = run_logged(["meson", "test", "-C", build.folder, "--no-rebuild", "--num-processes", JOBS,
                         "--timeout-multiplier", str(build.slowness), *choice], log, build.environment)
    if not os.path.exists(results):
        if status != 0:
            tally.add("meson", build.folder, "failed", f"meson test ended with {status}; log: {log}")
        return
    with open(results, encoding="utf-8") as f:
        tests = [json.loads(line) for line in f if line.strip()]
    for test in tests:
        count_meson_test(build, test, tally)


def thread_tests(tally):
    """What has threads, under ThreadSanitizer."""
    if not compile_build(THREADS, tally, [f"tests/unit/test-{name}" for name in THREAD_TESTS]):
        return
    for name in THREAD_TESTS:
        log = log_path("threads", name)
        status = run_logged(["timeout", "240", f"{THREADS.folder}/tests/unit/test-{name}"], log, THREADS.environment)
        tally.add("unit", f"{name} ({THREADS.folder})", "failed" if status else "passed", f"status {status}; log: {log}")


def count_meson_test(build, test, tally):
    path, _, name = test["name"].rpartition(" / ")  # "vmlan:unit / capture"
    suite = next((s for s in MESON_SUITES if s in re.split("[:+]", path)), "unit")
    name = f"{name} ({build.folder})"
    output = (test.get("stdout") or "") + (test.get("stderr") or "")
    if test["result"] in ("OK", "EXPECTEDFAIL"):
        tally.add(suite, name, "passed")
    elif test["result"] == "SKIP":
        tally.add(suite, name, "skipped", last_line(test.get("stdout") or output))
    else:
        log = log_path(suite, name)
        with open(log, "w", encoding="utf-8") as f:
            f.write(f"{' '.join(test['command'])}\n{output}\nresult: {test['result']}\n")
        tally.add(suite, name, "failed", f"{test['result'].lower()}; log: {log}")


def limit_of(script, suite):
    """A script may say in its first lines "limit: SECONDS"."""
    with open(script, "rb") as f:
        said = re.search(rb"\blimit: (\d+)", f.read(1000))
    return int(said.group(1)) if said else SCRIPT_LIMIT_S[suite]


def runs_of(script, build):
    """The arguments that it runs with: none, and in the optimised build those of a line "also: ARGUMENT..."."""
    with open(script, "rb") as f:
        said = re.search(rb"^also: (.+)", f.read(1000), re.M)
    return [(), tuple(said.group(1).decode().split())] if said and build.folder == "build" else [()]


def run_script(suite, script, build, arguments):
    """Runs one script in a process group of its own, which is ended with it. (verdict, note)"""
    if STOPPING.is_set():
        return "failed", "not run: told to end"
    log = log_path(suite, os.path.basename(script), *arguments[:1], build.folder)
    limit = limit_of(script, suite) * build.slowness
    environment = {**os.environ, **build.environment, "VMLAN": os.path.abspath(build.folder + "/vmlan"),
                   "VMLAN_BUILD": os.path.abspath(build.folder)}
    with open(log, "wb") as f:
        process = subprocess.Popen([os.path.abspath(script), *arguments], stdin=subprocess.DEVNULL, stdout=f,
                                   stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        RUNNING.add(process)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
            end_group(process)
        finally:
            RUNNING.discard(process)
    with open(log, encoding="utf-8", errors="replace") as f:
        said = f.read()
    if status == 0 and re.search("Sanitizer: |runtime error: ", said):
        return "failed", f"a sanitizer complained; log: {log}"  # of a process that the script did not wait for
    if status == 0:
        return "passed", ""
    if status == SKIP:
        return "skipped", last_line(said)
    return "failed", f"{'status ' + str(status) if status is not None else f'over {limit} s'}; log: {log}"


def end_group(process):
    """TERM first, so that it may clean up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def stop(number, _):
    """Ends with everything that was started: scripts are in sessions of their own, which no signal to us reaches."""
    STOPPING.set()
    for process in list(RUNNING):
        end_group(process)
    os._exit(128 + number)


def script_tests(suite, builds, tally):
    jobs = [(script, build, arguments) for build in builds for script in sorted(glob.glob(f"tests/{suite}/test-*"))
            for arguments in runs_of(script, build) if os.access(script, os.X_OK) and
            (suite != "vm" or build.folder == "build" or os.path.basename(script) in SANITIZED_VM)]
    if suite == "vm" and jobs:
        # What the guests share is made once, before two of them ask for it together.
        log = log_path("vm", "build-guest")
        if run_logged(["tests/vm/lib/build-guest"], log) != 0:
            tally.add("vm", "the guest's kernel and initramfs", "failed", f"log: {log}")
            return
        # The tests that want it skip when it could not be had: an unstable suite is not everywhere.
        run_logged(["tests/vm/lib/build-uml"], log_path("vm", "build-uml"))
    with concurrent.futures.ThreadPoolExecutor(min(2, int(JOBS))) as pool:
        results = pool.map(lambda job: run_script(suite, *job), jobs)
        for (script, build, arguments), (verdict, note) in zip(jobs, results):
            name = " ".join([os.path.basename(script), *arguments[:1]])
            tally.add(suite, f"{name} ({build.folder})", verdict, note)


def lint_checks(tally):
    checks = lint.checks()
    with concurrent.futures.ThreadPoolExecutor(int(JOBS)) as pool:
        for (name, _), said in zip(checks, pool.map(lambda check: check[1](), checks)):
            log = log_path("lint", name)
            if said:
                with open(log, "w", encoding="utf-8") as f:
                    f.write(said + "\n")
            tally.add("lint", name, "failed" if said else "passed", f"log: {log}")


def parse():
    parser = argparse.ArgumentParser(prog="tools/test", description="Builds vmlan and runs its tests.")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="of: " + " ".join(SUITES[1:]) + "; all if none")
    parser.add_argument("--quick", action="store_true", help="only the optimised build; no vm, no lint")
    arguments = parser.parse_args()
    wrong = set(arguments.suites) - set(SUITES)
    if wrong:
        parser.error(f"no suite {' '.join(sorted(wrong))}; there are: {' '.join(SUITES)}")
    if not arguments.suites:
        arguments.suites = [s for s in SUITES if not (arguments.quick and s in ("vm", "lint"))]
    return arguments


def wanted_builds(arguments):
    """The sanitised and clang builds only where a suite asked for runs in them."""
    suites = set(arguments.suites)
    if arguments.quick:
        return BUILDS[:1]
    if suites & {"build", *MESON_SUITES}:
        return BUILDS
    return tuple(b for b in BUILDS if b.folder == "build" or b.folder == "build-asan" and SANITIZED_SCRIPTS & suites or
                 b.folder == "build-clang" and "lint" in suites)


def main():
    arguments, tally = parse(), Tally()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    shutil.rmtree(LOGS, ignore_errors=True)
    os.makedirs(LOGS)
    began = time.monotonic()

    def stage(title):
        print(f"[{time.monotonic() - began:4.0f} s] {title}", flush=True)

    builds = wanted_builds(arguments)
    stage("compile: " + ", ".join(build.folder for build in builds))
    usable = [build for build in builds if compile_build(build, tally)]
    suites = [suite for suite in MESON_SUITES if suite in arguments.suites]
    for build in usable if suites else ():
        stage(f"{build.folder}: {' '.join(suites)}")
        meson_tests(build, suites, tally)
    if "unit" in arguments.suites and not arguments.quick:
        stage(f"{THREADS.folder}: {' '.join(THREAD_TESTS)}")
        thread_tests(tally)
    for suite in SCRIPT_SUITES:
        if suite in arguments.suites:
            stage(suite)
            folders = ("build", "build-asan") if suite in SANITIZED_SCRIPTS else ("build",)
            script_tests(suite, [build for build in usable if build.folder in folders], tally)
    if "lint" in arguments.suites:
        stage("lint")
        lint_checks(tally)
    stage("done")
    return tally.close()


sys.exit(main())
