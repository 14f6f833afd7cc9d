"""A trial of a model, and what it is given to run. Oracle: the adapters' defaults; PyTorch's generator."""

import hosts
import pytest
import torch

import adapters
from adapters.trial import Trial, device_in_words, random_clips, repeatable, trial
from htp_modules import HTPConfig

MIXSTE, D3DP, HYPS, MOTIONBERT = hosts.PUBLIC
CPU = torch.device("cpu")


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("host", [MIXSTE, MOTIONBERT, hosts.PRIORS[2]], ids=lambda host: host.name)
def test_the_config_of_a_trial_by_default(host, depth):
    model = host.make(depth=depth)
    with trial(model) as tried:
        pairs, defaults = tried.adapter.num_pairs(tried.htp.facts), tried.adapter.defaults
        assert tried.htp.config == HTPConfig(
            num_sft_layers=min(defaults.num_sft_layers, pairs - 1), recovery="interpolate", spatial_gcn=False
        )
        assert pairs == depth + (host is not MIXSTE)
        assert tried.plain(lambda: tried.htp.enabled) is False
        assert tried.htp.enabled is True
    assert not adapters.is_patched(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_random_clips_are_the_same_in_every_call(dtype):
    with trial(D3DP.make().to(dtype)) as tried:
        torch.manual_seed(5)
        first = random_clips(tried, 3, 9)
        again = random_clips(tried, 3, 9)
    assert [tuple(part.shape) for part in first] == [(3, 9, 5, 2), (3, 9, 5, 3), (3,)]
    assert [part.dtype for part in first] == [dtype, dtype, torch.int64]
    assert all(torch.equal(*parts) for parts in zip(first, again, strict=True))
    assert not torch.equal(first[0][0], first[0][1])
    expected = torch.Generator().manual_seed(0)
    assert torch.equal(first[0][0], torch.randn(9, 5, 2, generator=expected).to(dtype))


def test_random_clips_are_what_the_mode_of_the_host_takes():
    with trial(HYPS.make()) as tried:
        assert [tuple(part.shape) for part in random_clips(tried, 3, 9)] == [
            (3, 9, 5, 2),
            (3, 1, 9, 5, 3),
            (3,),
        ]
        tried.device = torch.device("meta")
        assert all(part.is_meta for part in random_clips(tried, 3, 9))


def test_the_seed_is_set_on_the_cpu_and_on_the_device(monkeypatch):
    seen = []

    class Device:
        def __init__(self, device):
            seen.append(device)

        def __enter__(self):
            seen.append("enter")

        def __exit__(self, *_):
            seen.append("exit")

    monkeypatch.setattr(torch.cuda, "device", Device)
    monkeypatch.setattr(torch.cuda, "manual_seed", seen.append)
    for device in (torch.device("cuda:1"), CPU):
        torch.manual_seed(7)
        repeatable(device)
        assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(0)))
    assert seen == [torch.device("cuda:1"), "enter", 0, "exit"]


def test_what_times_were_taken_on(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    for threads, said in ((1, "1 thread"), (2, "2 threads"), (16, "16 threads")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert device_in_words(CPU) == f"cpu (riscv, {said})"
    assert device_in_words(torch.device("cuda:3")) == "card 3"


def test_the_name_of_a_trial():
    with trial(MOTIONBERT.make()) as tried:
        assert isinstance(tried, Trial)
        assert tried.name == "DSTformer, a MotionBERT DSTformer"
