"""What is checked before anything is timed, and the ways in which a model is run."""

from dataclasses import replace

import pytest
import torch

from adapters import is_patched
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.execution import Compiled, Replayed, StaticCall, prepare_model
from htp_diffusion.models.lifter import HTPLifter
from htp_diffusion.speed import agreement, drift
from htp_diffusion.speed.lineup import Sizes, line_up, random_inputs
from htp_modules import HTPConfig, KeptFrames, Record, TemporalMask, attention, record

CPU = torch.device("cpu")
SIZES = Sizes(frames=9, dim=16, depth=4, motionbert_depth=4, heads=2)
PRUNING = HTPConfig(num_sft_layers=1, num_keep=3, num_neighbors=4)


@pytest.fixture(scope="module")
def entrants():
    return line_up(["d3dp", "mixste", "motionbert"], SIZES, [PRUNING], None, CPU)


def test_the_check_measures_the_difference(entrants, monkeypatch):
    for entrant in entrants:
        inputs = agreement.short_inputs(entrant, 9, CPU)
        assert agreement.fused_difference(entrant.model, inputs) < 1e-12

    right = attention.explicit_attention

    wrong_but_in = None

    def wrong(query, key, value, keep=None):
        return right(query, key, value, keep) * (1.0 if query.dtype == wrong_but_in else 1.01)

    monkeypatch.setattr(attention, "fused_attention", wrong)
    inputs = agreement.short_inputs(entrants[0], 9, CPU)
    with pytest.raises(BenchmarkError, match="fused and written-out attention of D3DPDenoiser"):
        agreement.fused_difference(entrants[0].model, inputs)
    wrong_but_in = torch.float64  # the reference
    monkeypatch.setattr(attention, "explicit_attention", wrong)  # the path of few frames
    with pytest.raises(BenchmarkError, match="D3DP in fp32, eager, differs from float64 by"):
        agreement.exact_difference(entrants[0], inputs, precision="fp32", mode="eager", device=CPU)


def test_fewer_bits_are_farther_from_float64(entrants):
    for entrant in entrants:
        inputs = agreement.short_inputs(entrant, 9, CPU)
        fp32, fp16, bf16 = (
            agreement.exact_difference(entrant, inputs, precision=precision, mode="eager", device=CPU)
            for precision in ("fp32", "fp16", "bf16")
        )
        # 24, 11 and 8 bits.
        assert 0 < 100 * fp32 < fp16 < bf16


def test_a_pinned_model_keeps_what_it_is_told(entrants):
    model = line_up(["d3dp"], SIZES, [PRUNING], None, CPU)[1].model
    inputs = random_inputs("d3dp", 1, 9)
    kept = KeptFrames(torch.tensor([[0, 4, 8]]), 9)
    keep = torch.eye(9, dtype=torch.bool).expand(1, 17, 9, 9)
    with torch.no_grad():
        with record(model) as free:
            model(*inputs)
        agreement.pin(model, Record(masks=[TemporalMask(keep)], kept=[kept]))
        with record(model) as seen:
            model(*inputs)
    assert free.kept[0].index.tolist() != kept.index.tolist()
    assert seen.kept[0].index.tolist() == kept.index.tolist()
    assert torch.equal(seen.masks[0].keep, keep)
    assert (
        agreement.exact_difference(entrants[1], inputs, precision="fp32", mode="eager", device=CPU) < 1e-5
    )  # its own model was not pinned


@pytest.mark.unhooked
def test_a_pinned_model_is_still_one_graph(monkeypatch):
    whole = []

    def compile_eagerly(model, *, dynamic, fullgraph, compiler=torch.compile):
        whole.append(fullgraph)
        return compiler(model, dynamic=dynamic, fullgraph=fullgraph, backend="eager")

    monkeypatch.setattr(torch, "compile", compile_eagerly)
    entrant = line_up(["d3dp"], replace(SIZES, depth=3), [PRUNING], None, CPU)[1]
    inputs = agreement.short_inputs(entrant, 9, CPU)
    found = agreement.exact_difference(entrant, inputs, precision="fp32", mode="compiled", device=CPU)
    assert found < 1e-5
    assert whole == [True]


