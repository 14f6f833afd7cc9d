"""Numbers in words, and what files say, shown in a terminal. Oracles: English; Python's own literals."""

import ast
import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapters import self_check, trial
from adapters.words import counted, printable


@pytest.mark.parametrize(("number", "told"), [(0, "0 threads"), (1, "1 thread"), (2, "2 threads")])
def test_one_is_told_without_an_s(number, told):
    assert counted(number, "thread") == told


@pytest.mark.parametrize(("threads", "told"), [(1, "1 thread)"), (3, "3 threads)")])
def test_what_times_were_taken_on_and_what_there_is_tell_the_threads_alike(threads, told, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert trial.device_in_words(torch.device("cpu")).endswith(told)
    assert f"cpu ({told}" in self_check.devices()


@given(st.text(st.characters()))  # lone surrogates among them
def test_only_signs_that_are_shown_come_out_and_those_that_went_in_stay(text):
    shown = printable(text)
    assert not any(unicodedata.category(sign)[0] == "C" for sign in shown)
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text
    if "\\" not in text and '"' not in text:
        assert ast.literal_eval(f'"{shown}"') == text
