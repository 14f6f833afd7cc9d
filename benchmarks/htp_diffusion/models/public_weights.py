"""Weights that others published: the network is built to the sizes of its tensors, and loaded strictly."""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

from torch import nn

import adapters
from adapters.keys import plain_keys
from adapters.weight_file import read_weights
from adapters.words import printable
from htp_diffusion.base.command import by_default
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.contender import Contender, Pruning
from htp_diffusion.models.public_config import NetworkLifter, PublicModel
from htp_diffusion.models.public_sizes import NAMES, read_config
from htp_diffusion.models.told import ToldDenoiser
from htp_diffusion.pose.layouts import layout_named
from htp_diffusion.pose.space import CAMERA_METRES, MOTIONBERT_IMAGE, PoseSpace

# What each was trained for, by its authors' data code: VideoPose3D's preparation of Human3.6M, whose poses
# are in metres in the camera's axes, and MotionBERT's, whose poses lie in the image.
SPACES: dict[PublicModel, PoseSpace] = {
    "mixste": CAMERA_METRES,
    "d3dp": CAMERA_METRES,
    "motionbert": MOTIONBERT_IMAGE,
    "motionbert-lite": MOTIONBERT_IMAGE,
    "ktpformer": CAMERA_METRES,
    "finepose": CAMERA_METRES,
}
_ADAPTERS: dict[PublicModel, adapters.Adapter] = {
    "mixste": adapters.MIXSTE,
    "d3dp": adapters.D3DP,
    "motionbert": adapters.MOTIONBERT,
    "motionbert-lite": adapters.MOTIONBERT,
    "ktpformer": adapters.KTPFORMER,
    "finepose": adapters.FINEPOSE,
}
# Of D3DP's and FinePOSE's samplers, beside the network: their schedule, which is computed anew here.
_SCHEDULE = re.compile(
    r"betas|(log_|sqrt_)?(one_minus_|recip_|recipm1_)?alphas_cumprod(_prev)?|posterior_\w+"
)


@dataclass(frozen=True, kw_only=True)
class PublicWeights:
    """A checkpoint that others published.

    Attributes:
        weights: File or folder of a checkpoint that others published; needs MODEL.
        model: What WEIGHTS are of: mixste, d3dp, motionbert, motionbert-lite, ktpformer or finepose.
        weights_key: Which of several sets of weights in the file.
        weights_heads: Attention heads; tensors do not tell.
        weights_action: What FinePOSE is told that the person does, by Human3.6M's name such as Walking.
        weights_layout: Joint order of its poses, such as h36m-17.
        weights_unit: Unit of its poses: metre, millimetre or "half image width".
        weights_frame: Frame of reference of its poses: camera, world, "camera, root-relative" or "image,
            root-relative".
    """

    weights: Annotated[Path | None, by_default("none", "FILE")] = None
    model: Annotated[PublicModel | None, by_default("none", "NAME")] = None
    weights_key: Annotated[str | None, by_default("the only one that fits", "NAME")] = None
    weights_heads: int = 8
    weights_action: Annotated[str | None, by_default("none", "NAME")] = None
    weights_layout: Annotated[str | None, by_default("as MODEL was trained", "NAME")] = None
    weights_unit: Annotated[
        Literal["metre", "millimetre", "half image width"] | None, by_default("as MODEL was trained", "UNIT")
    ] = None
    weights_frame: Annotated[
        Literal["camera, root-relative", "camera", "world", "image, root-relative"] | None,
        by_default("as MODEL was trained", "FRAME"),
    ] = None

    @property
    def given(self) -> bool:
        """Whether there are any.

        Raises:
            BenchmarkError: Weights without a model, or a model or what tells of weights without them.
        """
        told = [one.name.replace("_", "-") for one in fields(self) if getattr(self, one.name) != one.default]
        if self.weights is None and self.model is None and told:
            raise BenchmarkError(f"--{told[0]} tells of --weights, which are not given")
        if (self.weights is None) != (self.model is None):
            missing = "--model: what are they of?" if self.model is None else "--weights: the file"
            raise BenchmarkError(f"public weights need both --weights and --model; missing is {missing}")
        return self.weights is not None

    @property
    def space(self) -> PoseSpace:
        """What the numbers of the poses mean: what the model was trained for, but for what is overridden."""
        _, model = self._named
        space = SPACES[model]
        return PoseSpace(
            layout=space.layout if self.weights_layout is None else layout_named(self.weights_layout),
            unit=self.weights_unit or space.unit,
            frame=self.weights_frame or space.frame,
        )

    def contender(self, pruning: Pruning | None = None) -> tuple[Contender, adapters.LoadReport]:
        """The network with its weights, and what became of them.

        Args:
            pruning: Patch it by HTP, recovered by interpolation, with these changes to the adapter's own
                settings; None leaves it as it is.

        Raises:
            BenchmarkError: No weights are given, or they are of another network or skeleton.
            HTPError: A file that cannot be read or does not fit whole, or pruning out of range.
        """
        path, of = self._named
        name = NAMES[of]
        config = read_config(path, of, self.weights_heads, self.weights_key, self.weights_action)
        model = config.build()
        report = _load(model, path, self.weights_key)
        if pruning is not None:
            defaults = _ADAPTERS[of].defaults
            layers = min(defaults.num_sft_layers, config.depth - 1)
            untrained = replace(defaults, num_sft_layers=layers, recovery="interpolate", spatial_gcn=False)
            config = pruning.applied_to(replace(config, htp=untrained))
            adapters.patch(model, config.htp)
            name = f"{name}, pruned"
        contender = Contender(
            name=name, config=config, denoiser=model.eval(), source=path.name, space=self.space
        )
        return contender, report

    def contenders(self, pruning: Pruning | None = None) -> list[Contender]:
        """The network as it is, then patched if ``pruning`` is given; none if no weights are.

        What became of the file's weights is printed.
        """
        if not self.given:
            return []
        plain, report = self.contender()
        print(printable(f"{self.weights}: {plain.name}, {report}"))
        return [plain] if pruning is None else [plain, self.contender(pruning)[0]]

    @property
    def _named(self) -> tuple[Path, PublicModel]:
        """The file, and what it is of."""
        if not self.given or self.weights is None or self.model is None:
            raise BenchmarkError("no public weights are given: --weights FILE --model NAME")
        return self.weights, self.model


class Sampler(nn.Module):
    """What files of D3DP and FinePOSE are of: a network and a schedule. It is not run."""


def _load(model: nn.Module, path: Path, key: str | None) -> adapters.LoadReport:
    """Load strictly. Files of D3DP and FinePOSE are of a sampler: the schedule in them is let through."""
    network = model.network if isinstance(model, NetworkLifter | ToldDenoiser) else model
    holder = Sampler()
    for tensors in read_weights(path).sets.values():
        names = plain_keys(tensors)
        if any(short.startswith("pose_estimator.") for short in names):
            holder.add_module("pose_estimator", network)
            for short, long in names.items():
                if _SCHEDULE.fullmatch(short):
                    holder.register_buffer(short, tensors[long].clone())
    return adapters.load_checkpoint(holder if holder._modules else network, path, key=key)
