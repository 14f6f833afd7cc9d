"""What masks and kept frames refuse: what Python sees when they are made, and values when asked to look."""

import pytest
import torch
from networks import random_mask

from htp_modules import DtypeError, KeptFrames, MaskError, ShapeError, TemporalMask

pytestmark = pytest.mark.unhooked

KEPT = KeptFrames(torch.tensor([[0, 4], [1, 2]]), 9)


def x(*shape):
    return torch.zeros(shape or (2, 9, 3, 8))


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        (torch.ones(1, 1, 2, 2), DtypeError, "TemporalMask expects a bool tensor, got torch.float32"),
        ([[True]], DtypeError, "TemporalMask expects a bool tensor, got list"),
        (torch.ones(1, 2, 2, dtype=torch.bool), ShapeError, r"frames, frames\), got shape \(1, 2, 2\)"),
        (torch.ones(1, 1, 2, 3, dtype=torch.bool), ShapeError, r"got shape \(1, 1, 2, 3\)"),
    ],
)
def test_making_a_mask(keep, error, message):
    with pytest.raises(error, match=message):
        TemporalMask(keep)


def test_masks_that_break_an_invariant():
    keep = torch.eye(3, dtype=torch.bool).expand(1, 1, 3, 3).clone()
    assert TemporalMask(keep).validate()
    with pytest.raises(MaskError, match="every row of the mask keeps at least 2 frames, got a row of 1"):
        TemporalMask(keep).validate(1)
    almost = ~keep
    almost[0, 0, 0, 1] = almost[0, 0, 1, 0] = False
    with pytest.raises(MaskError, match="every row of the mask keeps at least 3 frames, got a row of 2"):
        TemporalMask(almost | keep).validate(7)
    keep[0, 0, 0, 2] = True
    with pytest.raises(MaskError, match="symmetric"):
        TemporalMask(keep).validate()
    keep[0, 0, 2, 0] = True
    keep[0, 0, 1, 1] = False
    with pytest.raises(MaskError, match="self-loop"):
        TemporalMask(keep).validate()


@pytest.mark.parametrize(
    ("bias", "error", "message"),
    [
        (torch.ones(1, 1, 2, 2, dtype=torch.bool), DtypeError, "expects a floating bias, got torch.bool"),
        ([0.0], DtypeError, "expects a floating bias, got list"),
        (torch.zeros(1, 2, 2), ShapeError, r"shape of keep, \(1, 1, 2, 2\), got \(1, 2, 2\)"),
    ],
)
def test_making_a_mask_with_another_bias(bias, error, message):
    with pytest.raises(error, match=message):
        TemporalMask(torch.ones(1, 1, 2, 2, dtype=torch.bool), bias)


def test_a_bias_that_is_another_masks():
    mask = TemporalMask(torch.ones(1, 1, 2, 2, dtype=torch.bool), torch.full((1, 1, 2, 2), -torch.inf))
    with pytest.raises(MaskError, match="bias of a mask is 0 where it keeps and -inf elsewhere, got another"):
        mask.validate()


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (torch.tensor([[0.0]]), DtypeError, "KeptFrames expects an int64 tensor, got torch.float32"),
        (torch.tensor([[0]], dtype=torch.int32), DtypeError, "got torch.int32"),
        ([[0]], DtypeError, "got list"),
        (torch.tensor([0]), ShapeError, r"\(batch, kept\) with 1 to 3 frames, got shape \(1,\)"),
        (torch.tensor([[0, 1, 2, 3]]), ShapeError, r"got shape \(1, 4\)"),
        (torch.empty(1, 0, dtype=torch.int64), ShapeError, r"got shape \(1, 0\)"),
    ],
)
def test_making_kept_frames(index, error, message):
    with pytest.raises(error, match=message):
        KeptFrames(index, 3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [([[0, 3]], "lie in"), ([[-1, 0]], "lie in"), ([[1, 0]], "ascending"), ([[1, 1]], "distinct")],
)
def test_kept_frames_that_break_an_invariant(rows, message):
    with pytest.raises(MaskError, match=message):
        KeptFrames(torch.tensor(rows), 3).validate()


def test_using_kept_frames_on_others():
    with pytest.raises(
        ShapeError, match=r"gather expects tokens of batch 2, length 9, got shape \(2, 8, 3, 8\)"
    ):
        KEPT.gather(x(2, 8, 3, 8))
    with pytest.raises(ShapeError, match="spread expects kept tokens"):
        KEPT.spread(x())
    with pytest.raises(
        ShapeError, match="restrict expects kept frames of batch 2, length 8, got batch 2, length 9"
    ):
        random_mask(2, 3, 8).restrict(KeptFrames(torch.tensor([[0, 1, 4], [1, 2, 3]]), 9))
