"""The conversions that there are between joint layouts, by name.

Public lifters turn the 17 joints of COCO into those of Human3.6M by different rules, and a network sees the
difference: none is a default, and the caller says which one is meant. The lifters of VideoPose3D, P-STMO and
D3DP for videos in the wild use none: their networks are trained on COCO's joints and take them as they are.
"""

from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.conversion import Conversion, Rule
from htp_diffusion.pose.layout import H36M_17, MPI_INF_3DHP_17, Layout
from htp_diffusion.pose.layouts import BODY_25, COCO_17, COCO_18, HALPE_26, MEDIAPIPE_33


def _mean(*joints: str) -> dict[str, float]:
    return dict.fromkeys(joints, 1.0 / len(joints))


_HIPS = ("left_hip", "right_hip")
_SHOULDERS = ("left_shoulder", "right_shoulder")
_EYES = ("left_eye", "right_eye")
_FACE = (*_EYES, "left_ear", "right_ear")


def _gast(name: str, spine_shift: float, used_by: str) -> Conversion:
    """GAST-Net's rule; ``spine_shift``: how far the spine's x moves from the line of pelvis and thorax.

    Thorax: a third of the way from the middle of the shoulders to the nose, its y moved by two thirds of the
    height of the eyes above the nose. Spine: the mean s of shoulders and hips, its x moved to
    s + shift * (s - mean of pelvis and thorax). Neck: three quarters nose. Head: x of the mean of the face,
    y as far above the eyes as the eyes are above the nose.
    """
    thorax = {"left_shoulder": 1 / 3, "right_shoulder": 1 / 3, "nose": 1 / 3}
    trunk = _mean(*_SHOULDERS, *_HIPS)
    middle = {"left_hip": 0.25, "right_hip": 0.25} | {joint: weight / 2 for joint, weight in thorax.items()}
    spine_x = {
        joint: (1 + spine_shift) * trunk.get(joint, 0.0) - spine_shift * middle[joint] for joint in middle
    }
    rule: Rule = {
        "pelvis": _mean(*_HIPS),
        "spine": trunk,
        "thorax": thorax,
        "neck": {"left_shoulder": 0.125, "right_shoulder": 0.125, "nose": 0.75},
        "head": _mean(*_FACE),
    }
    return Conversion(
        name=name,
        source=COCO_17,
        target=H36M_17,
        rule=rule,
        x={"spine": spine_x},
        y={
            "thorax": thorax | {"left_eye": -1 / 3, "right_eye": -1 / 3, "nose": 1.0},
            "head": {"left_eye": 1.0, "right_eye": 1.0, "nose": -1.0},
        },
        used_by=used_by,
    )


COCO_MOTIONBERT = Conversion(
    name="motionbert",
    source=COCO_17,
    target=H36M_17,
    rule={
        "pelvis": _mean(*_HIPS),
        "spine": _mean(*_SHOULDERS, *_HIPS),
        "thorax": _mean(*_SHOULDERS),
        "neck": {"nose": 1.0},
        "head": _mean(*_EYES),
    },
    used_by="MotionBERT (dataset_action), MMPose (convert_keypoint_definition)",
)

COCO_GAST = _gast(
    "gast",
    2.0,
    "the demos of GAST-Net, MHFormer, HoT, PoseFormerV2 (preprocess.coco_h36m): what the lifter sees",
)

COCO_GAST_HRNET = _gast(
    "gast-hrnet",
    0.3,
    "MHFormer and HoT (hrnet utils.coco_h36m): the same file names and rule but for the spine's x",
)

COCO_ATHLETEPOSE3D = Conversion(
    name="athletepose3d",
    source=COCO_17,
    target=H36M_17,
    rule={
        "pelvis": _mean(*_HIPS),
        "spine": _mean(*_SHOULDERS, *_HIPS),
        "thorax": _mean(*_SHOULDERS),
        "neck": {"left_shoulder": 0.25, "right_shoulder": 0.25, "nose": 0.5},
        "head": {"nose": 1.0},
    },
    used_by="AthletePose3D (stats_test/get_kinematics)",
)

HALPE_MOTIONBERT = Conversion(
    name="motionbert",
    source=HALPE_26,
    target=H36M_17,
    rule={"spine": _mean("neck", "pelvis"), "thorax": {"neck": 1.0}, "neck": {"nose": 1.0}},
    used_by="MotionBERT (dataset_wild.halpe2h36m), whose released networks expect AlphaPose detections",
)

BODY25_MOTIONBERT = Conversion(
    name="motionbert",
    source=BODY_25,
    target=H36M_17,
    rule={
        "spine": _mean("neck", "pelvis"),
        "thorax": {"neck": 1.0},
        "neck": {"nose": 1.0},
        "head": _mean(*_EYES),
    },
    used_by="adaptors of MotionBERT to OpenPose: its COCO rule, with the neck and pelvis that are detected",
)

COCO18_MOTIONBERT = Conversion(
    name="motionbert",
    source=COCO_18,
    target=H36M_17,
    rule={
        "pelvis": _mean(*_HIPS),
        "spine": {"neck": 0.5, "left_hip": 0.25, "right_hip": 0.25},
        "thorax": {"neck": 1.0},
        "neck": {"nose": 1.0},
        "head": _mean(*_EYES),
    },
    used_by="the rule from coco-17 with the neck that OpenPose detects",
)

