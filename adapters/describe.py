"""describe(model): what a patch did, what it saves, and what has to be trained."""

from dataclasses import dataclass

from torch import nn

from adapters.counting import Counter
from adapters.errors import PatchError
from adapters.host_htp import HostHTP
from adapters.installed import installed
from adapters.patching import ADAPTERS, find_htp, find_patched
from adapters.recognition import recognise
from htp_modules import HTPConfig


@dataclass(frozen=True, kw_only=True)
class Description:
    """A patched model, in words and numbers, for one clip of its full length.

    Attributes:
        host: The host's class, and what it was recognised as.
        config: Where and how hard it prunes now.
        places: Where HTP's modules are, one sentence each.
        frames: T, frames of the clip.
        frames_kept: f, frames that the pruned blocks see.
        required: Indices of the frames that always stay.
        neighbors: k, frames that each frame may attend to.
        tokens: Tokens of the clip, frames times joints.
        tokens_kept: Tokens that the pruned blocks see.
        macs_before: Multiply-accumulates of every matrix product of the host alone (PyTorch's
            FlopCounterMode).
        macs_after: The same of the patched model.
        fine_tuning: What fine-tuning is needed for, one sentence each; the first is the verdict.
    """

    host: str
    config: HTPConfig
    places: tuple[str, ...]
    frames: int
    frames_kept: int
    required: tuple[int, ...]
    neighbors: int
    tokens: int
    tokens_kept: int
    macs_before: int
    macs_after: int
    fine_tuning: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.host}, {self.frames_kept} of {self.frames} frames kept "
            f"({self.tokens_kept} of {self.tokens} tokens), at least {self.neighbors} neighbors each",
            *self.places,
            *([f"always kept: frames {', '.join(map(str, self.required))}"] if self.required else []),
            f"{self.macs_before / 1e9:.3f} GMACs before, {self.macs_after / 1e9:.3f} GMACs after",
            *self.fine_tuning,
        ]
        return "\n  ".join(lines)


def describe(model: nn.Module) -> Description:
    """Tell what was patched, where it prunes, what it saves and what needs fine-tuning.

    Nothing is computed with the model's values: operations are counted on a copy without any.

    Raises:
        PatchError: The model is not patched, or the patch is not in force any more.
        UnrecognisedHostError: It holds no host; the error names the nearest and how it differs.
    """
    if find_patched(model) is None:
        _, adapter, _ = recognise(model, ADAPTERS)
        raise PatchError(f"the model is not patched; it is a {adapter.name}: call patch(model) first")
    host, htp = find_htp(model)
    made = installed(host)
    if not htp.enabled:
        raise PatchError("pruning is switched off here; call describe outside the unpruned block")
    adapter, config, facts = made.adapter, htp.config, htp.facts
    counter = Counter.of(model)
    frames = facts.num_frames
    kept = config.frames_kept(frames)
    return Description(
        host=f"{made.host.__name__}, a {adapter.name}",
        config=config,
        places=adapter.places(config, adapter.injected),
        frames=frames,
        frames_kept=kept,
        required=config.frames_required(frames),
        neighbors=config.neighbors(frames),
        tokens=frames * facts.num_joints,
        tokens_kept=kept * facts.num_joints,
        macs_before=counter.plain(),
        macs_after=counter.pruned(config),
        fine_tuning=_fine_tuning(htp, prunes=kept < frames, masks=config.neighbors(frames) < frames - 1),
    )


def _fine_tuning(htp: HostHTP, *, prunes: bool, masks: bool) -> tuple[str, ...]:
    replaced = htp.from_scratch and htp.config.spatial_gcn
    learned = htp.config.recovery == "cross_attention"
    passive = {"mgptp", "recovery"} | ({"spatial_gcn"} if replaced else set())
    added = [name for name, _ in htp.named_children() if name not in passive]
    if replaced:
        verdict = "training from the beginning is needed: the Spatial GCN replaces the host's joint embedding"
    elif prunes and learned:
        verdict = "fine-tuning is needed: the recovery only blends kept tokens until it has learned"
    elif prunes:
        verdict = "no fine-tuning is needed to run, interpolation has no parameters; it wins back accuracy"
    elif masks:
        verdict = "nothing is pruned, but the mask, which needs no fine-tuning to run, changes the output"
    else:
        verdict = "nothing is pruned or masked: freshly patched, the output is the host's"
    return (verdict, f"{', '.join(added)}: the identity at first; fine-tuning teaches them")
