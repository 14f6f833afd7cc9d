"""What a run trains on and holds out, data set by data set, and the space of its poses."""

import dataclasses

import pytest
import torch
from training_runs import MICRO, small_motions, trainer_in
from written import write_h36m, write_mpi_train

import train
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.h36m import H36M_TEST, H36M_TRAIN
from htp_diffusion.data.mocap.cmu import CMU_TEST, CMU_TRAIN
from htp_diffusion.data.source import Source
from htp_diffusion.data.virtual_views import virtual_views
from htp_diffusion.models.checkpoint import load_checkpoint, load_denoiser
from htp_diffusion.pose.layout import MPI_INF_3DHP_17
from htp_diffusion.pose.space import CAMERA_METRES
from htp_diffusion.training.trainer import Trainer
from htp_diffusion.training.validation import CMU_VALIDATION, held_out, one_view_each
from htp_diffusion.training.virtual import VirtualBatches


@pytest.fixture(scope="module")
def motions():
    return small_motions()


def test_no_test_clip_is_held_out():
    names = [*CMU_TRAIN, "synthetic/walking_000"]
    assert held_out(names) == set(CMU_VALIDATION)
    assert not set(CMU_TEST) & set(CMU_VALIDATION)
    assert {name[:3] for name in CMU_VALIDATION} == {"S01", "S02", "S03"}


def test_of_other_motion_every_eighth_recording_is_held_out():
    assert held_out("abcdefghij") == {"b", "j"}
    with pytest.raises(BenchmarkError, match="at least 2 recordings, got 1"):
        held_out("a")


def test_of_each_recording_one_camera_sees_what_is_held_out(motions):
    views = virtual_views([*motions, dataclasses.replace(motions[0], name="third")], cameras=2)
    assert one_view_each(views) == [views[0], views[3], views[4]]


def test_the_held_out_cmu_clips_are_long_enough_for_the_paper(cmu_path):
    options = train.Options(
        kind="htp", preset="paper", source=Source(data=cmu_path / "data_3d_cmu.npz"), evaluate_every=1
    )
    data = train.training_data(options, train.chosen_preset(options))
    assert data.validation is not None
    assert tuple(name.split("@")[0] for name in data.validation.names) == CMU_VALIDATION
    assert data.left_out == ["S02/02_01", "S02/02_03", "S03/03_01"]
    procedural = [f"synthetic/{kind}" for kind in ("walking_000", "sitting_001", "reaching_002")]
    kept = [name for name in CMU_TRAIN if name not in {*CMU_VALIDATION, *data.left_out}]
    assert data.batches.names[: len(kept) + 3] == kept + procedural
    assert len(data.batches.names) == len(kept) + 12
    without = train.training_data(
        dataclasses.replace(options, evaluate_every=0), train.chosen_preset(options)
    )
    assert without.validation is None
    assert set(CMU_VALIDATION) < set(without.batches.names)


def test_human36m_is_trained_on_through_its_cameras(tmp_path):
    """Whole recordings are held out, seen by one of their cameras; no test subject is near."""
    trials = ("Walking", "Sitting 1", "Eating")
    path_3d, path_2d, *_ = write_h36m(tmp_path, trials, (*H36M_TRAIN, *H36M_TEST), frames=9)
    source = Source(dataset="h36m", data=path_3d, keypoints=path_2d)
    preset = dataclasses.replace(MICRO, batch_size=3)
    options = train.Options(kind="d3dp", source=source, evaluate_every=1)
    data = train.training_data(options, preset)
    recordings = [f"{subject}/{trial}" for subject in H36M_TRAIN for trial in trials]
    held = recordings[1::8]
    assert [name.partition("@")[0] for name in data.validation.names] == held
    assert len({name.partition("@")[2] for name in data.validation.names}) == len(held) == 2
    assert {name.partition("@")[0] for name in data.batches.names} == set(recordings) - set(held)
    assert len(data.batches.names) == 4 * (len(recordings) - len(held))
    assert data.batches.space == CAMERA_METRES
    assert data.batches.draw(torch.Generator().manual_seed(0)).pose_3d.shape == (3, 9, 17, 3)
    with pytest.raises(BenchmarkError, match="dataset h36m has no --synthetic-clips"):
        train.training_data(dataclasses.replace(options, synthetic_clips=2), preset)


def test_mpi_inf_3dhp_keeps_its_layout_and_short_clips_are_named(tmp_path):
    source = Source(dataset="3dhp", data=write_mpi_train(tmp_path / "train.npz"), annotation="annot3")
    options = train.Options(kind="d3dp", source=source)
    data = train.training_data(options, dataclasses.replace(MICRO, num_frames=4))
    assert len(data.batches.names) == 2
    assert [name.partition("@")[0] for name in data.left_out] == ["S3/Seq2"]
    assert data.batches.space.layout == MPI_INF_3DHP_17
    with pytest.raises(BenchmarkError, match=r"windows of 9 frames need clips.*\(4\).*\(3\)"):
        train.training_data(options, MICRO)
    htp = dataclasses.replace(options, kind="htp")
    with pytest.raises(BenchmarkError, match=r"bones of h36m-17, .* mpi-inf-3dhp-17: give --conversion"):
        train.training_data(htp, MICRO)
    converted = dataclasses.replace(htp, source=dataclasses.replace(source, conversion="by-place"))
    data = train.training_data(converted, dataclasses.replace(MICRO, num_frames=3))
    assert data.batches.space == CAMERA_METRES


def test_a_checkpoint_states_its_space_and_is_refused_in_another(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    list(trainer.run())
    assert trainer.checkpoint.space == CAMERA_METRES.to_json()
    millimetres = dataclasses.replace(CAMERA_METRES, unit="millimetre")
    with pytest.raises(BenchmarkError, match=r"last\.json: unit metre, expected millimetre"):
        load_denoiser(trainer.path, space=millimetres)
    assert load_denoiser(trainer.path, space=None)[0].pose_space == CAMERA_METRES
    text = trainer.path.read_text()
    trainer.path.write_text(text.replace('"unit": "metre"', '"unit": "foot"'))
    with pytest.raises(BenchmarkError, match="no unit 'foot'"):
        load_checkpoint(trainer.path)


def test_a_run_of_another_space_is_refused(tmp_path, motions):
    list(trainer_in(tmp_path, motions).run())
    source = VirtualBatches(motions, MICRO.num_frames, MICRO.batch_size)
    source.space = dataclasses.replace(CAMERA_METRES, frame="world")
    denoiser = trainer_in(tmp_path / "same", motions).checkpoint.denoiser
    with pytest.raises(BenchmarkError, match="holds a run with another space"):
        Trainer(tmp_path, denoiser, MICRO, source, seed=5, cpu=True)


def test_options_that_do_not_go_together_are_refused(tmp_path, motions):
    with pytest.raises(BenchmarkError, match="batches of 2 windows of 9 frames, got 3 of 9"):
        Trainer(tmp_path, MICRO.denoiser("d3dp"), MICRO, VirtualBatches(motions, 9, 3), cpu=True)
    with pytest.raises(BenchmarkError, match="evaluating every 5 steps"):
        trainer_in(tmp_path, motions, options={"evaluate_every": 5})
