"""Put small changes into a package, one at a time, and list those that no test notices.

    python tests/mutate.py htp_modules                       # all of it
    python tests/mutate.py adapters "patching*" "keys.x_fit*"
    python tests/mutate.py adapters --processes 8 --limit 10   # the quick tests first; then again without

mutmut makes the changes, in the folder ``mutants``, as pyproject.toml says; here they are tried. One process
collects the tests, runs them once to see which functions each calls, and is forked for each change. Tests
that are quick and noticed others come first, and the first that fails ends a trial; ``mutmut run`` starts
pytest for each change instead. What was noticed is not tried again while its function stays as it is. A
change that no test notices costs all the tests that call its function; with a limit it is left ``unsettled``.
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
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial
from itertools import zip_longest
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
_SHARE = 50  # tests that are measured in one process
_CRASHED = (0.0, True, ())  # measured of a test whose process ended


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

    def __init__(
        self,
        mutants: dict[str, str],
        results: dict[str, dict[str, Any]],
        processes: int = 1,
        limit: float = float("inf"),
    ) -> None:
        self.mutants = mutants
        self.results = results
        self.processes = processes
        self.limit = limit
        self.items: dict[str, pytest.Item] = {}
        self.folders: Any = None
        self.failed = ""
        self.seconds: dict[str, float] = defaultdict(float)
        self.callers: dict[str, list[str]] = defaultdict(list)
        self.noticed: dict[str, Counter[str]] = defaultdict(Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.folders = session.config._tmp_path_factory  # pyright: ignore[reportAttributeAccessIssue]
        self.measure()
        # What a process does once only, every fork would do again. Threads do not outlive a fork.
        quick = [
            item
            for name, item in self.items.items()
            if self.seconds[name] < _QUICK and "threads" not in getattr(item, "fixturenames", ())
        ]
        for item in quick[:: max(1, len(quick) // _WARMING)]:
            _run(item, None)
        self.failed, session.testsfailed = "", 0
        gc.collect()
        gc.freeze()
        saved = 0.0
        for mutant, told in _copies(self.trials(), self.processes):
            self.results[mutant] = {"status": self.judge(mutant, told), "hash": self.mutants[mutant]}
            if time.monotonic() > saved + 1:
                RESULTS.write_text(json.dumps(self.results, indent=1), encoding="utf-8")
                saved = time.monotonic()
        RESULTS.write_text(json.dumps(self.results, indent=1), encoding="utf-8")
        return True

    def measure(self) -> None:
        """Run every test without a change: its time, the functions that it calls, and whether it passes."""

        def run(share: list[str]) -> str:
            trampoline._mutant_under_test = "stats"
            measured = []
            for name in share:
                state()._stats.clear()
                self.failed = ""
                _run(self.items[name], None)
                functions = [] if self.failed else list(state()._stats)
                measured.append((self.seconds[name], bool(self.failed), functions))
            file = TREE / f"measured-{os.getpid()}.json"
            file.write_text(json.dumps(measured), encoding="utf-8")
            return file.name

        names, count = list(self.items), len(self.items) // _SHARE + 1
        shares = {str(i): names[i::count] for i in range(count)}
        jobs = ((i, partial(self.apart, partial(run, share)), float("inf")) for i, share in shares.items())
        for i, told in _copies(jobs, self.processes):
            measured = json.loads((TREE / told).read_text(encoding="utf-8")) if told else ()
            for name, (seconds, failed, functions) in zip_longest(shares[i], measured, fillvalue=_CRASHED):
                self.seconds[name] = seconds
                for function in functions:
                    self.callers[function].append(name)
                if failed:
                    print(f"left out, as it fails without a change: {name}")
                    del self.items[name]

    def trials(self) -> "Iterator[Job]":
        """A job for each change, those first whose tests take the least time."""

        def seconds(mutant: str) -> float:
            return sum(self.seconds[test] for test in self.callers[_function(mutant)])

        def run(mutant: str, tests: list[str]) -> str:
            trampoline.set_mutant_under_test(mutant)
            end = time.monotonic() + self.limit
            within = [test for test in tests if self.seconds[test] < self.limit]
            for test, following in zip(within, [*within[1:], None], strict=True):
                if time.monotonic() + self.seconds[test] > end:
                    return "unsettled"
                _run(self.items[test], self.items[following] if following else None)
                if self.failed:
                    return self.failed
            return "survived" if within == tests else "unsettled"

        for mutant in sorted(self.mutants, key=lambda mutant: min(self.limit, seconds(mutant))):
            trial = partial(run, mutant, self.promising(_function(mutant)))
            yield mutant, partial(self.apart, trial), min(40 + 10 * seconds(mutant), 10 + 3 * self.limit)

    def apart(self, run: Callable[[], str]) -> str:
        """Run with a folder of its own for what tests write, removed at the end."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self.folders._basetemp = Path(folder)
            return run()

    def promising(self, function: str) -> list[str]:
        """The tests that call a function, the most promising for the time that they take first."""
        module = function.rpartition(".")[0]
        own = f"test_{module.rpartition('.')[2]}"

        def cost(test: str) -> float:
            noticed = 3 * self.noticed[function][test] + self.noticed[module][test]
            return (self.seconds[test] + 0.01) / (noticed + (2.0 if own in test else 0.5))

        return sorted(self.callers[function], key=cost)

    def judge(self, mutant: str, told: str) -> str:
        """What became of a change: noticed (and by which test), survived, unsettled, timeout, or no test."""
        function = _function(mutant)
        if not self.callers[function]:
            return "no test"
        if told in self.callers[function]:
            self.noticed[function][told] += 1
            self.noticed[function.rpartition(".")[0]][told] += 1
            return f"noticed by {told}"
        return told or "noticed by the end of the process"