@pytest.mark.parametrize("host", ["d3dp", "mixste", "finepose"])
def test_what_is_compiled_on_cuda_is_what_runs(monkeypatch, host):
    runs = []

    def compile_nothing(function, **_):
        number = len(runs)
        runs.append(0)

        def counted(*inputs):
            runs[number] += 1
            return function(*inputs)

        return counted

    monkeypatch.setattr(torch, "compile", compile_nothing)
    for entrant in line_up([host], replace(SIZES, depth=3), [PRUNING], None, CPU):
        runs.clear()
        inputs = agreement.short_inputs(entrant, 9, CPU)
        with torch.no_grad():
            prepare_model(entrant.model, "compiled", torch.device("cuda"))(*inputs)
        assert min(runs) > 0, entrant.name
        # Part by part each of our own; a patched model, whose flow is its adapter's, as a whole.
        assert (len(runs) > 1) == (not is_patched(entrant.model)), entrant.name


def test_every_part_of_a_lifter_runs():
    lifter = HTPLifter(9, dim=8, depth=3, num_heads=2, config=PRUNING).eval()
    whole = {(type(module).__name__, name) for module, name in lifter.compiled_parts()}
    assert {("TCEP", "forward"), ("MGPTP", "forward"), ("CrossMHSA", "forward")} < whole


def test_what_cannot_be_compiled_is_told(monkeypatch):
    from torch._dynamo.exc import TorchDynamoException

    def fail(*_):
        raise TorchDynamoException("no compiler\nand more")

    monkeypatch.setattr(torch, "compile", lambda model, **_: fail)
    entrant = line_up(["mixste"], SIZES, [], None, CPU)[0]
    with pytest.raises(BenchmarkError, match=r"cannot be compiled here \(no compiler\); run them eager"):
        agreement.exact_difference(
            entrant, agreement.short_inputs(entrant, 9, CPU), precision="fp32", mode="compiled", device=CPU
        )


def test_a_cuda_graph_needs_cuda():
    with pytest.raises(BenchmarkError, match="mode cuda-graph needs a CUDA device, got cpu"):
        prepare_model(torch.nn.Identity(), "cuda-graph", CPU)


class Recorder:
    """Captures as a graph does: the same memory is read and written at every replay."""

    def __init__(self):
        self.captures = 0

    def __call__(self, function):
        self.captures += 1
        result = function()
        return lambda: result.copy_(function()), result


def test_a_static_call_replays_on_new_inputs_and_leaves_its_results_alone():
    call = StaticCall(lambda left, right: left + 2 * right, (torch.zeros(3), torch.zeros(3)), Recorder())
    one = call(torch.ones(3), torch.ones(3))
    two = call(torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3))
    assert one.tolist() == [3.0, 3.0, 3.0]
    assert two.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="zip"):
        call(torch.ones(3))


def test_every_shape_is_captured_once():
    capture = Recorder()
    call = Replayed(lambda x: x.square(), capture)
    for length in (2, 3, 2, 3):
        assert call(torch.full((length,), 3.0)).tolist() == [9.0] * length
    assert capture.captures == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cuda_graph_computes_what_the_model_does():
    device = torch.device("cuda")
    for entrant in line_up(["d3dp", "mixste", "motionbert"], SIZES, [PRUNING], None, device):
        inputs = agreement.short_inputs(entrant, 9, device)
        call = prepare_model(entrant.model, "cuda-graph", device)
        with torch.inference_mode():
            torch.testing.assert_close(call(*inputs), entrant.model(*inputs))


def test_poses_drift_from_themselves_by_nothing():
    found = drift.measure_drift(
        [("fp32", "eager"), ("bf16", "eager"), ("fp16", "eager")],
        device=CPU,
        hypotheses=1,
        steps=1,
        max_windows=1,
    )
    assert [(one.model, one.precision) for one in found] == [
        ("D3DP", "fp32"),
        ("D3DP", "bf16"),
        ("D3DP", "fp16"),
        ("HTP", "fp32"),
        ("HTP", "bf16"),
        ("HTP", "fp16"),
    ]
    for one in found:
        assert one.windows == 1
        if one.precision == "fp32":
            assert one.mpjpe_drift == one.distance == one.median == 0.0
        else:
            # The triangle inequality: with one hypothesis, errors differ by no more than poses do.
            assert 0 < one.mpjpe_drift <= one.distance < 50
            assert one.mpjpe_drift == abs(one.mpjpe - one.mpjpe_fp32)
        if one.precision == "fp16":  # the coordinates and the head rounded, too, would move poses further
            assert one.median < 0.1


def test_a_cpus_compiler_settings_are_a_cpus_alone(monkeypatch):
    from torch._inductor import config

    frozen = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    call = Compiled(lambda x: frozen.append(config.freezing) or x)
    for device in ("cpu", "meta"):
        call(torch.zeros(2 + len(frozen), device=device))
    assert frozen == [True, False]
    assert not config.freezing
