"""Scale: at which sizes everything is measured, the paper's or small ones that run the same code."""

from dataclasses import dataclass
from typing import Literal

from htp_diffusion.models.preset import PresetName
from htp_diffusion.speed.lineup import Host, Sizes
from htp_diffusion.speed.timing import Draw

ScaleName = Literal["paper", "tiny"]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of a run.

    Attributes:
        name: Of them.
        pairs: Presets of the trained pair, the preferred first.
        sizes: Of the models that are timed, with random weights.
        hosts: Which are timed by the pass.
        rounds: Of these passes.
        batch: Clips in a timed sampling.
        draws: H and K of the timed samplings, the cheaper first.
        lengths: T over which the cost of a pass is told.
        batches: Clips of a pass over which it is told.
        hypotheses: H over which the cost of a sampling is told, at K=1, and K likewise at H=1.
        sampling_frames: T of these.
        most_sequences: Most sequences of a training step that are tried.
        hypotheses_scored: H with which trained models are scored.
        steps_scored: K likewise.
        training_preset: Sizes and schedule of the models that are trained.
        trained: Which these are, by their names in ``studies.claims.MODELS``.
        seeds: Of each.
        drift: H and K of the drift.
    """

    name: ScaleName
    pairs: tuple[PresetName, ...]
    sizes: Sizes
    hosts: tuple[Host, ...]
    rounds: int
    batch: int
    draws: tuple[Draw, ...]
    lengths: tuple[int, ...]
    batches: tuple[int, ...]
    hypotheses: tuple[int, ...]
    sampling_frames: int
    most_sequences: int
    hypotheses_scored: int
    steps_scored: int
    training_preset: PresetName
    trained: tuple[str, ...]
    seeds: tuple[int, ...]
    drift: Draw


SCALES: dict[ScaleName, Scale] = {
    # Table V: batch 8, T=243; Section IV for the sizes.
    "paper": Scale(
        name="paper",
        pairs=("paper", "base", "small", "tiny"),
        sizes=Sizes(frames=243, dim=512, depth=8, motionbert_depth=5, heads=8),
        hosts=("d3dp", "mixste", "motionbert"),
        rounds=3,
        batch=8,
        draws=(Draw(hypotheses=20, steps=1), Draw(hypotheses=20, steps=10)),
        lengths=(81, 162, 243, 486),
        batches=(1, 2, 4, 8, 16),
        hypotheses=(1, 2, 4, 8),
        sampling_frames=243,
        most_sequences=512,
        hypotheses_scored=5,
        steps_scored=5,
        training_preset="small",  # nine models take 26 ms a step on an H100, and two minutes to level out
        trained=("d3dp", "htp", "htp-n1"),
        seeds=(0, 1, 2),
        drift=Draw(hypotheses=5, steps=5),
    ),
    "tiny": Scale(
        name="tiny",
        pairs=("tiny", "small", "base", "paper"),
        sizes=Sizes(frames=27, dim=32, depth=4, motionbert_depth=3, heads=4),
        hosts=("d3dp", "mixste", "motionbert"),
        rounds=3,
        batch=2,
        draws=(Draw(hypotheses=2, steps=1), Draw(hypotheses=2, steps=2)),
        lengths=(9, 18),
        batches=(1, 2),
        hypotheses=(1, 2),
        sampling_frames=9,
        most_sequences=8,
        hypotheses_scored=2,
        steps_scored=1,
        training_preset="tiny",
        trained=("d3dp", "htp"),
        seeds=(0,),
        drift=Draw(hypotheses=1, steps=1),
    ),
}
