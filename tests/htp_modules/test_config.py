import json
import pickle
from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htp_modules import HTP, MGPTP, SFTMHSA, ConfigError, CrossMHSA, HTPConfig
from htp_modules.config import check_count, check_frames, resolve_frames


def test_defaults_are_the_papers_trained_model():
    config = HTPConfig()
    assert resolve_frames(config.num_neighbors, 243) == 162
    assert resolve_frames(config.num_keep, 243) == 54
    assert (config.num_sft_layers, config.density_neighbors) == (3, 2)
    assert (config.recovery, config.spatial_gcn) == ("cross_attention", True)


@given(st.integers(1, 500), st.integers(1, 500))
def test_an_int_is_a_number_of_frames(value, num_frames):
    assert resolve_frames(check_frames(value, "k"), num_frames) == min(value, num_frames)


@given(st.floats(0, 1, exclude_min=True), st.integers(1, 500))
def test_a_float_is_a_share(value, num_frames):
    resolved = resolve_frames(check_frames(value, "k"), num_frames)
    assert 1 <= resolved <= num_frames
    assert abs(resolved - max(1.0, value * num_frames)) <= 0.5


@pytest.mark.parametrize(
    ("share", "num_frames", "expected"),
    [(0.5, 5, 3), (0.5, 1, 1), (1e-9, 9, 1), (1.0, 7, 7), (2 / 9, 27, 6), (2 / 9, 81, 18)],
)
def test_shares_round_half_up(share, num_frames, expected):
    assert resolve_frames(share, num_frames) == expected


@pytest.mark.parametrize(
    ("num_frames", "kept", "neighbors"), [(243, 54, 162), (27, 6, 18), (2, 1, 1), (1, 1, 0)]
)
def test_frames_of_a_sequence(num_frames, kept, neighbors):
    config = HTPConfig()
    assert (config.frames_kept(num_frames), config.neighbors(num_frames)) == (kept, neighbors)


def test_a_sequence_too_short_to_prune():
    config = HTPConfig(num_keep=54, num_neighbors=162)
    assert (config.frames_kept(20), config.neighbors(20)) == (20, 19)


@pytest.mark.unhooked
def test_integers_of_other_libraries_count():
    class Seven:
        def __index__(self):
            return 7

    assert check_count(Seven(), "n") == 7
    assert repr(MGPTP(3, required=(Seven(), "last")).required) == "(7, 'last')"


@pytest.mark.unhooked
@pytest.mark.parametrize("heads", [0, 8.0, True, "8", None])
def test_heads_are_an_int(heads):
    with pytest.raises(ConfigError, match="num_heads expects an int of at least 1, got"):
        SFTMHSA(64, heads)
    with pytest.raises(ConfigError, match="num_heads expects an int of at least 1, got"):
        CrossMHSA(64, 9, heads)


def test_frozen_comparable_hashable_picklable():
    config = HTPConfig(num_keep=9)
    with pytest.raises(FrozenInstanceError):
        config.num_keep = 3
    assert config == HTPConfig(num_keep=9) != replace(config, num_keep=8)
    assert len({config, HTPConfig(num_keep=9)}) == 1
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(TypeError):
        HTPConfig(0.5)


@pytest.mark.parametrize(
    ("required", "num_frames", "expected"),
    [
        ((), 9, ()),
        (("centre",), 243, (121,)),  # (243 - 1) / 2, the frame that a seq2frame network answers for
        (("centre",), 1, (0,)),
        (("last", "first", 4), 9, (0, 4, 8)),
        ((8, "last", 8), 9, (8,)),
    ],
)
def test_frames_that_must_stay(required, num_frames, expected):
    config = HTPConfig(num_keep=3, required=required)
    assert config.frames_required(num_frames) == expected
    htp = HTP(8, num_frames, 2, config)
    assert htp.config.required == htp.mgptp.required == required


@pytest.mark.unhooked
def test_a_config_goes_through_json():
    config = HTPConfig(num_keep=5, required=("centre", 3))
    assert HTPConfig(**json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.unhooked
@pytest.mark.parametrize("value", ["centre", 3, {0}, ("middle",), (-1,), (True,), (1.0,), (None,)])
def test_frames_that_must_stay_are_a_tuple_of_names_and_indices(value):
    with pytest.raises(ConfigError, match="required expects a tuple of 'centre', 'first', 'last' and frame"):
        HTPConfig(required=value)
    with pytest.raises(ConfigError, match="required expects"):
        MGPTP(3, required=value)


def test_frames_that_the_longest_sequence_cannot_keep():
    htp = HTP(8, 9, 2, HTPConfig(num_keep=2, required=("first", "last")))
    for change in ({"required": (9,)}, {"num_keep": 1}):
        with pytest.raises(ConfigError, match="required names"):
            htp.config = replace(htp.config, **change)
        with pytest.raises(ConfigError, match="required names"):
            HTP(8, 9, 2, replace(htp.config, **change))
    assert htp.config == HTPConfig(num_keep=2, required=("first", "last"))
    with pytest.raises(ConfigError, match=r"replace\(htp.config, required="):
        htp.required = (0,)


def test_a_config_pickled_before_it_could_require_frames():
    old = HTPConfig(num_keep=4)
    del vars(old)["required"]
    assert pickle.loads(pickle.dumps(old)) == HTPConfig(num_keep=4)


@pytest.mark.unhooked
def test_numbers_of_numpy_become_plain_ones():
    config = HTPConfig(
        num_neighbors=np.float64(0.5),
        num_keep=np.int64(3),
        num_sft_layers=np.int32(1),
        density_neighbors=np.int64(2),
    )
    assert [type(value) for value in vars(config).values()] == [float, int, int, int, str, bool, tuple]
    assert json.loads(json.dumps(vars(config)))["num_keep"] == 3


@pytest.mark.unhooked
def test_an_htp_takes_an_htpconfig_alone():
    with pytest.raises(ConfigError, match="config expects an HTPConfig, got dict"):
        HTP(8, 9, 2, {"num_keep": 3})  # pyright: ignore[reportArgumentType]
