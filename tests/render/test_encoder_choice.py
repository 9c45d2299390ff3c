"""Which encoder writes a film: asked for, tried once a worker, settled in the analysis, and never two in one film."""

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from heygemd.errors import ResourceError
from heygemd.jobs.job import EncoderName, RenderOptions
from heygemd.media.encoders import EncoderPlace
from heygemd.media.parameter_sets import require_same
from heygemd.media.probe import probe_audio
from heygemd.media.segment import SegmentWriter
from heygemd.media.stitch import stitch
from heygemd.media.verify import verify_film
from heygemd.planning.plan import EventKind, FilmFacts, TaskKind, from_json, to_json
from heygemd.render import encoder_choice
from heygemd.render.encoder_choice import EncoderChoice, always_x264, card_index, refusal
from heygemd.render.footprint import Footprint
from heygemd.render.passthrough import Passthrough
from heygemd.render.worker import Worker
from tests.fake_nvenc import MARK, nvenc
from tests.render.conftest import LIMITS
from tests.render.tasks_rig import done_by, files_of, task_of

pytestmark = pytest.mark.ffmpeg

__all__ = ["nvenc"]

LOSSY = RenderOptions(crf=23, preset="ultrafast")
CARD = EncoderPlace(cores=1, card=0)
HAS_CARD = Path("/dev/nvidiactl").exists()


def on_card():
    """What a worker on a card knows of encoders."""
    return EncoderChoice(place=CARD)


def asked(order, encoder, **options):
    """The order of somebody who asks for that encoder, saved."""
    order = replace(order, encoder=encoder, options=replace(LOSSY, engine=order.options.engine, **options))
    (order.work_dir / "order.json").write_text(to_json(order))
    return order


def a_worker(encoders):
    return Worker(
        engine=Passthrough(), device="cpu", out=io.StringIO(), footprint=Footprint("cpu"), encoders=encoders
    )  # fmt: skip


@pytest.mark.parametrize(("device", "index"), [("cpu", None), ("cuda", 0), ("cuda:0", 0), ("cuda:3", 3)])
def test_the_card_is_the_one_that_torch_uses(device, index):
    assert card_index(device) == index


def test_x264_is_the_default_and_tries_nothing(order, nvenc):
    assert order.encoder == "x264"
    assert on_card().settle(order, LIMITS) == always_x264(order, LIMITS)
    assert nvenc.told == []


@pytest.mark.parametrize("encoder", ["auto", "nvenc"])
def test_a_lossless_film_is_x264_s_and_nobody_is_warned(order, nvenc, encoder):
    settled = on_card().settle(asked(order, encoder, crf=0), LIMITS)
    assert (settled.encoder, settled.warnings, nvenc.told) == (EncoderName.X264, (), [])


@pytest.mark.parametrize("encoder", ["auto", "nvenc"])
def test_a_card_whose_encoder_works_writes_the_film(order, nvenc, encoder):
    settled = on_card().settle(asked(order, encoder), LIMITS)
    assert (settled.encoder, settled.warnings) == (EncoderName.NVENC, ())
    assert len(nvenc.told) == 2
    assert files_of(order) == ["order.json"], "trials leave nothing"


def test_one_trial_holds_for_the_life_of_a_worker_and_for_pictures_of_that_size(order, nvenc):
    order, choice = asked(order, "auto"), on_card()
    for _ in range(3):
        choice.settle(order, LIMITS)
    assert len(nvenc.told) == 2
    choice.settle(replace(order, video_info=replace(order.video_info, width_px=96)), LIMITS)
    assert len(nvenc.told) == 4


def test_a_worker_on_the_processor_never_tries_a_card(order, nvenc):
    choice = EncoderChoice(place=EncoderPlace(cores=2))
    assert choice.settle(asked(order, "auto"), LIMITS).warnings == ()
    (warning,) = choice.settle(asked(order, "nvenc"), LIMITS).warnings
    assert "no graphics card" in warning
    assert nvenc.told == []


def test_a_refusal_is_a_warning_for_who_asked_for_it_only(order, nvenc):
    nvenc.plan(fails_from=1)
    choice = on_card()
    quiet, told = choice.settle(asked(order, "auto"), LIMITS), choice.settle(asked(order, "nvenc"), LIMITS)
    assert (quiet.encoder, quiet.warnings, told.encoder) == (EncoderName.X264, (), EncoderName.X264)
    assert "OpenEncodeSessionEx" in told.warnings[0]
    assert len(nvenc.told) == 1, "also a refusal holds"


def test_segments_that_describe_themselves_differently_are_refused(order, nvenc):
    nvenc.plan(other_sets=True)
    assert "parameter sets" in refusal(order.video_info, LOSSY, CARD, LIMITS, scratch=order.work_dir)


def test_segments_with_frames_missing_are_refused(order, nvenc, monkeypatch):
    probe = encoder_choice.probe_video
    monkeypatch.setattr(encoder_choice, "probe_video", lambda path, limits: replace(probe(path, limits), frame_count=8))
    assert "9 frames became (8," in refusal(order.video_info, LOSSY, CARD, LIMITS, scratch=order.work_dir)


