"""The sizes of a published network, read off the tensors of its file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.keys import plain_keys
from adapters.weight_file import read_weights
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.finepose import PROMPTS
from htp_diffusion.models.public_config import PublicConfig, PublicModel, TextSizes
from htp_diffusion.models.told import ACTIONS
from htp_diffusion.pose.layout import H36M_17

NAMES: dict[PublicModel, str] = {
    "mixste": "MixSTE",
    "d3dp": "D3DP",
    "motionbert": "MotionBERT",
    "motionbert-lite": "MotionBERT lite",
    "ktpformer": "KTPFormer",
    "finepose": "FinePOSE",
}
_TABLES: dict[PublicModel, str] = {
    "mixste": "Temporal_pos_embed",
    "d3dp": "Temporal_pos_embed",
    "motionbert": "temp_embed",
    "motionbert-lite": "temp_embed",
    "ktpformer": "tpattention.attn.Temporal_pos_embed",
    "finepose": "Temporal_pos_embed",
}
"""The table by which a network is found in a file: its first frames say T."""
_NOISY = ("d3dp", "finepose")  # embed a noisy 3D pose beside the 2D one


def read_config(
    path: Path, model: PublicModel, heads: int = 8, key: str | None = None, action: str | None = None
) -> PublicConfig:
    """The sizes of a published network, read off its tensors.

    Args:
        path: File or folder.
        model: What it is of.
        heads: Attention heads.
        key: Which set of weights, where the file holds several.
        action: What FinePOSE is told.

    Raises:
        BenchmarkError: The tensors are of another network or another skeleton, or nothing tells FinePOSE what
            the person does.
        CheckpointError: The file cannot be read.
    """
    shapes = Shapes.of_file(path, model, key)
    joints, channels, expected = shapes.inputs()
    if joints != H36M_17.num_joints:
        raise BenchmarkError(f"{path} is of a skeleton of {joints} joints, expected {H36M_17.num_joints}")
    if channels != expected:
        raise BenchmarkError(
            f"{path} embeds {channels} coordinates a joint, a {NAMES[model]} {expected}: "
            "is it of another --model?"
        )
    config = shapes.config(heads, action)
    if heads < 1 or config.dim % heads:
        raise BenchmarkError(f"weights heads expects a divisor of {config.dim} channels, got {heads}")
    return config


@dataclass(frozen=True)
class Shapes:
    """The shapes of a network's tensors by their names in it.

    Attributes:
        shapes: They.
        model: What the network is taken for.
        what: Where they are from, told in errors.
    """

    shapes: dict[str, tuple[int, ...]]
    model: PublicModel
    what: str

    @classmethod
    def of_file(cls, path: Path, model: PublicModel, key: str | None) -> "Shapes":
        """Those of the network that a file holds, whatever stands in front of their names.

        Raises:
            BenchmarkError: It holds no such network.
            CheckpointError: The file cannot be read.
        """
        table = _TABLES[model]
        what = f"{path}, taken for a {NAMES[model]},"
        for where, tensors in read_weights(path).sets.items():
            names = plain_keys(tensors)
            for front in (short[: -len(table)] for short in names if f".{short}".endswith(f".{table}")):
                if key not in (None, ".".join(filter(None, (where, front[:-1])))):
                    continue
                own = {short: tensors[long] for short, long in names.items() if short.startswith(front)}
                return cls({short[len(front) :]: tuple(x.shape) for short, x in own.items()}, model, what)
        raise BenchmarkError(f"{what} holds no {table}: is it of another --model?")

    def inputs(self) -> tuple[int, int, int]:
        """Joints, coordinates of a joint that the network embeds, and how many it should."""
        if self.model.startswith("motionbert"):
            return self._of("pos_embed")[1], self._of("joints_embed.weight")[1], 3
        if self.model == "ktpformer":
            joints = self._of("kpattention.attn.Spatial_pos_embed")[1]
            return joints, self._of("kpattention.attn.kpa.gconv.W")[1], 2
        joints, embedding = self._of("Spatial_pos_embed")[1], self._of("Spatial_patch_to_embedding.weight")
        return joints, embedding[1], 5 if self.model in _NOISY else 2

    def config(self, heads: int, action: str | None = None) -> PublicConfig:
        """The network's config.

        Args:
            heads: Attention heads.
            action: What FinePOSE is told.

        Raises:
            BenchmarkError: A tensor is missing, or FinePOSE is told nothing.
        """
        bert = self.model.startswith("motionbert")
        blocks, mlp = ("blocks_st", "mlp_s") if bert else ("STEblocks", "mlp")
        table = self._of(_TABLES[self.model])
        frames, dim = table[1], table[-1]
        sizes: dict[str, Any] = {
            "kind": "d3dp" if self.model in _NOISY else "mixste",
            "network": self.model,
            "num_frames": frames,
            "dim": dim,
            "depth": self._count(blocks),
            "num_heads": heads,
            "mlp_ratio": self._of(f"{blocks}.0.{mlp}.fc1.weight")[0] / dim,
        }
        if bert:
            sizes["dim_rep"] = self._of("pre_logits.fc.weight")[0]
            sizes["att_fuse"] = self._count("ts_attn") > 0
        if self.model == "ktpformer":
            sizes["depth"] += 1  # the pair with the priors
        if self.model == "finepose":
            sizes["text"] = self._text(action)
        return PublicConfig(**sizes)

    def _text(self, action: str | None) -> TextSizes:
        if action not in ACTIONS:
            found = "nothing is" if action is None else f"{action!r} is no such name"
            raise BenchmarkError(
                f"FinePOSE is told what the person does, and {found}: --weights-action, "
                f"one of {', '.join(ACTIONS)}"
            )
        learned = [self._of(f"ctx_{name}")[0] for name in PROMPTS]
        words = self._of("clip_text.positional_embedding")[0]
        kept = (words - sum(learned)) // len(learned)
        return TextSizes(
            action=action,
            prompts=tuple(number + kept for number in learned),
            kept=kept,
            vocabulary=self._of("clip_text.token_embedding.weight")[0],
            depth=self._count("clip_text.transformer.resblocks"),
            image="clip_text.visual.proj" in self.shapes,
        )

    def _of(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        if len(self.shapes.get(name, ())) < 2:
            raise BenchmarkError(f"{self.what} holds no {name} as that has: is it of another --model?")
        return self.shapes[name]

    def _count(self, blocks: str) -> int:
        """How many blocks a list has."""
        front = f"{blocks}."
        return len({name.removeprefix(front).split(".")[0] for name in self.shapes if name.startswith(front)})