def _run(item: pytest.Item, following: pytest.Item | None) -> None:
    item.ihook.pytest_runtest_protocol(item=item, nextitem=following)


# A name, what to run for its answer, and after how many seconds to stop it.
Job = tuple[str, Callable[[], str], float]


def _copies(jobs: Iterator[Job], processes: int) -> Iterator[tuple[str, str]]:
    """Run jobs in copies of this process, so many at once: the name and the answer of each.

    The answer is "timeout" of one that is late, and empty of one that ended without any.
    """
    running: dict[int, tuple[str, int, float]] = {}
    while True:
        while len(running) < processes and (job := next(jobs, None)) is not None:
            name, run, limit = job
            read, child = _forked(run)
            running[read] = name, child, time.monotonic() + limit
        if not running:
            return
        rest = min(end for _, _, end in running.values()) - time.monotonic()
        ready, _, _ = select.select(list(running), [], [], None if rest == float("inf") else max(0, rest))
        late = [read for read, (_, _, end) in running.items() if end < time.monotonic() and read not in ready]
        for read in (*ready, *late):
            name, child, _ = running.pop(read)
            told = os.read(read, 65536).decode() if read in ready else "timeout"
            os.close(read)
            with contextlib.suppress(OSError):  # and what the tests have started
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            yield name, told


def _forked(run: Callable[[], str]) -> tuple[int, int]:
    """Start a copy of this process: where to read its answer, and its number."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        gc.disable()
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            os.write(write, run().encode())
        finally:
            os._exit(0)
    os.close(write)
    return read, child


def main() -> None:
    """Read the command line, try, and list what survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", choices=("htp_modules", "adapters"))
    parser.add_argument("names", nargs="*", default=["*"], help="modules or functions of it, as patterns")
    parser.add_argument("--processes", type=int, default=1, help="changes tried at once (default 1)")
    parser.add_argument(
        "--limit", type=float, default=float("inf"), help="seconds for a change (default none)"
    )
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
    plugin = Trials(
        {m: h for m, h in mutants.items() if m not in kept}, results, given.processes, given.limit
    )
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
