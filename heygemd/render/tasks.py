"""The second of the three kinds of work a worker does; each leaves files, so each can be repeated after any crash.

analyse   look once ─▶ track.npz, likeness.npz, hear once ─▶ speech.npz, then analysis.json   (`analysis.py`)
render    once a film: settled-<hash>-….npz
decode ─▶ engine ─▶ x264, all streamed ─▶ segments-<hash>/00007.mp4 (its .json first)
finish    concatenate, add the sound, verify, contact sheet, facts ─▶ film-<hash>.mp4 (last)   (`film.py`)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.filesystem import write_text
from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.segment import SegmentWriter
from heygemd.planning.plan import Plan, RenderFacts, from_json, to_json
from heygemd.planning.segments import Segment
from heygemd.render.arrays import map_arrays
from heygemd.render.clock import ticks_of
from heygemd.render.engine import Clip, LipSync, Performance
from heygemd.render.faces.track import FaceTrack
from heygemd.render.pulse import Pulse, unheard
from heygemd.render.stopwatch import Report, Stopwatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A film ready to be rendered, kept by a warm worker from one segment to the next."""

    plan_hash: str
    clip: Clip
    performance: Performance


def stage(plan: Plan, engine: LipSync, pulse: Pulse = unheard) -> Staged:
    """Map track and speech of the whole clip and let the engine settle what depends on all of it.

    That takes a while for a long clip, for the first worker only: it leaves what it settled in the work directory.
    """
    order, timeline = plan.order, plan.timeline
    track = FaceTrack.load(order.track_file)
    ticks = ticks_of(track.pts_s, order.video_info.fps)
    wanted = np.fromiter(map(timeline.tick_of, range(timeline.frame_count)), np.int32, timeline.frame_count)
    clip = Clip(
        timeline=timeline,
        source_frames=ticks[wanted],
        track=track,
        speech=map_arrays(order.speech_file),
        video=order.video_info,
        options=order.options,
        likeness=map_arrays(order.likeness_file) if engine.studies else {},
        seed=int(order.video_sha256[:8], 16),
        settled_file=order.work_dir / f"settled-{plan.hash}-{engine.name}-{engine.version}.npz",
    )
    return Staged(plan_hash=plan.hash, clip=clip, performance=engine.prepare(clip, pulse))


def render_segment(
    plan: Plan, segment: Segment, staged: Staged, *, batch_size: int, limits: Limits, report: Report
) -> RenderFacts:
    """Render the half-open range of `segment` into its file; memory does not grow with its length."""
    order, clip, watch = plan.order, staged.clip, Stopwatch()
    target = plan.segments_dir / segment.file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    source = SourceVideo(order.video, order.video_info, limits)
    frames = source.read(clip.source_frames[segment.start : segment.stop].tolist(), clip.track.pts_s)
    touched = done = 0
    writer = SegmentWriter(
        target,
        info=order.video_info,
        fps=plan.timeline.fps,
        crf=order.options.crf,
        preset=order.options.preset,
    )
    with writer:
        for batch in _batches(frames, batch_size):
            watch.lap("decode")
            touched += sum(staged.performance.render(segment.start + done, batch))
            watch.lap("render")
            for planes in batch:
                writer.write(planes)
            watch.lap("encode")
            done += len(batch)
            report(done, segment.frame_count)
        if done != segment.frame_count:
            raise InputError("E110", f"the picture gave {done} of {segment.frame_count} frames")
        facts = RenderFacts(touched_frames=touched, passed_frames=done - touched, seconds=watch.seconds)
        # Before the segment itself: a segment that exists always has its facts.
        write_text(target.with_suffix(".json"), to_json(facts))
    return facts


def _batches(frames: Iterator[NDArray[np.uint8]], size: int) -> Iterator[Sequence[NDArray[np.uint8]]]:
    while batch := list(islice(frames, size)):
        yield batch


def segment_facts(plan: Plan) -> list[RenderFacts]:
    """What every segment left beside itself."""
    texts = [(plan.segments_dir / s.file_name).with_suffix(".json").read_bytes() for s in plan.segments]
    return [from_json(RenderFacts, text) for text in texts]
