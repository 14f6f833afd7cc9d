"""Options of motion that several scripts have, each with its help."""

import tyro

EVERY = tyro.conf.arg(
    metavar="N", help="Take every N-th window of each clip: above 1 for a quick look, not for a result."
)
EXTRA = tyro.conf.arg(
    metavar="FILE...",
    help="More data_3d_*.npz files of world motion to train on; CMU's test clips are left out.",
)
FPS = tyro.conf.arg(
    help="Frame rate of an npz file, frames a second, for pictures alone: motion is not resampled."
)
UNIT = tyro.conf.arg(
    help="Unit of an npz file: metres, centimetres, millimetres, inches, or cmu (inches / 0.45)."
)