def test_a_full_disk_is_no_fault_of_the_card(order, nvenc, monkeypatch):
    def full(*args, **kwargs):
        raise ResourceError("E202", "no room")

    monkeypatch.setattr(encoder_choice, "SegmentWriter", full)
    with pytest.raises(ResourceError, match="no room"):
        on_card().settle(asked(order, "auto"), LIMITS)


@pytest.mark.skipif(HAS_CARD, reason="there is a card")
def test_without_a_driver_the_film_is_made_with_x264_and_says_why(order, make_plan):
    order, worker = asked(order, "nvenc"), a_worker(on_card())
    event = done_by(worker, task_of(order, TaskKind.ANALYSE))
    assert event.kind is EventKind.DONE
    assert event.analysis.encoder is EncoderName.X264
    assert "the film was made with x264" in event.analysis.warnings[-1]
    plan = make_plan(order)
    assert done_by(worker, task_of(order, TaskKind.RENDER, plan.segments[0])).kind is EventKind.DONE
    assert done_by(worker, task_of(order, TaskKind.FINISH)).kind is EventKind.DONE
    assert from_json(FilmFacts, plan.facts_file.read_bytes()).warnings == event.analysis.warnings


def test_the_plan_carries_the_encoder_and_all_segments_are_by_it(order, make_plan, nvenc):
    order, worker = asked(order, "auto"), a_worker(on_card())
    done_by(worker, task_of(order, TaskKind.ANALYSE))
    plan = make_plan(order, most=6)
    assert plan.encoder is EncoderName.NVENC
    assert plan.hash != replace(plan, analysis=replace(plan.analysis, encoder=EncoderName.X264)).hash
    ended = [done_by(worker, task_of(order, TaskKind.RENDER, segment)).kind for segment in plan.segments]
    ended.append(done_by(worker, task_of(order, TaskKind.FINISH)).kind)
    assert set(ended) == {EventKind.DONE}
    assert plan.film_file.read_bytes().count(MARK) == len(plan.segments) == 3


def test_a_worker_without_a_card_gives_a_segment_of_such_a_film_back(order, make_plan, nvenc):
    order = asked(order, "auto")
    done_by(a_worker(on_card()), task_of(order, TaskKind.ANALYSE))
    plan = make_plan(order)
    event = done_by(a_worker(EncoderChoice(place=EncoderPlace())), task_of(order, TaskKind.RENDER, plan.segments[0]))
    assert (event.kind, event.error_code) == (EventKind.FAILED, "E304")
    assert not (plan.segments_dir / plan.segments[0].file_name).exists()


def test_segments_of_two_cards_that_differ_never_become_a_film(order, make_plan, nvenc):
    order, worker = asked(order, "auto"), a_worker(on_card())
    done_by(worker, task_of(order, TaskKind.ANALYSE))
    plan = make_plan(order, most=6)
    nvenc.plan(other_sets=True)
    for segment in plan.segments:
        done_by(worker, task_of(order, TaskKind.RENDER, segment))
    event = done_by(worker, task_of(order, TaskKind.FINISH))
    assert (event.kind, event.error_code) == (EventKind.FAILED, "E304")
    assert not plan.film_file.exists()


def test_a_film_of_the_card_that_fails_its_check_is_the_encoder_s_fault(order, make_plan, nvenc):
    order, worker = asked(order, "auto"), a_worker(on_card())
    done_by(worker, task_of(order, TaskKind.ANALYSE))
    plan = make_plan(order, most=6)
    for segment in plan.segments:
        done_by(worker, task_of(order, TaskKind.RENDER, segment))
    first, second, _ = (plan.segments_dir / segment.file_name for segment in plan.segments)
    shorter = replace(plan.segments[1], stop=plan.segments[1].stop - 1)
    done_by(worker, task_of(order, TaskKind.RENDER, shorter))
    assert first.exists()
    assert second.exists()
    event = done_by(worker, task_of(order, TaskKind.FINISH))
    assert (event.kind, event.error_code) == (EventKind.FAILED, "E304")


@pytest.mark.gpu
def test_a_real_card_writes_a_film_or_says_why_not(order, tiny_voice):
    """Cards for computing alone have no encoder; any other writes three segments that become one verified film."""
    fps, counts = Fraction(30000, 1001), [40, 1, 39]
    info = replace(order.video_info, fps=fps, width_px=640, height_px=360)
    if reason := refusal(info, LOSSY, CARD, LIMITS, scratch=order.work_dir):
        pytest.skip(f"this card's encoder cannot be used: {reason}")
    frame = np.tile(np.arange(640) % 256, (540, 1)).astype(np.uint8)
    parts = [order.work_dir / f"{number}.mp4" for number, _ in enumerate(counts)]
    for path, count in zip(parts, counts, strict=True):
        with SegmentWriter(
            path, info=info, fps=fps, crf=18, preset="veryfast", encoder=EncoderName.NVENC, place=CARD
        ) as writer:
            for number in range(count):
                writer.write(np.roll(frame, 3 * number, axis=1))
    require_same(parts)
    film, film_s = order.work_dir / "film.mp4", sum(counts) / fps
    stitch(
        parts, counts, fps, audio=tiny_voice, audio_info=probe_audio(tiny_voice, LIMITS), film_s=film_s,
        fit_sound=True, out=film, limits=LIMITS,
    )  # fmt: skip
    verify_film(film, frame_count=80, fps=fps, width_px=640, height_px=360, sound_s=film_s, limits=LIMITS)
