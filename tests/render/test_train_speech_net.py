"""Teaching the speech net: batches, steps, sounds that are no speech, ranges and the file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from heygemd.render.speech.features import SILENT_FEATURE
from heygemd.render.speech.network import ANSWER_COUNT, CLASSES, OPENING, WEIGHTS_FILE, WIDTH, AnswerRange, SpeechNet
from scripts.train.speech import (
    crops,
    export,
    noises,
)
from scripts.train.speech import train as training
from scripts.train.speech.coarticulation import Calibration, targets_of
from scripts.train.speech.phonemes import (
    SILENCE,
    Segment,
)
from tests.render.speech_rig import voice_like

# Training


@pytest.fixture
def examples() -> list[crops.Example]:
    """Loud is open, quiet is shut: anything that learns learns that."""
    random, made = np.random.default_rng(0), []
    phones = [Segment(0.4 + 0.15 * k, 0.55 + 0.15 * k, "am"[k % 2]) for k in range(20)]
    segments = [Segment(0.0, 0.4, SILENCE), *phones, Segment(3.4, 3.8, SILENCE)]
    targets, classes = targets_of(segments, 3.79, Calibration.rules())
    for _ in range(6):
        bands = random.normal(0, 0.3, 80)
        features = np.repeat(targets[:, :1] - 1.0 + bands, 2, axis=0).astype(np.float16)
        made.append(crops.Example(clean=features, recorded=features, targets=targets, classes=classes))
    return made


def test_batches_have_the_shapes_of_the_net_and_repeat_with_their_seed(examples: list[crops.Example]) -> None:
    pools = [crops.Pool(examples=examples[:2], crops=3), crops.Pool(examples=examples, crops=17)]
    dealers = [crops.CropDealer(pools, seed) for seed in (1, 1, 2)]
    one, again, other = (dealer.deal() for dealer in dealers)
    assert one.features.shape == (20, 80, 256)
    assert one.targets.shape == (20, 5, 128)
    assert one.classes.shape == (20, 128)
    assert torch.equal(one.features, again.features)
    assert not torch.equal(one.features, other.features)


def test_one_step_lowers_the_loss_of_its_batch(examples: list[crops.Example]) -> None:
    stage = training.Stage(name="test", steps=10, learning_rate=2e-3 * training.WARM_UP_STEPS, crops={}, seed=0)
    trainer, batch = training.Trainer(stage), crops.CropDealer([crops.Pool(examples=examples, crops=20)], 0).deal()
    losses = []
    for _ in range(2):
        torch.manual_seed(0)  # the same units drop out
        losses.append(trainer.step(batch))
    assert losses[1] < losses[0] - 0.005


def test_training_learns_repeats_exactly_and_continues(examples: list[crops.Example]) -> None:
    pools = [crops.Pool(examples=examples, crops=20)]
    stage = training.Stage(name="test", steps=6, learning_rate=5e-2, crops={}, seed=0)
    nets = [training.trained(stage, crops.CropDealer(pools, 0)) for _ in range(2)]
    one, again = (net.state_dict() for net in nets)
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    batch = crops.CropDealer(pools, 7).deal()
    untrained = training.Trainer(stage).mean
    losses = [float(training.loss_of(net(batch.features), batch)) for net in (untrained, nets[0])]
    assert losses[1] < losses[0] - 0.1
    assert torch.equal(training.Trainer(stage, nets[0]).mean.o.weight, nets[0].o.weight)


@pytest.mark.parametrize("kind", [*noises.NOISES, *noises.MUSIC])
def test_drawn_noise_is_never_silent_and_never_the_same(kind: str) -> None:
    drawn = [noises.drawn_noise(np.random.default_rng(seed), kind) for seed in (0, 0, 1, 2, 3)]
    for sound in drawn:
        assert sound.dtype == np.float32
        assert sound.shape == (noises.COUNT,)
        assert np.isfinite(sound).all()
        assert sound.std() > 1e-4
        assert (sound.reshape(40, -1).std(axis=1) > 0).all(), "not even for 0.1 s"
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert len({sound.tobytes() for sound in drawn}) == 4


def test_drawn_noise_of_no_given_kind_is_any() -> None:
    peaks = [np.abs(noises.drawn_noise(np.random.default_rng(seed))).max() for seed in range(12)]
    music = sum(abs(peak - noises.MUSIC_PEAK) < 0.001 for peak in peaks)
    assert 0 < music < len(peaks)


def test_half_of_the_noise_is_music(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []
    sound = np.zeros(16_000, np.float32)
    monkeypatch.setattr(crops, "drawn_noise", lambda _, kind: kinds.append(kind) or sound)
    assert len(crops.noise_examples(np.random.default_rng(0))) == crops.NOISE_SOUNDS
    assert sum(kind in noises.MUSIC for kind in kinds) == crops.NOISE_SOUNDS // 2
    assert set(kinds) == {*noises.NOISES, *noises.MUSIC}


def test_noise_is_taught_as_silence() -> None:
    for example in crops.noise_examples(np.random.default_rng(0), count=14):
        assert not example.targets.any()
        assert not example.classes.any()
        assert len(example.targets) == len(example.clean) // 2


# The file


def test_exported_file_is_read_by_the_product_and_written_again_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = training.new_net().eval()
    answers = AnswerRange(shut=0.31254, open=0.7, width_rest=-0.05, width_half_range=0.4)
    one, again = tmp_path / "one.safetensors", tmp_path / "again.safetensors"
    export.save_weights(one, net, answers)
    export.save_weights(again, net, answers)
    assert one.read_bytes() == again.read_bytes()
    loaded, stored = export.load_weights(one)
    assert type(loaded) is SpeechNet
    assert stored == AnswerRange(shut=0.3125, open=0.7, width_rest=-0.05, width_half_range=0.4)
    features = np.random.default_rng(0).normal(-1, 1, (300, 80)).astype(np.float32)
    assert np.abs(loaded.answer(features) - net.answer(features)).max() < 0.01
    assert abs(one.stat().st_size - WEIGHTS_FILE.stat().st_size) < 4096
    tracks = export.product_with(one).listen(voice_like())
    assert len(tracks.opening) == 101
    assert all(np.isfinite(track).all() for track in tracks.to_arrays().values())


class Echo(SpeechNet):
    """Answers with the first two bands, and hears silence where they are at their lowest."""

    def answer(self, features: np.ndarray) -> np.ndarray:
        heard = features[::2]
        answers = np.zeros((len(heard), ANSWER_COUNT), np.float32)
        answers[:, [OPENING, WIDTH]] = heard[:, :2]
        answers[:, CLASSES.start] = np.where(heard[:, 0] <= SILENT_FEATURE, 9, -9)
        return answers


def test_ranges_of_the_answers_are_taken_from_speech_only() -> None:
    noise = np.full((400, 80), SILENT_FEATURE, np.float32)
    speech = np.repeat(np.linspace(0, 1, 400, dtype=np.float32)[:, None], 80, axis=1)
    alone = export.answer_range(Echo(), [speech], [speech])
    with_noise = export.answer_range(Echo(), [np.concatenate([speech, noise])], [speech])
    assert alone == with_noise
    assert (alone.shut, alone.open) == pytest.approx((0.08, 0.95), abs=0.01)
    assert (alone.width_rest, alone.width_half_range) == pytest.approx((0.5, 0.45), abs=0.01)
