"""Quoted: the paper's figures that are not already beside a count."""

from htp_diffusion.reproduction.datasets import UNPLACED
from htp_diffusion.reproduction.part import Compared


def _quoted(item: str, what: str, *figures: tuple[str, float]) -> tuple[Compared, ...]:
    return tuple(
        Compared(item=item, what=f"{name}: {what}", measured=None, quoted=value) for name, value in figures
    )


QUOTED: tuple[Compared, ...] = (
    *_quoted(
        "Table I",
        "MPJPE, mm, CPN 2D",
        ("D3DP", 35.4),
        ("FinePOSE", 31.9),
        ("KTPFormer", 33.0),
        ("HTP", 29.9),
        ("MixSTE", 40.9),
        ("HTP w/ MixSTE", 39.9),
        ("MotionBERT", 39.2),
        ("HTP w/ MotionBERT", 38.9),
    ),
    *_quoted(
        "Table I",
        "P-MPJPE, mm, CPN 2D",
        ("D3DP", 28.7),
        ("FinePOSE", 25.0),
        ("KTPFormer", 26.2),
        ("HTP", 23.3),
    ),
    *_quoted(
        "Table I",
        "MPJPE, mm, true 2D",
        ("D3DP", 18.4),
        ("FinePOSE", 16.7),
        ("KTPFormer", 18.1),
        ("HTP", 16.7),
    ),
    *_quoted(
        "Table V",
        "H=20, K=1: frames/s",
        ("D3DP", 772.7),
        ("FinePOSE", 723.7),
        ("KTPFormer", 705.8),
        ("HTP n=1", 2277.5),
    ),
    *_quoted(
        "Table V",
        "H=20, K=10: frames/s",
        ("D3DP", 79.6),
        ("FinePOSE", 73.8),
        ("KTPFormer", 73.5),
        ("HTP n=1", 137.0),
    ),
    *_quoted("Table VIII", "MPJPE, mm", ("n=1", 33.0), ("n=2", 32.0), ("n=3", 29.9), ("n=4", 30.8)),
    *_quoted("Table X", "MPJPE, mm", ("k=243", 30.3), ("k=162", 29.9), ("k=81", 34.4)),
    *_quoted("Table X", "frames/s", ("k=243", 242.5), ("k=162", 244.6), ("k=81", 254.3)),
    *_quoted(
        "Table XI",
        "MPJPE, mm",
        ("baseline", 34.7),
        ("+ TCEP", 31.9),
        ("+ TCEP, SFT MHSA", 33.3),
        ("+ TCEP, MGPTP", 31.6),
        ("all", 29.9),
    ),
    *_quoted(
        "Table XII",
        "MPJPE, mm",
        ("mask in neither", 32.7),
        ("in MGPTP alone", 31.6),
        ("in the attention alone", 31.3),
        ("in both", 29.9),
    ),
    *_quoted("Table XIII", "MPJPE, mm", ("T=81", 34.4), ("T=162", 34.3), ("T=243", 29.9)),
    *_quoted("Figure 1", "MPJPE, mm", ("D3DP", 35.4), ("HTP n=3", 29.9)),
    *_quoted("Figure 1", "GMACs a frame, H=20, K=10", ("D3DP", 228.8), ("HTP n=1", 99.8)),
    *_quoted(UNPLACED, "MPI-INF-3DHP, MPJPE, mm", ("D3DP", 28.1), ("HTP", 26.4)),
    *_quoted(UNPLACED, "MPI-INF-3DHP, PCK, %", ("D3DP", 98.0), ("HTP", 99.5)),
    *_quoted(UNPLACED, "MPI-INF-3DHP, AUC, %", ("D3DP", 79.1), ("HTP", 80.5)),
)
"""The paper's figures that are not already beside a count."""
