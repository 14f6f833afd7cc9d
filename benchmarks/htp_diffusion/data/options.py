"""Options of motion that several scripts have, each with its help."""

import tyro

EVERY = tyro.conf.arg(
    metavar="N", help="Of each clip's windows, take every N-th; above 1 it is a look, not a result."
)
EXTRA = tyro.conf.arg(
    metavar="FILE...",
    help="Further data_3d_*.npz of world motion, to train on but for CMU's test clips.",
)
FPS = tyro.conf.arg(help="Frame rate of an npz file, frames a second.")
UNIT = tyro.conf.arg(
    help="Unit of an npz file: metres, centimetres, millimetres, inches, or cmu (inches / 0.45)."
)
