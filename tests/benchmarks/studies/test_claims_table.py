"""The table of the claims: which rows are taken together; and what a member is scored on."""

import dataclasses

import pytest
import torch
from rich.console import Console
from training_runs import MICRO, small_motions

from htp_diffusion.base.provenance import provenance
from htp_diffusion.data.virtual_views import virtual_views
from htp_diffusion.models.variants import VariantConfig
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.studies.claims import MODELS, Prediction, members
from htp_diffusion.studies.claims_table import ClaimRow, ClaimsResult, claims_table
from htp_diffusion.studies.commands import claims
from htp_diffusion.training.fleet import Fleet


def result(rows):
    return ClaimsResult(
        preset="tiny", sizes=MICRO, motions=1, training_frames=9, scored="clips", every=1, frames=9, steps=40,
        precision="fp32", seconds_per_step=0.1, device="cpu", rows=rows, provenance=provenance(),
    )  # fmt: skip


def row(mpjpe, **changes):
    return ClaimRow(
        **{
            "model": "d3dp",
            "seed": 0,
            "denoiser": MICRO.denoiser("d3dp"),
            "loss": 1.0,
            "errors": {"1x1": Errors(mpjpe=mpjpe, p_mpjpe=2.0, mpjve=None)},
            "prediction": Prediction(mpjpe=[3.0, 4.0], shuffled=5.0),
            **changes,
        }
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_member_has_the_embedding_that_its_name_says(name):
    [member] = members([name], [0], MICRO)
    special = name.split("-")
    plain = special[0] in ("d3dp", "mixste") and "htp" not in special[1:]
    assert isinstance(member.build().Spatial_patch_to_embedding, torch.nn.Linear) == (
        plain or "linear" in special
    )


def test_seeds_are_taken_together_and_other_lengths_of_training_are_not():
    rows = [row(10.0), row(12.0, seed=1), row(20.0, steps=30), row(24.0, seed=1, steps=30)]
    told = [cells[:4] for cells in claims_table(result(rows)).rows]
    assert told == [
        ("D3DP", "0, 1", "1x1", "11.0 ± 1.4"),
        ("D3DP, 30 steps", "0, 1", "1x1", "22.0 ± 2.8"),
    ]


def test_a_member_of_shorter_windows_is_scored_on_windows_of_its_own(tmp_path, monkeypatch):
    found, device = [], torch.device("cpu")

    def seen(_, clips, *rest):
        found.append(clips[0].pose_2d.shape[1])
        return {}

    monkeypatch.setattr(claims, "score", seen)
    monkeypatch.setattr(claims, "predict", lambda *_: Prediction(mpjpe=[1.0], shuffled=1.0))
    preset, motions = dataclasses.replace(MICRO, num_keep=3, depth=5), small_motions()
    fleet = Fleet(tmp_path, members(("htp", "htp-t6"), (0,), preset), preset, motions, device=device)
    clips = virtual_views(motions, cameras=1)
    rows = claims.scored_rows(fleet, clips, claims.Options(), device, Console(quiet=True))
    assert found == [9, 6]
    assert [one.denoiser.num_frames for one in rows] == [9, 6]


def test_models_are_what_their_names_say():
    names = ("d3dp-tilt", "htp-n2", "htp-f3", "htp-t6", "htp-linear", "htp-noisy_gcn", "mixste-htp")
    made = dict(zip(names, members(names, (7,), MICRO), strict=True))
    assert all(member.seed == 7 and member.name == f"{name}-seed7" for name, member in made.items())
    assert (made["d3dp-tilt"].denoiser, made["d3dp-tilt"].tilt) == (MICRO.denoiser("d3dp"), 1.5)
    pruning = {name: member.denoiser.htp for name, member in made.items()}
    assert pruning["htp-n2"].num_sft_layers == 2
    assert pruning["htp-f3"].num_keep == 3
    assert made["htp-t6"].denoiser.num_frames == 6
    assert [name for name in names if pruning[name] and not pruning[name].spatial_gcn] == ["htp-linear"]
    assert {name: member.variant for name, member in made.items() if member.variant} == {
        "htp-noisy_gcn": "noisy-gcn"
    }
    assert VariantConfig(variant="noisy-gcn", denoiser=made["htp-noisy_gcn"].denoiser).denoiser.kind == "htp"
    assert made["mixste-htp"].denoiser.kind == "htp-mixste"
