"""The layouts of 2D detectors, and every layout by its name."""

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import ARM, H36M_17, LEG, MPI_INF_3DHP_17, Layout, layout_of, sided

_TOES = (("*_heel", "*_ankle"), ("*_big_toe", "*_ankle"), ("*_small_toe", "*_big_toe"))
_FACE = (("*_eye", "nose"), ("*_ear", "*_eye"))

_COCO_JOINTS = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)

COCO_17 = layout_of(
    "coco-17",
    "nose",
    sided(*_FACE, ("*_shoulder", "*_ear"), *ARM, ("*_hip", "*_shoulder"), *LEG),
    _COCO_JOINTS,
)
"""COCO keypoints. The data set's graph has cycles; this tree keeps bones of it and hangs on the nose."""

HALPE_26 = layout_of(
    "halpe-26",
    "pelvis",
    [
        ("neck", "pelvis"),
        ("head", "neck"),
        ("nose", "neck"),
        *sided(*_FACE, ("*_shoulder", "neck"), *ARM, ("*_hip", "pelvis"), *LEG, *_TOES),
    ],
    f"{_COCO_JOINTS} head neck pelvis "
    "left_big_toe right_big_toe left_small_toe right_small_toe left_heel right_heel",
)
"""Halpe full body (AlphaPose): COCO's 17, then head top, neck, pelvis and feet."""

BODY_25 = layout_of(
    "openpose-body-25",
    "pelvis",
    [
        ("neck", "pelvis"),
        ("nose", "neck"),
        *sided(*_FACE, ("*_shoulder", "neck"), *ARM, ("*_hip", "pelvis"), *LEG, *_TOES),
    ],
    (
        "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist pelvis "
        "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear "
        "left_ear left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel"
    ),
)
"""OpenPose BODY_25; its MidHip is called pelvis here."""

COCO_18 = layout_of(
    "openpose-coco-18",
    "neck",
    [("nose", "neck"), *sided(*_FACE, ("*_shoulder", "neck"), *ARM, ("*_hip", "neck"), *LEG)],
    (
        "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip "
        "right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"
    ),
)
"""OpenPose COCO, the model before BODY_25: no pelvis, no feet."""

MEDIAPIPE_33 = layout_of(
    "mediapipe-33",
    "nose",
    sided(
        *(
            ("*_eye_inner", "nose"),
            ("*_eye", "*_eye_inner"),
            ("*_eye_outer", "*_eye"),
            ("*_ear", "*_eye_outer"),
        ),
        *(("*_mouth", "nose"), ("*_shoulder", "*_ear"), *ARM),
        *(("*_pinky", "*_wrist"), ("*_index", "*_wrist"), ("*_thumb", "*_wrist")),
        *(("*_hip", "*_shoulder"), *LEG, ("*_heel", "*_ankle"), ("*_foot_index", "*_ankle")),
    ),
    (
        "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer "
        "left_ear right_ear left_mouth right_mouth left_shoulder right_shoulder left_elbow right_elbow "
        "left_wrist right_wrist left_pinky right_pinky left_index right_index left_thumb right_thumb "
        "left_hip right_hip left_knee right_knee left_ankle right_ankle left_heel right_heel "
        "left_foot_index right_foot_index"
    ),
)
"""MediaPipe Pose (BlazePose). Its graph has cycles and leaves the face loose; this tree hangs on the nose."""

LAYOUTS = (H36M_17, COCO_17, COCO_18, HALPE_26, BODY_25, MEDIAPIPE_33, MPI_INF_3DHP_17)


def layout_named(name: str) -> Layout:
    """The layout of a name.

    Raises:
        BenchmarkError: No layout has that name; the message lists those there are.
    """
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise BenchmarkError(f"no layout {name!r}; there are {', '.join(layout.name for layout in LAYOUTS)}")
