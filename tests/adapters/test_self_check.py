"""python -m htp_modules: what it says, and that it notices what is broken."""

import platform
import re
from contextlib import contextmanager

import pytest
import torch

import adapters
import htp_modules
from adapters import self_check

HOSTS = "MixSTE, D3DP denoiser, MotionBERT DSTformer, FinePOSE denoiser, KTPFormer, STCFormer, MotionAGFormer"
STEPS = [
    r"patched, every frame kept: the output is the host's",
    r"masked: symmetric, (\d\d)% of the frame pairs attended to",
    r"pruned to 9 of 27 frames: \[[\d, ]+\]",
    r"restored to full length, finite",
    r"undone: class, keys and output as before, bit for bit",
]


def told(capsys):
    """The exit status and the lines that were printed."""
    status = self_check.main()
    return status, capsys.readouterr().out.splitlines()


def test_it_says_what_is_installed_and_that_all_is_well(capsys, monkeypatch):
    times = iter((10.0, 12.5))
    monkeypatch.setattr(self_check.time, "perf_counter", lambda: next(times))
    status, lines = told(capsys)
    assert status == 0
    python, device = platform.python_version(), "cuda" if torch.cuda.is_available() else "cpu"
    assert lines[:4] == [
        f"htp-modules {htp_modules.__version__}, Python {python}, torch {torch.__version__}",
        f"devices: {self_check.devices()}",
        f"hosts known: {HOSTS}",
        f"self-check on {device}, a small MixSTE with random weights:",
    ]
    for line, step in zip(lines[4:9], STEPS, strict=True):
        assert re.fullmatch(f"  ok    {step}", line)
    density = int(re.search(STEPS[1], lines[5])[1])
    assert 18 / 27 <= density / 100 < 1  # each frame has 18 of 27 neighbours, and some of others' beside them
    assert lines[9:] == ["all is well, 2.5 s"]


def moved(model):
    """As unpatch, but the weights are others."""
    adapters.unpatch(model)
    with torch.no_grad():
        model.head.bias += 1


def grown(model):
    """As unpatch, but a buffer is left behind."""
    adapters.unpatch(model)
    model.register_buffer("left", torch.zeros(1))


def of_another_class(model):
    """As unpatch, but the class is a subclass."""
    adapters.unpatch(model)
    model.__class__ = type("Other", (type(model),), {})


@pytest.mark.parametrize("unpatch", [lambda model: model, moved, grown, of_another_class])
def test_what_is_not_undone_is_told(capsys, monkeypatch, unpatch):
    monkeypatch.setattr(self_check, "unpatch", unpatch)
    status, lines = told(capsys)
    assert status == 1
    assert [line[:6] for line in lines[4:9]] == ["  ok  "] * 4 + ["  FAIL"]
    assert lines[9].startswith("1 steps failed, ")


def test_every_step_that_fails_is_told(capsys, monkeypatch):
    def patched(known, host, config):
        model = adapters.patch_with(known, host, config, num_keep=5)  # not everything
        model.head.register_forward_hook(
            lambda _, __, y: y / 0 if hasattr(model, "htp") and model.htp.config.num_keep == 9 else None
        )
        return model

    @contextmanager
    def recorded(model):
        with htp_modules.record(model) as seen:
            yield seen
        seen.masks[0] = htp_modules.TemporalMask(seen.masks[0].keep.tril())  # not symmetric
        seen.kept[0] = htp_modules.KeptFrames(seen.kept[0].index[:, 1:], 27)

    monkeypatch.setattr(self_check, "record", recorded)
    monkeypatch.setattr(self_check, "patch_with", patched)
    status, lines = told(capsys)
    assert status == 1
    assert [line[:6] for line in lines[4:9]] == ["  FAIL"] * 4 + ["  ok  "]
    assert lines[9].startswith("4 steps failed, ")


@pytest.mark.parametrize(("size", "off", "holds"), [(1e6, 1e-6, True), (1e-6, 1e-2, False)])
def test_the_first_step_is_relative_to_the_size_of_the_poses(monkeypatch, size, off, holds):
    class Sized(self_check.SmallHost):
        def __init__(self):
            super().__init__()
            with torch.no_grad():
                self.head.weight *= size

    def patched(known, host, config):
        model = adapters.patch_with(known, host, config)
        model.head.register_forward_hook(lambda _, __, y: y * (1 + off))
        return model

    monkeypatch.setattr(self_check, "SmallHost", Sized)
    monkeypatch.setattr(self_check, "patch_with", patched)
    assert next(self_check.check("cpu"))[1] is holds


@pytest.mark.unhooked
def test_everything_is_moved_to_the_device():
    # A type of numbers is moved to by the same call, and what was left behind would not run with the rest.
    assert all(holds for _, holds in self_check.check(torch.float64))


def test_it_runs_on_cuda_where_there_is_one(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"card {number}")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(self_check, "check", lambda device: [(f"on {device}", True)])
    status, lines = told(capsys)
    assert status == 0
    assert lines[1] == "devices: cpu (8 threads), cuda (card 0), cuda (card 1), mps"
    assert lines[3:5] == ["self-check on cuda, a small MixSTE with random weights:", "  ok    on cuda"]


def test_the_small_host_gives_3d_poses():
    assert self_check.SmallHost()(torch.randn(2, 27, 17, 2)).shape == (2, 27, 17, 3)
