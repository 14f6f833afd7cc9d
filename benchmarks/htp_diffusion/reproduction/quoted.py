"""Quoted: every figure of the paper that is known here, under the table or figure that prints it."""

from htp_diffusion.reproduction.part import Compared
from htp_diffusion.speed.paper_tables import printed, printed_tables

_POINTS = (
    ("D3DP: MPJPE, mm", printed("Table I", "D3DP", "MPJPE, mm, CPN 2D")),
    ("HTP n=3: MPJPE, mm", printed("Table I", "HTP", "MPJPE, mm, CPN 2D")),
    ("D3DP: GMACs a frame, H=20, K=10", printed("Table V", "D3DP", "GMACs a frame, H=20, K=10")),
    ("HTP n=1: GMACs a frame, H=20, K=10", printed("Table V", "HTP n=1", "GMACs a frame, H=20, K=10")),
)
"""What Figure 1 draws, as the tables print it."""


QUOTED: tuple[Compared, ...] = (
    *(
        Compared(item=table.item, what=f"{row.name}: {figure.name}", measured=None, quoted=figure.value)
        for table in printed_tables().values()
        for row in table.rows
        for figure in row.figures
    ),
    *(Compared(item="Figure 1", what=what, measured=None, quoted=value) for what, value in _POINTS),
)
"""The paper's figures."""
