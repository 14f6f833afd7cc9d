"""Numbers in words. Oracle: English."""

import pytest
import torch

from adapters import self_check, trial
from adapters.words import counted


@pytest.mark.parametrize(("number", "told"), [(0, "0 threads"), (1, "1 thread"), (2, "2 threads")])
def test_one_is_told_without_an_s(number, told):
    assert counted(number, "thread") == told


@pytest.mark.parametrize(("threads", "told"), [(1, "1 thread)"), (3, "3 threads)")])
def test_what_times_were_taken_on_and_what_there_is_tell_the_threads_alike(threads, told, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert trial.device_in_words(torch.device("cpu")).endswith(told)
    assert f"cpu ({told}" in self_check.devices()
