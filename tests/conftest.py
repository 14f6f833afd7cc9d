"""What every test shares: one thread, fixed seeds, a deterministic hypothesis profile, the real motion."""

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).resolve().parent.parent
CMU = ROOT.parent / "shared" / "data" / "cmu"
VIDEO = ROOT.parent / "shared" / "data" / "video"

# The oracles, networks and files that tests share.
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("htp_modules", "benchmarks")]

settings.register_profile(
    "project",
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# By hand, with an option of pytest: --hypothesis-profile=thorough
settings.register_profile("thorough", settings.get_profile("project"), derandomize=False, max_examples=2000)
# For mutation testing: that a test fails is enough, the smallest example is not looked for.
settings.register_profile(
    "mutation", settings.get_profile("project"), phases=(Phase.explicit, Phase.generate), max_examples=10
)
settings.load_profile("project")
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much the tests that draw at random do; by hand, more."""
    parser.addoption("--mutations", type=int, default=100, help="damaged files a format (default 100)")
    parser.addoption("--sequences", type=int, default=50, help="of what is done to a model (default 50)")
    parser.addoption("--kills", type=int, default=3, help="kills of a training run (default 3)")


@pytest.fixture
def mutations(request: pytest.FixtureRequest) -> int:
    """Damaged files a format."""
    return request.config.getoption("--mutations")


@pytest.fixture
def sequences(request: pytest.FixtureRequest) -> int:
    """Random sequences of what is done to a model."""
    return request.config.getoption("--sequences")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """Kills of a training run."""
    return request.config.getoption("--kills")


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


@pytest.fixture(scope="session")
def video_path() -> Path:
    """The folder of the real video's detections; skipped likewise."""
    if not (VIDEO / "reference.npz").is_file():
        pytest.skip(f"no real video at {VIDEO}")
    return VIDEO
