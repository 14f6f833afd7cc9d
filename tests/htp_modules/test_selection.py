from itertools import pairwise

import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import DTYPES, tokens
from torch.testing import assert_close

from htp_modules import TCEP, selection
from htp_modules.selection import highest_by_counting, scale_tokens, select_highest

scores = st.lists(
    st.sampled_from([-2.0, -1.0, 0.0, -0.0, 0.5, 3.0, float("-inf"), float("inf")]), min_size=1, max_size=9
)


@given(scores, st.data())
def test_ties_go_to_the_earlier_item(row, data):
    count = data.draw(st.integers(1, len(row)))
    for dtype in DTYPES:
        chosen = select_highest(torch.tensor([row], dtype=dtype), count)[0]
        highest = set(oracles.highest(row, count))
        assert chosen.tolist() == [1.0 if item in highest else 0.0 for item in range(len(row))]


@pytest.mark.unhooked
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript
def test_a_trace_breaks_ties_that_its_first_input_did_not_have():
    distinct, equal = torch.arange(4.0)[None], torch.zeros(1, 4)
    traced = torch.jit.trace(lambda rows: select_highest(rows, 2), (distinct,))
    assert traced(equal).tolist() == [[1.0, 1.0, 0.0, 0.0]]


@pytest.mark.unhooked
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript
def test_a_trace_scales_tokens_that_its_first_input_had_not_to():
    traced = torch.jit.trace(lambda x: tuple(scale_tokens(x, (-1,), name="test")), (torch.ones(1, 4),))
    assert traced(torch.full((1, 4), 2.0**50))[1].tolist() == [[2.0**50]]


def test_a_derivative_by_transform_is_that_by_backward():
    tcep, x = TCEP(4, 5).eval(), torch.randn(1, 5, 3, 4, requires_grad=True)
    found = torch.func.grad(lambda x: tcep(x)[0].square().sum())(x.detach())
    assert_close(found, torch.autograd.grad(tcep(x)[0].square().sum(), x)[0])


floats = st.floats(width=32, allow_nan=False)


@given(st.lists(floats | st.sampled_from([0.0, -0.0, 1e-45, -1e-45]), min_size=1, max_size=40), st.data())
def test_by_counting_the_same_are_marked(row, data):
    count = data.draw(st.integers(1, len(row)))
    rows = torch.tensor([row, row[::-1]])
    assert torch.equal(highest_by_counting(rows, count), select_highest(rows, count))


@pytest.mark.parametrize("length", [1, 2, 127, 128, 255, 256, 257])
def test_by_counting_at_any_length(length):
    rows = torch.randn(3, length, generator=torch.Generator().manual_seed(length))
    rows[1] = rows[1].round()  # with ties
    rows[2] = 0.0
    for count in {1, (length + 1) // 2, length}:
        assert torch.equal(highest_by_counting(rows, count), select_highest(rows, count))


@given(scores)
def test_marks_nest_even_with_ties(row):
    marks = [select_highest(torch.tensor(row), count) for count in range(1, len(row) + 1)]
    for smaller, larger in pairwise(marks):
        assert bool((larger >= smaller).all())
        assert larger.sum() == smaller.sum() + 1


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16])
def test_more_ties_than_a_half_can_count(dtype):
    chosen = select_highest(torch.zeros(1, 5000, dtype=dtype), 4999)
    assert int(chosen.sum()) == 4999
    assert int(chosen[0, -1]) == 0


@given(tokens(extremes=(1.0, 3.0, 0.2)))
def test_ordinary_tokens_are_not_scaled(x):
    scaled = scale_tokens(x, (-2, -1), name="test")
    assert bool((scaled.scale == 1).all())
    assert scaled.tokens.dtype == torch.promote_types(x.dtype, torch.float32)
    assert torch.equal(scaled.tokens, x.to(scaled.tokens.dtype))


@given(tokens())
def test_scaling_is_exact_and_leaves_products_finite(x):
    scaled = scale_tokens(x, (1, 2, 3), name="test")
    assert torch.equal(scaled.tokens * scaled.scale, x.to(scaled.tokens.dtype))
    exponents = scaled.scale.double().log2()
    assert torch.equal(exponents, exponents.round())
    squares = scaled.tokens.square()
    assert bool(squares.isfinite().all())
    assert bool(((squares > 0) == (x != 0)).all())


@pytest.mark.parametrize("exponent", range(-126, 128))
def test_at_every_magnitude_sums_of_squares_stay_finite_and_distinct(exponent):
    # As wide as tokens come, of two neighbouring values: 2^13 is above every width in use.
    x = torch.full((2, 2**13), 2.0**exponent)
    x[1, 0] *= 1.0 + 2.0**-9 if exponent < 127 else 1.5
    scaled = scale_tokens(x, (-2, -1), name="test")
    squares = scaled.tokens.square()
    assert bool(squares.sum(dim=-1).isfinite().all())
    assert float(squares[1, 0] / squares[0, 0]) == pytest.approx(float(x[1, 0] / x[0, 0]) ** 2)
    assert bool((squares >= torch.finfo(torch.float32).tiny).all())


@pytest.mark.parametrize("tokens", [[0.0, 0.0], [1.0, torch.inf], [2.0**60, torch.nan]])
def test_tokens_without_a_magnitude_are_left_alone(tokens, monkeypatch):
    monkeypatch.setattr(selection, "check_finite", lambda *_, **__: None)  # as on a GPU
    scaled = scale_tokens(torch.tensor(tokens), (-1,), name="test")
    assert scaled.scale.tolist() == [1.0]
    assert torch.equal(scaled.tokens.nan_to_num(nan=5.0), torch.tensor(tokens).nan_to_num(nan=5.0))


@pytest.mark.parametrize("least", [1e-45, 3e38, torch.finfo(torch.float32).max])
def test_the_edges_of_float32_are_scaled_into_range(least):
    scaled = scale_tokens(torch.full((1, 2), least), (-1,), name="test").tokens
    assert bool(((scaled >= 1) & (scaled < 2)).all())


def test_by_counting_along_the_last_of_several_axes():
    rows = torch.randn(2, 1, 4, 5)
    rows[1] = 0.0
    for count in (2, 5):
        found = highest_by_counting(rows, count)
        assert found.dtype == rows.dtype
        assert torch.equal(found, select_highest(rows, count))
    assert highest_by_counting(rows.to("meta"), 2).is_meta
