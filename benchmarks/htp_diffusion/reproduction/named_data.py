"""Named data: the data sets of a command line, several in one run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.cmu import CMU_FPS
from htp_diffusion.data.source import Dataset, Source


def sources(
    data: Sequence[Path],
    dataset: Sequence[Dataset],
    keypoints: Sequence[Path],
    conversion: Sequence[str],
    annotation: Sequence[str],
    fps: float,
) -> list[Source]:
    """The data sets of a command line: options given several times go to the data sets in order.

    Args:
        data: A file or folder for each data set.
        dataset: Its kind, for each; all are npz if none is given.
        keypoints: One for each h36m, in order.
        conversion: One for each h36m and 3dhp, in order; "none" for none.
        annotation: One for each 3dhp, in order.
        fps: Of npz files.

    Raises:
        BenchmarkError: Numbers that do not fit each other, or as ``Source.check``.
    """
    if dataset and len(dataset) != len(data):
        raise BenchmarkError(f"dataset expects one for each --data, got {len(dataset)} for {len(data)}")
    if fps != CMU_FPS and not (set(dataset) & {"npz"} if dataset else data):
        raise BenchmarkError("--fps is the frame rate of an npz file, and --data names none")
    left = {"keypoints": list(keypoints), "conversion": list(conversion), "annotation": list(annotation)}
    takers: dict[str, tuple[Dataset, ...]] = {
        "keypoints": ("h36m",),
        "conversion": ("h36m", "3dhp"),
        "annotation": ("3dhp",),
    }
    found = []
    for place, path in enumerate(data):
        kind: Dataset = dataset[place] if dataset else "npz"
        source = Source(dataset=kind, data=path, fps=fps if kind == "npz" else CMU_FPS)
        for name, kinds in takers.items():
            if kind in kinds and left[name]:
                value = left[name].pop(0)
                source = replace(source, **{name: None if value == "none" else value})
        source.check()
        found.append(source)
    for name, rest in left.items():
        if rest:
            raise BenchmarkError(f"--{name} was given {len(rest)} more than there are data sets that take it")
    return found
