import dataclasses
import subprocess
import sys

import numpy
import pytest
import torch

from htp_diffusion.base.provenance import command_line, git_state, provenance


def git(root, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_git_state_tells_the_commit_and_changes_to_tracked_files(tmp_path):
    root = tmp_path / "checkout"
    below = root / "below"
    below.mkdir(parents=True)
    assert git_state(root) == (None, None)
    git(root, "init")
    assert git_state(root) == (None, None)
    tracked = root / "tracked"
    tracked.write_text("one")
    git(root, "add", "tracked")
    git(root, "commit", "--message", "first")
    commit = git(root, "rev-parse", "HEAD")
    (root / "untracked").write_text("")
    assert git_state(root) == (commit, False)
    tracked.write_text("two")
    assert git_state(root) == (commit, True)
    assert git_state(below) == (None, None)
    assert git_state(root / "missing") == (None, None)


def test_command_line_names_no_folder_of_this_machine(tmp_path):
    arguments = [
        str(tmp_path / "benchmarks" / "run.py"),
        "--data",
        "/home/someone/data/poses.npz",
        f"--json={tmp_path / 'out' / 'a b.json'}",
        "--lr=1e-3",
        "../relative/file.npz",
        "x=/not/an/option",
        "--steps",
        "5",
    ]
    assert command_line(arguments, tmp_path) == (
        "benchmarks/run.py --data poses.npz '--json=out/a b.json' --lr=1e-3 ../relative/file.npz "
        "x=/not/an/option --steps 5"
    )


def test_provenance_describes_this_process(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--steps", "5"])
    found = provenance()
    assert found.torch == torch.__version__
    assert found.numpy == numpy.__version__
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.threads == torch.get_num_threads()
    assert found.cores >= 1
    assert found.command == "run.py --steps 5"
    assert (found.gpu is None) == (not torch.cuda.is_available())
    assert (found.commit is None) == (found.dirty is None)
    assert found.date.endswith("+00:00")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.commit = "other"


def test_cores_are_those_that_the_process_may_run_on(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert provenance().cores == 2
    monkeypatch.delattr("os.sched_getaffinity")  # as where there is none
    assert provenance().cores == 64


@pytest.mark.parametrize(
    ("cores", "threads", "gpu", "told"),
    [
        (1, 1, None, "a CPU, 1 core, 1 thread"),
        (2, 1, None, "a CPU, 2 cores, 1 thread"),
        (16, 16, "a GPU", "a GPU, 16 cores, 16 threads"),
    ],
)
def test_the_machine_is_told_in_words(cores, threads, gpu, told):
    found = dataclasses.replace(provenance(), cpu="a CPU", cores=cores, threads=threads, gpu=gpu)
    assert found.told_machine == told
    assert told.endswith(found.told_threads)
