"""The conversion between two joint layouts: an explicit rule, linear in the joints, with a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import Layout

Rule = Mapping[str, Mapping[str, float]]
"""For each joint of the target the weights of the source's joints, which sum to 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Conversion:
    """One rule from one layout to another.

    Attributes:
        name: What the rule is called.
        source: The layout that it reads.
        target: The layout that it writes.
        rule: The weights. A joint that is not in it is the source's joint of the same name.
        x: Joints whose x in the image follows other weights; they replace the rule's.
        y: The same for y.
        used_by: Who uses the rule, for people.

    Raises:
        BenchmarkError: A joint that has no rule or that the layouts lack, or weights that do not sum to 1.
    """

    name: str
    source: Layout
    target: Layout
    rule: Rule
    used_by: str
    x: Rule | None = None
    y: Rule | None = None

    def __post_init__(self):
        for rule in (self.rule, self.x or {}, self.y or {}):
            for joint, weights in rule.items():
                self.target.index(joint)
                if abs(sum(weights.values()) - 1.0) > 1e-9:
                    raise BenchmarkError(f"conversion {self.name}: the weights of {joint} do not sum to 1")
        self._matrix(self.rule)

    def _matrix(self, *rules: Rule | None) -> Float[Tensor, "target source"]:
        """The weights of the rule; later ``rules`` override earlier ones."""
        merged: dict[str, Mapping[str, float]] = {}
        for rule in rules:
            merged |= rule or {}
        matrix = torch.zeros(self.target.num_joints, self.source.num_joints, dtype=torch.float64)
        for row, joint in enumerate(self.target.joints):
            for name, weight in merged.get(joint, {joint: 1.0}).items():
                matrix[row, self.source.index(name)] = weight
        return matrix

    @cached_property
    def weights(self) -> tuple[Float[Tensor, "target source"], ...]:
        """One matrix for every axis alike, or one for x and one for y."""
        if self.x is None and self.y is None:
            return (self._matrix(self.rule),)
        return (self._matrix(self.rule, self.x), self._matrix(self.rule, self.y))

    def apply(self, pose: Float[Tensor, "*batch source dim"]) -> Float[Tensor, "*batch target dim"]:
        """Convert poses.

        Args:
            pose: In the source's layout. Rules that treat x and y differently are made for image
                coordinates, x to the right and y down, pixels or screen-normalised.

        Raises:
            BenchmarkError: Another number of joints than the source's, or a 3D pose for a rule of the image.
        """
        self.source.require(pose, f"the pose to convert by {self.name}")
        if len(self.weights) == 1:
            return self.weights[0].to(pose) @ pose
        if pose.shape[-1] != 2:
            raise BenchmarkError(
                f"conversion {self.name} treats x and y of the image differently: it takes 2D poses, "
                f"got {pose.shape[-1]} coordinates"
            )
        axes = zip(self.weights, pose.unbind(dim=-1), strict=True)
        return torch.stack([values @ weights.to(pose).T for weights, values in axes], dim=-1)
