"""The hosts as fixtures. ``host`` is each of them, ``graph_host`` those that the slow tests run over."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "upstream")]

import hosts  # noqa: E402


@pytest.fixture(params=hosts.ALL, ids=lambda host: host.name)
def host(request):
    return request.param


@pytest.fixture(params=hosts.GRAPHS, ids=lambda host: host.name)
def graph_host(request):
    return request.param
