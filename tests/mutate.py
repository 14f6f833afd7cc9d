"""Put small changes into a package, one at a time, and list those that no test notices.

    python tests/mutate.py htp_modules                       # all of it
    python tests/mutate.py adapters "patching*" "keys.x_fit*"

mutmut makes the changes, in the folder ``mutants``, as pyproject.toml says; here they are tried. One process
collects the tests, runs them once to see which functions each calls, and is forked for each change. Tests
that are quick and noticed others come first, and the first that fails ends a trial; ``mutmut run`` starts
pytest for each change instead. What was noticed is not tried again while its function stays as it is.
"""

import argparse
import contextlib
import gc
import io
import json
import os
import select
import shutil
import signal
from collections import Counter, defaultdict
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from mutmut import configuration
from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants, setup_source_paths
from mutmut.mutation import trampoline
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.state import state

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "mutants"
RESULTS = TREE / "results.json"
_QUICK, _WARMING = 0.3, 150  # seconds of a test that warms up the process that is forked, and how many do


def generate(package: str) -> dict[str, str]:
    """Make the changes of a package; each change's name, and a hash of the function that it is made in."""
    configuration._config = replace(configuration.config(), source_paths=[Path(package)])
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir()
    with contextlib.redirect_stdout(io.StringIO()):
        copy_src_dir()
        copy_also_copy_files()
        setup_source_paths()
        create_mutants(1)
    found = {}
    for path in sorted(TREE.glob(f"{package}/**/*.meta")):
        made = json.loads(path.read_text(encoding="utf-8"))
        hashes = made["hash_by_function_name"]
        found |= {
            name: hashes.get(_function(name).rpartition(".")[2], "") for name in made["exit_code_by_key"]
        }
    return found


def _function(mutant: str) -> str:
    return mutant.rpartition("__mutmut_")[0]


class Trials:
    """A plugin of pytest that tries changes in the place of its loop over the tests."""

    def __init__(self, mutants: dict[str, str], results: dict[str, dict[str, Any]]) -> None:
        self.mutants = mutants
        self.results = results
        self.failed = ""
        self.seconds: dict[str, float] = defaultdict(float)
        self.callers: dict[str, list[str]] = {}
        self.noticed: dict[str, Counter[str]] = defaultdict(Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self.measure(items)
        # What a process does once only, every fork would do again. Threads do not outlive a fork.
        quick = [
            item
            for name, item in items.items()
            if self.seconds[name] < _QUICK and "threads" not in getattr(item, "fixturenames", ())
        ]
        for item in quick[:: max(1, len(quick) // _WARMING)]:
            _run(item, None)
        self.failed, session.testsfailed = "", 0
        gc.collect()
        gc.freeze()
        for mutant, made_in in self.mutants.items():
            self.results[mutant] = {"status": self.attempt(mutant, items), "hash": made_in}
            RESULTS.write_text(json.dumps(self.results, indent=1), encoding="utf-8")
        return True

    def measure(self, items: dict[str, pytest.Item]) -> None:
        """Run every test without a change: how long it takes, and which functions it calls."""
        file = TREE / "callers.json"

        def run() -> None:
            trampoline._mutant_under_test = "stats"
            callers: dict[str, list[str]] = defaultdict(list)
            for name, item in items.items():
                state()._stats.clear()
                _run(item, None)
                for function in state()._stats:
                    callers[function].append(name)
            if not self.failed:
                file.write_text(json.dumps([callers, self.seconds]), encoding="utf-8")

        _forked(lambda _note: run())
        if not file.exists():
            raise SystemExit("a test fails without any change; run them alone to see which")
        self.callers, seconds = json.loads(file.read_text(encoding="utf-8"))
        self.seconds.update(seconds)

    def attempt(self, mutant: str, items: dict[str, pytest.Item]) -> str:
        """What became of a change: noticed (and by which test), survived, timeout, or no test."""
        function = _function(mutant)
        module = function.rpartition(".")[0]
        tests = self.callers.get(function, [])
        if not tests:
            return "no test"
        own = f"test_{module.rpartition('.')[2]}"
        promise = {
            t: 3 * self.noticed[function][t] + self.noticed[module][t] + (2.0 if own in t else 0.5)
            for t in tests
        }
        tests = sorted(tests, key=lambda test: (self.seconds[test] + 0.01) / promise[test])

        def run(note: Any) -> None:
            trampoline.set_mutant_under_test(mutant)
            for test, following in zip(tests, [*tests[1:], None], strict=True):
                _run(items[test], items[following] if following else None)
                if self.failed:
                    return note(self.failed)
            note("survived")

        told = _forked(run, 40 + 10 * sum(self.seconds[test] for test in tests))
        if told in self.callers.get(function, ()):
            self.noticed[function][told] += 1
            self.noticed[module][told] += 1
            return f"noticed by {told}"
        return told or "noticed by the end of the process"


def _run(item: pytest.Item, following: pytest.Item | None) -> None:
    item.ihook.pytest_runtest_protocol(item=item, nextitem=following)


def _forked(run: Any, limit: float | None = None) -> str:
    """Run a function in a copy of this process: what it notes, "timeout" after ``limit`` seconds."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        gc.disable()
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            run(lambda text: os.write(write, text.encode()))
        finally:
            os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], limit)
    told = os.read(read, 65536).decode() if ready else "timeout"
    os.close(read)
    with contextlib.suppress(OSError):  # and what the tests have started
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return told


def main() -> None:
    """Read the command line, try, and list what survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", choices=("htp_modules", "adapters"))
    parser.add_argument("names", nargs="*", default=["*"], help="modules or functions of it, as patterns")
    given = parser.parse_args()
    os.chdir(ROOT)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    wanted = tuple(f"{given.package}.{name}" for name in given.names)
    mutants = {m: h for m, h in generate(given.package).items() if any(fnmatch(m, f"{w}*") for w in wanted)}
    kept = {m: r for m, r in results.items() if r["hash"] == mutants.get(m) and "noticed" in r["status"]}
    options = configuration.config()
    tests = [
        a for a in options.pytest_add_cli_args_test_selection if a[0] == "-" or a.endswith(given.package)
    ]
    plugin = Trials({m: h for m, h in mutants.items() if m not in kept}, results)
    os.chdir(TREE)
    pytest.main(
        ["-s", "-p", "no:cacheprovider", "--rootdir=.", *options.pytest_add_cli_args, *tests], [plugin]
    )
    os.chdir(ROOT)
    left = [m for m in mutants if "noticed" not in results[m]["status"]]
    for mutant in left:
        path = Path(mutant.rpartition(".")[0].replace(".", "/") + ".py")
        change = [
            line for line in get_diff_for_mutant(mutant, path=path).splitlines() if line[:2] in ("- ", "+ ")
        ]
        print(f"{mutant}: {results[mutant]['status']}", *change, sep="\n")
    print(f"{len(mutants)} changes, {len(mutants) - len(left)} noticed, {len(left)} left")


if __name__ == "__main__":
    main()
