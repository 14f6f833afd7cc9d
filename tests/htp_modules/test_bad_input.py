import re

import pytest
import torch
from networks import Network, random_mask

from htp_modules import (
    HTP,
    MGPTP,
    SFTMHSA,
    TCEP,
    ConfigError,
    CrossMHSA,
    DtypeError,
    HTPConfig,
    HTPError,
    Interpolation,
    KeptFrames,
    MaskError,
    NonFiniteError,
    ShapeError,
    SpatialGCN,
)
from htp_modules.block import TransformerBlock

pytestmark = pytest.mark.unhooked

MASK = random_mask(2, 3, 9)
KEPT = KeptFrames(torch.tensor([[0, 4], [1, 2]]), 9)


def x(*shape, dtype=torch.float32):
    return torch.zeros(shape or (2, 9, 3, 8), dtype=dtype)


def spoiled(value):
    bad = x()
    bad[1, 2, 0, 3] = value
    return bad


def callers(tokens):
    """Every module on ``tokens``, all built for 9 frames of 3 joints and 8 channels."""
    return {
        "TCEP": lambda: TCEP(8, 9)(tokens),
        "SFTMHSA": lambda: SFTMHSA(8, 2)(tokens, MASK),
        "MGPTP": lambda: MGPTP(4)(tokens, MASK),
        "CrossMHSA": lambda: CrossMHSA(8, 9, 2)(tokens, KEPT),
        "Interpolation": lambda: Interpolation()(tokens, KEPT),
        "SpatialGCN": lambda: SpatialGCN(8, 4, 3)(tokens),
    }


@pytest.mark.parametrize("name", sorted(callers(None)))
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (x(9, 3, 8), ShapeError, r"expects tokens \(batch, frames, joints, dim\), got shape \(9, 3, 8\)"),
        (x(1, 2, 9, 3, 8), ShapeError, r"got shape \(1, 2, 9, 3, 8\)"),
        (x(2, 9, 0, 8), ShapeError, r"at least one element on every axis, got shape \(2, 9, 0, 8\)"),
        (x(0, 9, 3, 8), ShapeError, r"got shape \(0, 9, 3, 8\)"),
        (x(dtype=torch.int64), DtypeError, r"expects floating tokens, got torch\.int64; convert them"),
        (x(dtype=torch.complex64), DtypeError, r"expects floating tokens, got torch\.complex64"),
        ([[1.0]], DtypeError, "expects a tensor of tokens, got list"),
        (None, DtypeError, "expects a tensor of tokens, got NoneType"),
    ],
)
def test_tokens_of_another_kind(name, bad, error, message):
    with pytest.raises(error, match=f"{name} .*{message}"):
        callers(bad)[name]()


@pytest.mark.parametrize("name", ["TCEP", "SFTMHSA", "CrossMHSA", "SpatialGCN"])
def test_other_channels(name):
    with pytest.raises(ShapeError, match=f"{name} was built for dim=8, got tokens with 7 channels"):
        callers(x(2, 9, 3, 7))[name]()


def test_other_joints():
    with pytest.raises(ShapeError, match="SpatialGCN was built for 3 joints, got 4"):
        SpatialGCN(8, 4, 3)(x(2, 9, 4, 8))


def test_longer_than_built():
    hint = "built for up to num_frames=9, got .*10.*; build it with num_frames=10 or cut the sequence"
    with pytest.raises(ShapeError, match=f"TCEP was {hint}"):
        TCEP(8, 9)(x(2, 10, 3, 8))
    with pytest.raises(ShapeError, match=f"CrossMHSA was {hint}"):
        CrossMHSA(8, 9, 2)(x(2, 2, 3, 8), KeptFrames(KEPT.index, 10))
    with pytest.raises(ShapeError, match=f"TCEP was {hint}"):
        Network()(x(2, 10, 3, 8))


@pytest.mark.parametrize("module", [SFTMHSA(8, 2), MGPTP(4)])
@pytest.mark.parametrize("size", [(1, 3, 9), (2, 4, 9), (2, 3, 8)])
def test_mask_of_other_tokens(module, size):
    batch, joints, frames = size
    expected = f"(batch, frames, joints) = (2, 9, 3), got one for {(batch, frames, joints)}"
    with pytest.raises(
        ShapeError, match=f"{type(module).__name__} expects a mask for " + re.escape(expected)
    ):
        module(x(), random_mask(*size))


@pytest.mark.parametrize("module", [SFTMHSA(8, 2), MGPTP(4)])
def test_something_else_than_a_mask(module):
    with pytest.raises(DtypeError, match=f"{type(module).__name__} expects a TemporalMask, got Tensor"):
        module(x(), MASK.keep)
    with pytest.raises(MaskError, match="expects the mask on cpu, got it on meta"):
        module(x(), MASK.to("meta"))


