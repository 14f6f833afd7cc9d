"""The lenses of the MPI-INF-3DHP cameras, from the calibration files of the data set (Mehta et al. 2017).

The files of poses hold camera-frame coordinates, so that where a camera stood does not matter.
"""

import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.cameras import Camera

_TRAIN_SIZE = (2048, 2048)
_OUTDOOR_SIZE = (1920, 1080)

# Focal length along x and y and principal point, pixels, of the training cameras.
_TRAIN = {
    "0": (1497.693, 1497.103, 1024.704, 1051.394),
    "1": (1495.217, 1495.52, 1030.519, 1052.626),
    "2": (1495.587, 1497.828, 983.8873, 987.5902),
    "3": (1495.886, 1496.033, 1029.06, 1041.409),
    "4": (1490.952, 1491.108, 987.6075, 1019.069),
    "5": (1500.414, 1499.971, 1012.331, 998.5009),
    "6": (1498.471, 1498.8, 999.7319, 1010.251),
    "7": (1498.831, 1499.674, 987.2716, 976.8773),
    "8": (1500.172, 1500.837, 1017.387, 1043.032),
    "9": (1501.554, 1501.9, 1010.423, 1037.096),
    "10": (1498.423, 1498.585, 1041.614, 997.0433),
    "11": (1495.779, 1493.703, 1009.802, 999.9984),
    "12": (1501.326, 1501.491, 1000.56, 1014.975),
    "13": (1496.961, 1497.378, 1005.702, 1004.214),
}

MPI_TEST = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
_OUTDOOR = ("TS5", "TS6")

# TS5 and TS6: a sensor of 10 mm for 1920 pixels, focal length 8.770747185 mm, pixel aspect 0.993236423,
# principal point (-0.104908645, 0.104899704) mm from the middle.
_OUTDOOR_LENS = (1683.98346, 1672.59371, 939.85754, 560.14074)


def mpi_train_camera(camera: str) -> Camera:
    """The lens of a training camera, by its number.

    Raises:
        BenchmarkError: No such camera.
    """
    if camera not in _TRAIN:
        raise BenchmarkError(f"no MPI-INF-3DHP camera {camera!r}; there are {', '.join(_TRAIN)}")
    return _pinhole(_TRAIN[camera], _TRAIN_SIZE, f"cam{camera}")


def mpi_test_camera(sequence: str) -> Camera:
    """The lens behind a test sequence: training camera 8 for TS1 to TS4, an outdoor camera for TS5 and TS6.

    The outdoor camera's lens distortion (OpenCV k1, k2, p1, p2, k3: -0.276859611, 0.131125256, -0.000360494,
    -0.001149441, -0.049318332) is left out. The public D3DP leaves it
    out too, and the pixel aspect with it: it projects with the focal length along x for both axes.

    Raises:
        BenchmarkError: No such sequence.
    """
    if sequence not in MPI_TEST:
        raise BenchmarkError(f"no MPI-INF-3DHP test sequence {sequence!r}; there are {', '.join(MPI_TEST)}")
    if sequence in _OUTDOOR:
        return _pinhole(_OUTDOOR_LENS, _OUTDOOR_SIZE, sequence)
    return _pinhole(_TRAIN["8"], _TRAIN_SIZE, sequence)


def _pinhole(lens: tuple[float, float, float, float], image_size: tuple[int, int], name: str) -> Camera:
    """A camera whose own frame is the world."""
    return Camera(
        rotation=torch.eye(3),
        translation=torch.zeros(3),
        focal=torch.tensor(lens[:2]),
        centre=torch.tensor(lens[2:]),
        image_size=image_size,
        name=name,
    )