MEDIAPIPE_MOTIONBERT = Conversion(
    name="motionbert",
    source=MEDIAPIPE_33,
    target=H36M_17,
    rule=COCO_MOTIONBERT.rule,
    used_by="the rule from coco-17, whose joints MediaPipe has",
)

# Where the clips of the CMU motion capture data have these joints. Trunk: fractions of the way from the hips
# to the shoulders (their middles), means over the 28 clips. Head: of the way from the shoulders to the
# ears, which lie 0.16 m higher on a detected person; neck and head of the clips lie 0.117 and 0.206 m higher.
CMU_TRUNK = {"pelvis": 0.186, "spine": 0.644, "thorax": 0.873}
_CMU_HEAD = {"neck": 0.72, "head": 1.25}


def _cmu(source: Layout) -> Conversion:
    """Trunk and head where the CMU skeleton has them; limbs as detected."""
    hips, shoulders, ears = _mean(*_HIPS), _mean(*_SHOULDERS), _mean("left_ear", "right_ear")
    trunk = {joint: _between(hips, shoulders, way) for joint, way in CMU_TRUNK.items()}
    head = {joint: _between(shoulders, ears, way) for joint, way in _CMU_HEAD.items()}
    return Conversion(
        name="cmu",
        source=source,
        target=H36M_17,
        rule=trunk | head,
        used_by="networks trained on CMU motion, as this project's own: its pelvis lies above the hips, its "
        "thorax below the shoulders, its neck at the base of the skull",
    )


def _between(near: dict[str, float], far: dict[str, float], way: float) -> dict[str, float]:
    """Weights of the point that lies so far on the way; beyond the far end above 1."""
    return {joint: (1 - way) * weight for joint, weight in near.items()} | {
        joint: way * weight for joint, weight in far.items()
    }


HALPE_TO_COCO = Conversion(
    name="same-joints",
    source=HALPE_26,
    target=COCO_17,
    rule={},
    used_by="the first 17 joints of Halpe are COCO's",
)

BODY25_TO_COCO = Conversion(
    name="same-joints",
    source=BODY_25,
    target=COCO_17,
    rule={},
    used_by="BODY_25 holds every joint of COCO",
)

MPI_TO_H36M = Conversion(
    name="by-place",
    source=MPI_INF_3DHP_17,
    target=H36M_17,
    rule={"thorax": {"neck": 1.0}, "neck": {"head": 1.0}, "head": {"head_top": 1.0}},
    used_by="Human3.6M networks on MPI-INF-3DHP (FMPose3D): each joint by its place in the tree",
)

H36M_TO_MPI = Conversion(
    name="by-place",
    source=H36M_17,
    target=MPI_INF_3DHP_17,
    rule={"neck": {"thorax": 1.0}, "head": {"neck": 1.0}, "head_top": {"head": 1.0}},
    used_by="the inverse of the rule from mpi-inf-3dhp-17",
)

CONVERSIONS = (
    COCO_MOTIONBERT,
    COCO_GAST,
    COCO_GAST_HRNET,
    COCO_ATHLETEPOSE3D,
    HALPE_MOTIONBERT,
    BODY25_MOTIONBERT,
    COCO18_MOTIONBERT,
    MEDIAPIPE_MOTIONBERT,
    *map(_cmu, (COCO_17, COCO_18, HALPE_26, BODY_25, MEDIAPIPE_33)),
    HALPE_TO_COCO,
    BODY25_TO_COCO,
    MPI_TO_H36M,
    H36M_TO_MPI,
)


def conversion(source: Layout, target: Layout, rule: str | None) -> Conversion:
    """The conversion of that name between two layouts.

    Args:
        source: The layout of the poses at hand.
        target: The layout that is wanted.
        rule: The rule's name.

    Raises:
        BenchmarkError: No rule is named, or there is none of that name between the two; the message lists
            those there are.
    """
    found = {c.name: c for c in CONVERSIONS if c.source == source and c.target == target}
    if rule in found:
        return found[rule]
    asked = f"no rule {rule!r}" if rule else "no rule is named"
    known = "; ".join(f"{name} ({c.used_by})" for name, c in found.items())
    others = ", ".join(f"{c.source.name} to {c.target.name}: {c.name}" for c in CONVERSIONS)
    raise BenchmarkError(
        f"{source.name} to {target.name}: {asked}. "
        + (f"Choose one of: {known}" if found else f"No rule joins the two. There are: {others}")
    )


def convert(
    pose: Float[Tensor, "*batch source dim"], source: Layout, target: Layout, rule: str | None = None
) -> Float[Tensor, "*batch target dim"]:
    """Convert poses by the rule of that name; poses of the wanted layout come back as they are.

    Raises:
        BenchmarkError: As ``conversion`` and ``Conversion.apply``.
    """
    if source == target:
        source.require(pose, "the pose to convert")
        return pose
    return conversion(source, target, rule).apply(pose)
