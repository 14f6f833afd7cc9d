"""What every script does before and after its work."""

import ctypes

from htp_diffusion.base import command


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    calls = []

    class Glibc:
        @staticmethod
        def mallopt(name, value):
            calls.append((name, value))

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Glibc)
    command.keep_freed_memory()
    # malloc.h: M_MMAP_THRESHOLD is -3, M_TRIM_THRESHOLD is -1.
    assert calls == [(-3, 2**30), (-1, 2**30)]


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    command.keep_freed_memory()
