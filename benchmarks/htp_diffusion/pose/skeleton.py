"""The skeleton: joint names, the tree that joins them, and which joints are left and right."""

from dataclasses import dataclass
from functools import cached_property

from htp_diffusion.errors import BenchmarkError


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """A tree of joints.

    Attributes:
        names: One name a joint, in the order of the joint axis.
        parents: The index of each joint's parent; -1 marks the root, which comes first. A parent
            comes before its children.
        left: Indices of the left joints.
        right: Indices of the right joints, in the order that pairs them with ``left``.

    Raises:
        BenchmarkError: The fields do not describe one tree with paired sides.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    def __post_init__(self):
        if len(self.names) != len(self.parents) or not self.names:
            raise BenchmarkError(
                f"a skeleton has one parent a joint: {len(self.names)} names, {len(self.parents)} parents"
            )
        if self.parents[0] != -1 or any(not 0 <= p < j for j, p in enumerate(self.parents) if j):
            raise BenchmarkError(
                "skeleton parents must be -1 for joint 0 and an earlier joint for every other joint"
            )
        sides = self.left + self.right
        if len(self.left) != len(self.right) or len(set(sides)) != len(sides):
            raise BenchmarkError("the left and right joints of a skeleton must be distinct and come in pairs")
        if any(not 0 <= joint < len(self.names) for joint in sides):
            raise BenchmarkError("a left or right joint of the skeleton is out of range")

    @property
    def num_joints(self) -> int:
        """Number of joints."""
        return len(self.names)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """The bones as (parent, child) pairs, in the order of the children."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent >= 0)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Another name for ``edges``."""
        return self.edges

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """For each joint the joint on the other side; a middle joint maps to itself."""
        order = list(range(self.num_joints))
        for left, right in zip(self.left, self.right, strict=True):
            order[left], order[right] = right, left
        return tuple(order)


H36M17 = Skeleton(
    names=(
        "pelvis",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "thorax",
        "neck",
        "head",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ),
    parents=(-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
)
"""The 17 joints of Human3.6M that the field evaluates, in the field's order."""
