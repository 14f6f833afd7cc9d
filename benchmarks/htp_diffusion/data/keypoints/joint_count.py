"""Which layout a number of joints is."""

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import Layout
from htp_diffusion.pose.layouts import BODY_25, COCO_17, COCO_18, HALPE_26, MEDIAPIPE_33

_KNOWN = {17: COCO_17, 18: COCO_18, 25: BODY_25, 26: HALPE_26, 33: MEDIAPIPE_33, 133: COCO_17, 136: HALPE_26}
"""The whole-body layouts of 133 (COCO) and 136 joints (Halpe) begin with the body's, the rest is left out."""


def layout_of_count(count: int, what: str, asked: Layout | None = None) -> Layout:
    """The layout that so many joints are in; joints after the layout's last are left out.

    Args:
        count: Number of joints.
        what: Where they come from, told in the error.
        asked: The layout that the user names instead.

    Raises:
        BenchmarkError: No layout has so many, or the one asked for does not.
    """
    known = _KNOWN.get(count)
    if asked is not None:
        longer = known is not None and known.num_joints == asked.num_joints
        if asked.num_joints == count or longer:
            return asked
        raise BenchmarkError(f"{what}: {count} joints, layout {asked.name} has {asked.num_joints}")
    if known is None:
        counts = ", ".join(f"{number} ({layout.name})" for number, layout in _KNOWN.items())
        raise BenchmarkError(f"{what}: {count} joints are no known layout's; known are {counts}")
    return known


def one_layout(here: Layout, before: Layout | None, what: str) -> Layout:
    """The layout of a person, which is that of those before, if there are any.

    Args:
        here: The person's.
        before: That of those before.
        what: Where the person comes from, told in the error.

    Raises:
        BenchmarkError: It is another one.
    """
    if before is not None and here != before:
        raise BenchmarkError(f"{what}: {here.name} after {before.name}: two layouts are mixed")
    return here
