"""What every test shares: one thread, fixed seeds, a deterministic hypothesis profile, the real motion."""

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).resolve().parent.parent
CMU = ROOT.parent / "shared" / "data" / "cmu"

# The oracles, networks and files that tests share.
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("htp_modules", "benchmarks")]

settings.register_profile(
    "project",
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# For mutation testing: that a test fails is enough, the smallest example is not looked for.
settings.register_profile(
    "mutation", settings.get_profile("project"), phases=(Phase.explicit, Phase.generate), max_examples=10
)
settings.load_profile("project")
torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def cmu_path() -> Path:
    """The folder of the real motion; a test that asks for it is skipped where it is not there."""
    if not (CMU / "data_3d_cmu.npz").is_file():
        pytest.skip(f"no real motion at {CMU}")
    return CMU
