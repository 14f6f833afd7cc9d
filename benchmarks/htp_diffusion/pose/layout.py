"""Joint layouts: which joint stands at which index, and how they hang together."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An order of joints. Two layouts are the same only if every field is.

    The root may stand anywhere and a parent may follow its children: the orders are those of the data sets
    and detectors.

    Attributes:
        name: What a file or a checkpoint calls it.
        joints: One name a joint, in the order of the joint axis; a joint of one name is the same part of the
            body in every layout, up to each data set's own definition of it.
        parents: The index of each joint's parent; -1 marks the one root.
        left: Indices of the left joints.
        right: Indices of the right joints, in the order that pairs them with ``left``.

    Raises:
        BenchmarkError: The fields do not describe one tree with paired sides.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    def __post_init__(self):
        count = len(self.joints)
        if not count or len(self.parents) != count or len(set(self.joints)) != count:
            raise BenchmarkError(
                f"layout {self.name}: one parent a joint and different names, got {count} joints "
                f"({len(set(self.joints))} different) and {len(self.parents)} parents"
            )
        if self.parents.count(-1) != 1 or not all(self._reaches_root(joint) for joint in range(count)):
            raise BenchmarkError(f"layout {self.name}: the parents must form one tree, -1 marking its root")
        sides = self.left + self.right
        paired = len(self.left) == len(self.right) and len(set(sides)) == len(sides)
        if not paired or any(not 0 <= joint < count for joint in sides):
            raise BenchmarkError(f"layout {self.name}: left and right must be distinct joints in pairs")

    def _reaches_root(self, joint: int) -> bool:
        for _ in self.joints:
            if not -1 <= joint < len(self.joints):
                return False
            if joint == -1:
                return True
            joint = self.parents[joint]
        return joint == -1

    @property
    def num_joints(self) -> int:
        """Number of joints."""
        return len(self.joints)

    @property
    def root(self) -> int:
        """The index of the joint that poses are relative to."""
        return self.parents.index(-1)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """The bones as (parent, child) pairs, in the order of the children."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent >= 0)

    @property
    def mirror(self) -> tuple[int, ...]:
        """For each joint the joint on the other side; a middle joint maps to itself."""
        other = dict(zip(self.left + self.right, self.right + self.left, strict=True))
        return tuple(other.get(joint, joint) for joint in range(self.num_joints))

    def index(self, joint: str) -> int:
        """The index of a joint.

        Raises:
            BenchmarkError: The layout has no joint of that name.
        """
        try:
            return self.joints.index(joint)
        except ValueError:
            raise BenchmarkError(
                f"layout {self.name} has no joint {joint}; it has {', '.join(self.joints)}"
            ) from None

    def require(self, pose: Float[Tensor, "*batch joints dim"], what: str) -> None:
        """Check that a pose has this layout's number of joints.

        Args:
            pose: The pose.
            what: Where it comes from, told in the error.

        Raises:
            BenchmarkError: Another number of joints.
        """
        if pose.shape[-2] != self.num_joints:
            raise BenchmarkError(
                f"{what} has {pose.shape[-2]} joints, layout {self.name} has {self.num_joints}"
            )


def layout_of(name: str, root: str, bones: Sequence[tuple[str, str]], names: str) -> Layout:
    """A layout from its joints in order and its bones as (child, parent); sides follow from the names."""
    joints = names.split()
    parents = {root: -1} | {child: joints.index(parent) for child, parent in bones}
    left = [joint for joint in joints if joint.startswith("left_")]
    return Layout(
        name=name,
        joints=tuple(joints),
        parents=tuple(parents[joint] for joint in joints),
        left=tuple(joints.index(joint) for joint in left),
        right=tuple(joints.index(joint.replace("left_", "right_")) for joint in left),
    )


def sided(*bones: tuple[str, str]) -> list[tuple[str, str]]:
    """Each bone on the left and on the right; "*" stands for the side."""
    return [
        (child.replace("*", side), parent.replace("*", side))
        for side in ("left", "right")
        for child, parent in bones
    ]


ARM = (("*_elbow", "*_shoulder"), ("*_wrist", "*_elbow"))
LEG = (("*_knee", "*_hip"), ("*_ankle", "*_knee"))
"""Bones of an arm and of a leg, as ``sided`` takes them."""

H36M_17 = layout_of(
    "h36m-17",
    "pelvis",
    [
        ("spine", "pelvis"),
        ("thorax", "spine"),
        ("neck", "thorax"),
        ("head", "neck"),
        *sided(("*_shoulder", "thorax"), *ARM, ("*_hip", "pelvis"), *LEG),
    ],
    (
        "pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle spine thorax neck head "
        "left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist"
    ),
)
"""Human3.6M, the 17 joints that the field evaluates. Its "neck" lies where the face begins, which 2D
detectors answer with the nose."""

MPI_INF_3DHP_17 = layout_of(
    "mpi-inf-3dhp-17",
    "pelvis",
    [
        ("spine", "pelvis"),
        ("neck", "spine"),
        ("head", "neck"),
        ("head_top", "neck"),
        *sided(("*_shoulder", "neck"), *ARM, ("*_hip", "pelvis"), *LEG),
    ],
    (
        "head_top neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
        "right_hip right_knee right_ankle left_hip left_knee left_ankle pelvis spine head"
    ),
)
"""MPI-INF-3DHP, the 17 "relevant" joints in the order of its evaluation scripts; the root is joint 14."""

_NO_PCK = {MPI_INF_3DHP_17: ("pelvis", "spine", "head"), H36M_17: ("pelvis", "spine", "neck")}


def pck_joints(layout: Layout) -> tuple[int, ...]:
    """The 14 joints of PCK and AUC: head top, neck, shoulders, elbows, wrists, hips, knees and ankles.

    Those of mpii_get_pck_auc_joint_groups, MPI-INF-3DHP's own script; its MPJPE is of all 17.

    Args:
        layout: MPI-INF-3DHP's, or Human3.6M's for poses converted joint by joint ("by-place").
    """
    return tuple(index for index, joint in enumerate(layout.joints) if joint not in _NO_PCK[layout])
