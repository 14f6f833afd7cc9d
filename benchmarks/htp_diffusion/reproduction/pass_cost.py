"""Pass cost: multiply-accumulates of one pass at the paper's sizes, from which parts estimate their time."""

from htp_diffusion.speed.lineup import Host, Sizes

PASS_GMACS: dict[Host, dict[int, int]] = {
    "d3dp": {0: 147, 1: 68, 3: 97},
    "mixste": {0: 147, 1: 68, 3: 97},
    "motionbert": {0: 185, 1: 106, 3: 116},
    "finepose": {0: 156, 1: 77},
    "ktpformer-denoiser": {0: 153},
}
"""By n of the pruned host, 0 for the plain one: every matrix product, as measure.py throughput counts them
(docs/benchmarks.md)."""


def share(sizes: Sizes) -> float:
    """What a pass at these sizes costs of one at the paper's (T=243, D=512), as the linear layers have it."""
    return sizes.frames * sizes.dim**2 / (243 * 512**2)
