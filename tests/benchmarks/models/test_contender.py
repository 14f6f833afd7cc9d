"""Contenders: what is changed in a checkpoint, and which checkpoints belong together."""

import pytest
import torch
from written import write_checkpoints as save

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.contender import Pruning, trained_contenders, untrained_contenders, with_fewer_early


def test_the_early_model_shares_every_weight_and_leaves_the_exact_one_as_it_is():
    d3dp, exact = untrained_contenders("tiny", ("d3dp", "htp"), Pruning(), 0)
    kept = exact.denoiser.htp.mgptp.num_keep
    early = with_fewer_early(exact, 2)
    assert early.denoiser is exact.denoiser
    assert (exact.denoiser.htp.mgptp.num_keep, early.early.htp.mgptp.num_keep) == (kept, 2)
    pairs = zip(exact.denoiser.parameters(), early.early.parameters(), strict=True)
    assert all(one is other for one, other in pairs)
    buffers = early.early.state_dict()
    assert all(torch.equal(value, buffers[key]) for key, value in exact.denoiser.state_dict().items())
    with pytest.raises(BenchmarkError, match="needs an HTP denoiser of this project, D3DP is none"):
        with_fewer_early(d3dp, 2)


def test_pruning_changes_the_options_and_no_weight(folder):
    [plain] = trained_contenders(folder, "tiny", ("htp",), Pruning())
    [pruned] = trained_contenders(
        folder, "tiny", ("htp",), Pruning(num_sft_layers=1, num_keep=5, num_neighbors=0.5)
    )
    htp = pruned.denoiser.htp.config
    assert (htp.num_sft_layers, htp.num_keep, htp.num_neighbors) == (1, 5, 0.5)
    assert pruned.config.htp == htp != plain.config.htp
    weights = pruned.denoiser.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in plain.denoiser.state_dict().items())


def test_untrained_weights_are_those_of_the_seed():
    first, again, other = (
        untrained_contenders("tiny", ("htp",), Pruning(), seed)[0].denoiser.head[1].weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_checkpoints_that_do_not_belong_together_are_refused(tmp_path):
    save(tmp_path / "longer", htp={"num_frames": 13})
    with pytest.raises(BenchmarkError, match=r"different lengths: \[12, 13\] frames"):
        trained_contenders(tmp_path / "longer", "tiny", ("d3dp", "htp"), Pruning())
    save(tmp_path / "swapped")
    (tmp_path / "swapped" / "d3dp-tiny.json").replace(tmp_path / "swapped" / "htp-tiny.json")
    with pytest.raises(BenchmarkError, match="of kind d3dp, expected htp"):
        trained_contenders(tmp_path / "swapped", "tiny", ("htp",), Pruning())
