"""Pair: the trained D3DP and HTP whose errors are shown."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.checkpoint import read_record
from htp_diffusion.models.contender import Contender, Pruning, trained_contender
from htp_diffusion.models.preset import PresetName
from htp_diffusion.pose.space import CAMERA_METRES

_SAMPLED_LAYERS = 1  # n at inference (the paper's default)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two checkpoints of one preset.

    Attributes:
        d3dp: JSON file.
        htp: JSON file.
    """

    d3dp: Path
    htp: Path

    @property
    def hashes(self) -> list[str]:
        """Of the weights of both.

        Raises:
            BenchmarkError: A file is missing or damaged.
        """
        return [read_record(path).sha256 for path in (self.d3dp, self.htp)]

    def contenders(self) -> list[Contender]:
        """D3DP, HTP as it was trained, and HTP with the paper's n at inference if that is another.

        Raises:
            BenchmarkError: A file is missing or damaged, of another kind or space, or of an older network.
        """
        d3dp = replace(trained_contender(self.d3dp, Pruning(), CAMERA_METRES), name="D3DP")
        htp = trained_contender(self.htp, Pruning(), CAMERA_METRES)
        pruning = htp.config.htp
        if d3dp.config.prunes or pruning is None or d3dp.config.num_frames != htp.config.num_frames:
            raise BenchmarkError(
                f"{self.d3dp.name} and {self.htp.name} expect a D3DP and an HTP of the same length, got "
                f"{d3dp.config.kind} of {d3dp.config.num_frames} and {htp.config.kind} of "
                f"{htp.config.num_frames} frames"
            )
        trained = pruning.num_sft_layers
        found = [d3dp, replace(htp, name=f"HTP n={trained}")]
        if trained != _SAMPLED_LAYERS:
            fewer = trained_contender(self.htp, Pruning(num_sft_layers=_SAMPLED_LAYERS), CAMERA_METRES)
            found.append(replace(fewer, name=f"HTP n={_SAMPLED_LAYERS}"))
        return found


def find_pair(folder: Path, presets: Iterable[PresetName]) -> Pair:
    """The first preset of which a folder has both checkpoints.

    Raises:
        BenchmarkError: It has none.
    """
    for preset in presets:
        pair = Pair(d3dp=folder / f"d3dp-{preset}.json", htp=folder / f"htp-{preset}.json")
        if pair.d3dp.exists() and pair.htp.exists():
            return pair
    raise BenchmarkError(f"{folder} expects d3dp-PRESET.json and htp-PRESET.json of one preset, got none")
