import pytest
import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import H36M_17, MPI_INF_3DHP_17, Layout
from htp_diffusion.pose.layouts import (
    BODY_25,
    COCO_17,
    COCO_18,
    HALPE_26,
    LAYOUTS,
    MEDIAPIPE_33,
    layout_named,
)
from htp_diffusion.pose.space import CAMERA_METRES, MOTIONBERT_IMAGE, PoseSpace

COCO_RULES = ("motionbert", "gast", "gast-hrnet", "athletepose3d")


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("layout", "places"),
    [
        # Each index as the data set's or the detector's own documentation numbers it.
        (H36M_17, {0: "pelvis", 1: "right_hip", 6: "left_ankle", 9: "neck", 11: "left_shoulder"}),
        (COCO_17, {0: "nose", 3: "left_ear", 6: "right_shoulder", 11: "left_hip", 16: "right_ankle"}),
        (HALPE_26, {16: "right_ankle", 17: "head", 18: "neck", 19: "pelvis", 22: "left_small_toe"}),
        (HALPE_26, {0: "nose", 20: "left_big_toe", 21: "right_big_toe", 24: "left_heel", 25: "right_heel"}),
        (COCO_18, {0: "nose", 1: "neck", 2: "right_shoulder", 7: "left_wrist", 8: "right_hip"}),
        (COCO_18, {13: "left_ankle", 14: "right_eye", 15: "left_eye", 16: "right_ear", 17: "left_ear"}),
        (MEDIAPIPE_33, {0: "nose", 2: "left_eye", 5: "right_eye", 7: "left_ear", 8: "right_ear"}),
        (MEDIAPIPE_33, {11: "left_shoulder", 14: "right_elbow", 15: "left_wrist", 24: "right_hip"}),
        (MEDIAPIPE_33, {25: "left_knee", 28: "right_ankle", 29: "left_heel", 32: "right_foot_index"}),
        (BODY_25, {1: "neck", 4: "right_wrist", 8: "pelvis", 12: "left_hip", 16: "left_eye", 18: "left_ear"}),
        (BODY_25, {19: "left_big_toe", 21: "left_heel", 22: "right_big_toe", 24: "right_heel"}),
        (MPI_INF_3DHP_17, {0: "head_top", 1: "neck", 4: "right_wrist", 7: "left_wrist", 14: "pelvis"}),
        (MPI_INF_3DHP_17, {8: "right_hip", 13: "left_ankle", 15: "spine", 16: "head"}),
    ],
)
def test_joints_stand_where_their_source_numbers_them(layout, places):
    assert {index: layout.joints[index] for index in places} == places


def test_layouts_have_their_sizes_roots_and_sides():
    assert [layout.num_joints for layout in LAYOUTS] == [17, 17, 18, 26, 25, 33, 17]
    assert [layout.root for layout in LAYOUTS] == [0, 0, 1, 19, 8, 0, 14]
    # As P-STMO and D3DP flip MPI-INF-3DHP, and as VideoPose3D's metadata of COCO files say.
    assert (MPI_INF_3DHP_17.left, MPI_INF_3DHP_17.right) == ((5, 6, 7, 11, 12, 13), (2, 3, 4, 8, 9, 10))
    assert (COCO_17.left, COCO_17.right) == (tuple(range(1, 17, 2)), tuple(range(2, 17, 2)))
    for layout in LAYOUTS:
        for left, right in zip(layout.left, layout.right, strict=True):
            assert layout.joints[left].replace("left", "right") == layout.joints[right]


def test_h36m_is_the_tree_of_the_field():
    named = {(H36M_17.joints[parent], H36M_17.joints[child]) for parent, child in H36M_17.bones}
    assert H36M_17.num_joints == 17
    # The parents that VideoPose3D's h36m_dataset.py leaves after it has taken the 17 joints out of 32.
    assert H36M_17.parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert len(H36M_17.bones) == 16
    assert {
        ("pelvis", "left_hip"),
        ("thorax", "neck"),
        ("neck", "head"),
        ("thorax", "right_shoulder"),
    } <= named
    assert {("left_knee", "left_ankle"), ("right_elbow", "right_wrist"), ("pelvis", "spine")} <= named


def test_mirror_renames_left_to_right():
    swapped = [
        name.replace("left", "X").replace("right", "left").replace("X", "right") for name in H36M_17.joints
    ]
    assert [H36M_17.joints[joint] for joint in H36M_17.mirror] == swapped


def test_the_tree_of_mpi_inf_3dhp_is_its_evaluation_scripts():
    # joint_parents_o1 of mpii_get_joints('relevant'), which counts from 1 and makes the root its own parent.
    scripts = [2, 16, 2, 3, 4, 2, 6, 7, 15, 9, 10, 15, 12, 13, 15, 15, 2]
    parents = [14 if parent == -1 else parent for parent in MPI_INF_3DHP_17.parents]
    assert parents == [parent - 1 for parent in scripts]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": ("a", "a", "b")}, "2 different"),
        ({"parents": (-1, 0)}, "2 parents"),
        ({"parents": (-1, 2, 1)}, "one tree"),
        ({"parents": (-1, -1, 0)}, "one tree"),
        ({"parents": (-1, 0, 7)}, "one tree"),
        ({"left": (1, 2)}, "in pairs"),
        ({"right": (5,)}, "in pairs"),
    ],
)
def test_a_layout_that_is_no_tree_is_refused(change, message):
    fields = {"name": "x", "joints": ("a", "b", "c"), "parents": (-1, 0, 1), "left": (1,), "right": (2,)}
    with pytest.raises(BenchmarkError, match=message):
        Layout(**(fields | change))


def test_names_lead_to_layouts():
    assert all(layout_named(layout.name) is layout for layout in LAYOUTS)
    with pytest.raises(BenchmarkError, match="no layout 'smpl'; there are h36m-17, coco-17"):
        layout_named("smpl")
    with pytest.raises(BenchmarkError, match="coco-17 has no joint pelvis"):
        COCO_17.index("pelvis")


def test_a_pose_space_is_written_read_and_refuses_another():
    for space in (CAMERA_METRES, MOTIONBERT_IMAGE):
        assert PoseSpace.from_json(space.to_json(), "x") == space
    CAMERA_METRES.require(CAMERA_METRES, "x")
    with pytest.raises(BenchmarkError) as caught:
        CAMERA_METRES.require(MOTIONBERT_IMAGE, "a.bin")
    assert str(caught.value) == (
        "a.bin: unit half image width, expected metre; "
        "frame of reference image, root-relative, expected camera, root-relative"
    )
    other = PoseSpace(layout=COCO_17, unit="metre", frame="camera, root-relative")
    with pytest.raises(BenchmarkError, match=r"layout coco-17, expected h36m-17$"):
        CAMERA_METRES.require(other, "a.bin")
    with pytest.raises(BenchmarkError, match=r"a.bin does not state the unit and the frame"):
        PoseSpace.from_json({"layout": "h36m-17"}, "a.bin")
    with pytest.raises(BenchmarkError, match="no unit 'inch'; there are: metre; millimetre"):
        PoseSpace(layout=H36M_17, unit="inch", frame="camera")
