"""Sweep: models trained and scored one by one, each kept in a folder as soon as it is done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.parts import Parts
from htp_diffusion.data.motion import Motion, Windows, shorter_windows
from htp_diffusion.diffusion.sampling import Sampling, even_max_batch
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.variants import VariantConfig
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.scoring.draw_and_score import grade
from htp_diffusion.studies.paper_rows import Recipe, Training, model_name
from htp_diffusion.training.batches import Batch, step_generator
from htp_diffusion.training.fit import fit
from htp_diffusion.training.trainer import diffusion_loss
from htp_diffusion.training.virtual import VirtualBatches

_SCORED_AT_ONCE = 24  # windows
_STRETCHES = 20  # of a training, over each of which the loss is averaged


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished training.

    Attributes:
        losses: Mean training loss over each twentieth of the steps (each step of a run of fewer), mm.
    """

    losses: list[float]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What is scored and how.

    Attributes:
        data: The data, in words.
        every: N, where every N-th window of each clip is scored.
        hypotheses: H.
        denoising_steps: K.
        eta: Share of the noise put back at each denoising step.
        flip: Average with the mirrored input inside each denoising step.
    """

    data: str
    every: int
    hypotheses: int
    denoising_steps: int
    eta: float
    flip: bool

    @property
    def folder(self) -> str:
        """Where its scores are, another folder for every other way to sample."""
        flip = "flip" if self.flip else "plain"
        return f"scores-h{self.hypotheses}-k{self.denoising_steps}-eta{self.eta:g}-{flip}-every{self.every}"

    def sampling(self, config: DenoiserConfig, device: torch.device) -> Sampling:
        """How a denoiser samples."""
        sequences = _SCORED_AT_ONCE * self.hypotheses * (2 if self.flip else 1)
        return Sampling(
            hypotheses=self.hypotheses,
            steps=self.denoising_steps,
            eta=self.eta,
            flip=self.flip,
            seed=0,
            batch_size=_SCORED_AT_ONCE,
            max_batch=even_max_batch(sequences, config, None, device),
        )


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the errors of a model depend on.

    Attributes:
        training: Where its weights come from.
        sampled: The model as it samples.
        scoring: On what and how.
    """

    training: Training
    sampled: VariantConfig
    scoring: Scoring


class Sweep:
    """The folder of a sweep, and what it takes to fill it.

    Args:
        folder: Where finished models and scores are kept.
        recipe: How every model is trained.
        motions: On what.
        scoring: How every model is scored.
        clips: On what; a model of shorter windows cuts these.
        device: Where.

    Raises:
        BenchmarkError: The folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        motions: Sequence[Motion],
        scoring: Scoring,
        clips: Sequence[Windows],
        device: torch.device,
    ) -> None:
        self.recipe, self.motions = recipe, motions
        self.scoring, self.clips = scoring, clips
        self.device = device
        self._models, self._scores = Parts(folder / "models"), Parts(folder / scoring.folder)

    def training(self, model: VariantConfig, seed: int) -> Training:
        """The training of a model in this sweep."""
        return Training(model=model, recipe=self.recipe, seed=seed)

    def train(self, training: Training) -> Iterator[float]:
        """Train a model and keep it; nothing to do if it is there.

        The weights of the last step are kept, not an average: the learning rate has fallen by then.

        Yields:
            Each step's loss, mm.

        Raises:
            BenchmarkError: The folder holds this model trained otherwise, or cannot be written.
        """
        if self._models.find(training.name, training, Trained) is not None:
            return
        batches = VirtualBatches(self.motions, training.model.denoiser.num_frames, self.recipe.batch_size)
        schedule = cosine_schedule()
        torch.manual_seed(training.seed)
        model = training.model.build().to(self.device)

        def loss(step: int) -> Float[Tensor, ""]:
            generator = step_generator(training.seed, step)
            drawn = batches.draw(generator)
            batch = Batch(drawn.pose_2d.to(self.device), drawn.pose_3d.to(self.device))
            return diffusion_loss(model, batch, schedule, generator)

        losses = []
        for value in fit(model, loss, self.recipe.training_steps, self.recipe.learning_rate):
            losses.append(value)
            yield value
        self._models.store(training.name, training, Trained(losses=_stretches(losses)), model.state_dict())

    def trained(self, training: Training) -> Trained:
        """The record of a finished training.

        Raises:
            BenchmarkError: There is none, or the folder holds one of another recipe.
        """
        found = self._models.find(training.name, training, Trained)
        if found is None:
            raise BenchmarkError(f"{self._models.folder} has no model {training.name}")
        return found

    def errors(self, training: Training, sampled: VariantConfig) -> Errors:
        """The errors of a trained model: scored and kept, unless they are there.

        Args:
            training: Where its weights come from.
            sampled: The model as it samples.

        Raises:
            BenchmarkError: The folder holds scores of other data, or its weights are damaged.
        """

        def score() -> Errors:
            model = self._load(training, sampled)
            clips = [shorter_windows(clip, sampled.denoiser.num_frames) for clip in self.clips]
            return grade(model, clips, self.scoring.sampling(sampled.denoiser, self.device), self.device)

        asked = Asked(training=training, sampled=sampled, scoring=self.scoring)
        return self._scores.find_or_make(f"{training.name}-as-{model_name(sampled)}", asked, Errors, score)

    def _load(self, training: Training, sampled: VariantConfig) -> torch.nn.Module:
        model = sampled.build().eval()
        try:
            model.load_state_dict(self._models.tensors(training.name))
        except RuntimeError as error:
            raise BenchmarkError(
                f"the weights of {training.name} in {self._models.folder} do not fit their model: {error}"
            ) from error
        return model


def _stretches(losses: Sequence[float]) -> list[float]:
    size = max(1, len(losses) // _STRETCHES)
    last = len(losses) % size  # left out at the beginning, so that the last stretch is whole
    parts = [losses[start : start + size] for start in range(last, len(losses), size)]
    return [sum(part) / len(part) for part in parts]
