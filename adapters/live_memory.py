"""Live memory: the bytes of tensors that are alive at once on a CPU, by the profiler's memory events.

Resident memory swings with what the allocator and the libraries keep back; the tensors of a call are the same
in every run.
"""

import os
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

from torch.autograd import DeviceType
from torch.autograd.profiler import profile

_MEMORY = "[memory]"  # what the profiler calls an allocation (bytes above 0) or a release (below)
_SILENT = "99"  # above every level that it has


def peak_of(changes: Iterable[int]) -> int:
    """Highest level that a row of allocations and releases reaches over the level it starts from; 0 at least.

    Args:
        changes: Bytes in the order of time: above 0 when allocated, below 0 when released.
    """
    return max(accumulate(changes, initial=0))


def peak_live_bytes(function: Callable[[], Any]) -> int:
    """Call a function once and count the most bytes of CPU tensors alive at once, over those alive before.

    What was alive before does not count, not even when it is released meanwhile. Memory that libraries take
    for themselves is not seen.

    Args:
        function: What to call, with no profiler running.
    """
    # The profiler announces its start and its end on the terminal otherwise (PyTorch 2.13).
    os.environ.setdefault("KINETO_LOG_LEVEL", _SILENT)
    # torch.profiler's own warns that it clears its events (PyTorch 2.10), or makes an object of each of them.
    seen = profile(profile_memory=True)
    with seen:
        function()
    return peak_of(_changes(seen))


def _changes(seen: profile) -> list[int]:
    """Bytes allocated and released on the CPU, in the order of time."""
    results = seen.kineto_results
    events: list[Any] = [] if results is None else results.events()  # typed without their bytes
    memory = [event for event in events if event.name() == _MEMORY and event.device_type() == DeviceType.CPU]
    return [event.nbytes() for event in sorted(memory, key=lambda event: event.start_ns())]