@pytest.mark.parametrize("module", [CrossMHSA(8, 9, 2), Interpolation()])
def test_kept_frames_of_other_tokens(module):
    name = type(module).__name__
    with pytest.raises(
        ShapeError, match=rf"{name} expects kept tokens .* = \(2, 2\), got shape \(2, 3, 3, 8\)"
    ):
        module(x(2, 3, 3, 8), KEPT)
    with pytest.raises(ShapeError, match=rf"{name} expects kept tokens .* got shape \(1, 2, 3, 8\)"):
        module(x(1, 2, 3, 8), KEPT)
    with pytest.raises(DtypeError, match=f"{name} expects a KeptFrames, got Tensor"):
        module(x(2, 2, 3, 8), KEPT.index)
    with pytest.raises(MaskError, match="expects the kept frames on meta, got them on cpu"):
        module.to("meta")(x(2, 2, 3, 8).to("meta"), KEPT)
    module.to_empty(device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["TCEP", "MGPTP"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_tokens_that_are_not_finite(name, value, dtype):
    with pytest.raises(NonFiniteError, match=f"{name} selects frames .* expects them finite, got NaN or inf"):
        callers(spoiled(value).to(dtype))[name]()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "expects at least 1, got 0"),
        (-3, "expects at least 1, got -3"),
        (0.0, "share .* expects 0 < share <= 1, got 0.0"),
        (1.5, "expects 0 < share <= 1, got 1.5; give an int for a number of frames"),
        (-0.1, "got -0.1"),
        (float("nan"), "got nan"),
        (float("inf"), "got inf"),
        (True, "expects an int .* or a float .*, got True"),
        ("54", "expects an int .* or a float .*, got '54'"),
    ],
)
def test_numbers_of_frames(value, message):
    prune, tcep = MGPTP(3), TCEP(8, 9)
    with pytest.raises(ConfigError, match=f"num_keep .*{message}"):
        MGPTP(value)
    with pytest.raises(ConfigError, match=f"num_keep .*{message}"):
        prune.num_keep = value
    with pytest.raises(ConfigError, match=f"num_neighbors .*{message}"):
        TCEP(8, 9, value)
    with pytest.raises(ConfigError, match=f"num_neighbors .*{message}"):
        tcep.num_neighbors = value
    with pytest.raises(ConfigError, match=f"num_keep .*{message}"):
        HTPConfig(num_keep=value)
    with pytest.raises(ConfigError, match=f"num_neighbors .*{message}"):
        HTPConfig(num_neighbors=value)
    assert prune.num_keep == 3


@pytest.mark.parametrize("value", [0, -1, 0.5, 2.0, True, None, "2"])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("num_frames", lambda v: TCEP(8, v)),
        ("num_layers", lambda v: TCEP(8, 9, num_layers=v)),
        ("num_neighbors", lambda v: MGPTP(3, v)),
        ("num_frames", lambda v: CrossMHSA(8, v)),
        ("density_neighbors", lambda v: HTPConfig(density_neighbors=v)),
    ],
)
def test_counts(name, make, value):
    with pytest.raises(ConfigError, match=f"{name} expects an int of at least 1, got {value!r}"):
        make(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HTPConfig(num_sft_layers=-1), "num_sft_layers expects an int of at least 0, got -1"),
        (lambda: HTPConfig(num_sft_layers=1.0), "num_sft_layers expects an int of at least 0, got 1.0"),
        (
            lambda: HTPConfig(recovery="copy"),
            "recovery expects one of cross_attention, interpolate, got 'copy'",
        ),
        (lambda: HTPConfig(spatial_gcn=1), "spatial_gcn expects True or False, got 1"),
        (lambda: SFTMHSA(8, 3), "dim expects a multiple of num_heads, got dim=8, num_heads=3"),
        (lambda: CrossMHSA(8, 9, 3), "dim expects a multiple of num_heads, got dim=8, num_heads=3"),
        (lambda: SFTMHSA(8, 0), "num_heads expects an int of at least 1, got 0"),
        (
            lambda: TransformerBlock(8, 2, drop_path=1.0),
            r"drop_path expects a probability in \[0, 1\), got 1.0",
        ),
    ],
)
def test_options(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_what_is_fixed_when_htp_is_built():
    htp = HTP(8, 9, 2)
    for other in (HTPConfig(recovery="interpolate"), HTPConfig(spatial_gcn=False)):
        with pytest.raises(ConfigError, match=r"is fixed when HTP is built: expected .*, got"):
            htp.config = other
    assert htp.config == HTPConfig()


def test_too_few_pairs():
    with pytest.raises(ConfigError, match="num_sft_layers=3 needs at least 4 pairs of blocks, got 2"):
        Network(depth=2, config=HTPConfig())(x())


def test_every_error_is_also_the_builtin_that_a_caller_expects():
    for error in (ShapeError, ConfigError, NonFiniteError, MaskError):
        assert issubclass(error, (HTPError, ValueError))
        assert issubclass(error, HTPError)
        assert issubclass(error, ValueError)
    assert issubclass(DtypeError, HTPError)
    assert issubclass(DtypeError, TypeError)
