"""Items: the paper's Tables I to XIII and Figures 1, 4, 6, 7 and 8, and what each needs to be made.

The figures are those of arXiv 2508.21363 as far as this project knows them (`speed/paper_tables.py`); what a
table prints beyond them is said to be unknown.
"""

from dataclasses import dataclass
from typing import Literal

from htp_diffusion.speed.paper_tables import UNPLACED, printed_tables

NeedKind = Literal["h36m", "3dhp", "gpu", "training", "not known"]


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something that the paper's own figure takes.

    Attributes:
        kind: What gives it.
        name: In a word or two.
        file: What it is called.
        where: Where its owner gives it out, or how to get it.
    """

    kind: NeedKind
    name: str
    file: str
    where: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """A table or figure.

    Attributes:
        name: As the paper has it.
        shows: What it shows.
        needs: What its own figures take.
        command: Makes it alone.
        known: What of it is known here.
    """

    name: str
    shows: str
    needs: tuple[Need, ...]
    command: str
    known: str = "all of it"


_H36M = (
    Need(
        kind="h36m",
        name="Human3.6M",
        file="data_3d_h36m.npz",
        where="register at vision.imar.ro/human3.6m, then VideoPose3D's data/prepare_data_h36m.py "
        "(github.com/facebookresearch/VideoPose3D, DATASETS.md); --dataset h36m --data",
    ),
    Need(
        kind="h36m",
        name="its 2D poses",
        file="data_2d_h36m_cpn_ft_h36m_dbb.npz and data_2d_h36m_gt.npz",
        where="the former is named in the same DATASETS.md, the latter comes with the 3D file; --keypoints",
    ),
)
_MPI = Need(
    kind="3dhp",
    name="MPI-INF-3DHP",
    file="data_test_3dhp.npz (or the data set's own TS*/annot_data.mat)",
    where="the data set: vcai.mpi-inf.mpg.de/3dhp-dataset; the npz: github.com/paTRICK-swk/P-STMO; "
    "--dataset 3dhp --data, with --annotation",
)
_GPU = Need(kind="gpu", name="a GPU", file="a GPU of CUDA", where="the paper has two RTX 4090; --device cuda")
_WEIGHTS = Need(
    kind="training",
    name="weights of the paper's size",
    file="weights trained on Human3.6M at the paper's size",
    where="none of the paper's is known to be given out; benchmarks/train.py htp --preset paper "
    "--dataset h36m trains them, days of GPUs",
)
_ROWS = Need(
    kind="training",
    name="a trained model a row",
    file="a model trained for each row",
    where="benchmarks/study.py ablations, hours at the small preset; docs/ablations.md has rows of it",
)
_UNKNOWN = Need(
    kind="not known",
    name="what it prints",
    file="the table's content",
    where="the text at hand does not tell; arxiv.org/abs/2508.21363 has it",
)
_SELF = "python benchmarks/reproduce.py --parts "
_SCORE = (
    "python benchmarks/evaluate.py CHECKPOINT --dataset h36m --data data_3d_h36m.npz --keypoints FILE "
    "--protocol paper"
)
_ABLATE = "python benchmarks/study.py ablations --tables "
_SYSTEMS = "systems compared; which figures it prints is not known here"


def _known(item: str) -> str:
    return printed_tables()[item].known


def _unknown(number: str, shows: str) -> Item:
    """A table whose content is not known here."""
    name = f"Table {number}"
    return Item(name=name, shows=shows, needs=(_UNKNOWN,), command=_SELF + "counts", known=_known(name))


ITEMS: tuple[Item, ...] = (
    Item(
        name="Table I",
        shows="systems compared on Human3.6M: errors with detected and with true 2D poses, MACs, parameters",
        needs=(*_H36M, _WEIGHTS),
        command=_SCORE,
        known=_known("Table I"),
    ),
    *(_unknown(number, _SYSTEMS) for number in ("II", "III", "IV")),
    Item(
        name="Table V",
        shows="cost and speed of the diffusion systems: MACs a frame and frames a second at two HxK",
        needs=(_GPU,),
        command="python benchmarks/measure.py throughput --hosts d3dp finepose ktpformer-denoiser "
        "--sampling 20x1 20x10 --batch-size 8 --device cuda",
        known=_known("Table V"),
    ),
    _unknown("VI", _SYSTEMS),
    _unknown("VII", "not known here"),
    Item(
        name="Table VIII",
        shows="n, the pairs of blocks that see every frame, and f, the frames kept",
        needs=(*_H36M, _ROWS),
        command=_ABLATE + "viii",
        known=_known("Table VIII"),
    ),
    _unknown("IX", "not known here"),
    Item(
        name="Table X",
        shows="k, the frames that a frame attends to, changed at inference",
        needs=(*_H36M, _WEIGHTS),
        command=_SELF + "sensitivity",
        known=_known("Table X"),
    ),
    Item(
        name="Table XI",
        shows="the modules on and off",
        needs=(*_H36M, _ROWS),
        command=_ABLATE + "xi",
    ),
    Item(
        name="Table XII",
        shows="TCEP's mask in the attention and in the pruner",
        needs=(*_H36M, _ROWS),
        command=_ABLATE + "xii",
    ),
    Item(
        name="Table XIII",
        shows="T, the frames of a window",
        needs=(*_H36M, _ROWS),
        command=_ABLATE + "xiii",
    ),
    Item(
        name="Figure 1",
        shows="error against multiply-accumulates",
        needs=(*_H36M, _WEIGHTS),
        command=_SELF + "sampled",
        known="the points of D3DP and HTP",
    ),
    Item(
        name="Figure 4",
        shows="sensitivity to k and k'",
        needs=(*_H36M, _ROWS),
        command=_SELF + "sensitivity",
        known="what it shows, and of its points those of Table X",
    ),
    Item(
        name="Figure 6",
        shows="poses beside the truth and beside D3DP's",
        needs=(*_H36M, _WEIGHTS),
        command=_SELF + "sampled",
        known="what it shows",
    ),
    Item(
        name="Figure 7",
        shows="failures",
        needs=(*_H36M, _WEIGHTS),
        command=_SELF + "sampled",
        known="what it shows",
    ),
    Item(
        name="Figure 8",
        shows="the frames that are kept, on the curve of the motion's speed",
        needs=(*_H36M, _WEIGHTS),
        command=_SELF + "kept-frames",
        known="what it shows",
    ),
    Item(
        name=UNPLACED,
        shows="figures of the paper whose table is not known here",
        needs=(_MPI, _WEIGHTS),
        command="python benchmarks/evaluate.py CHECKPOINT --dataset 3dhp --data data_test_3dhp.npz "
        "--annotation annot3",
        known=_known(UNPLACED),
    ),
)
