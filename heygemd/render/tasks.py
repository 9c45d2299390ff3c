"""The second of the three kinds of work a worker does; each leaves files, so each can be repeated after any crash.

analyse   look once ─▶ track.npz, likeness.npz, hear once ─▶ speech.npz, then analysis.json   (`analysis.py`)
render    once a film: settled-<hash>-….npz
decode ─▶ engine ─▶ x264, all streamed ─▶ segments-<hash>/00007.mp4 (its .json first)
finish    concatenate, add the sound, verify, contact sheet, facts ─▶ film-<hash>.mp4 (last)   (`film.py`)
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import structlog

from heygemd.errors import InputError
from heygemd.filesystem import write_text
from heygemd.limits import Limits
from heygemd.media.encoders import EncoderPlace
from heygemd.media.frames import Planes, SourceVideo
from heygemd.media.segment import ANYWHERE, SegmentWriter
from heygemd.planning.plan import Plan, RenderFacts, from_json, to_json
from heygemd.planning.segments import Segment
from heygemd.render.arrays import map_arrays
from heygemd.render.clock import ticks_of
from heygemd.render.engine import Clip, LipSync, Overlapping, Performance
from heygemd.render.faces.track import FaceTrack
from heygemd.render.pipeline import ReadAhead, WriteBehind, frames_waiting
from heygemd.render.pulse import Pulse, unheard
from heygemd.render.sheet import SourceShots
from heygemd.render.stopwatch import Report, Stopwatch

log = structlog.get_logger(__name__)


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
    plan: Plan,
    segment: Segment,
    staged: Staged,
    *,
    batch_size: int,
    limits: Limits,
    report: Report,
    place: EncoderPlace = ANYWHERE,
    card: str | None = None,
) -> RenderFacts:
    """Render the half-open range of `segment` into its file; memory does not grow with its length.

    `card`, as torch calls it, decodes what it can.

    Frames are read ahead and written behind by threads of their own, and the next batch is begun before the one before
    is finished: alive are the frames on two belts (`frames_waiting`), those of two batches, and one or two on the way.
    """
    info, watch = plan.order.video_info, Stopwatch()
    waiting = frames_waiting(batch_size, info.width_px * info.height_px * 3 // 2)
    shots = SourceShots(plan, segment, staged.clip.track, staged.clip.source_frames)
    touched = done = 0
    with (
        WriteBehind(partial(_write, plan, segment, place), most=waiting) as sink,
        ReadAhead(partial(_read, plan, segment, staged.clip, limits, card), most=waiting) as frames,
    ):
        batches = _batches(frames, batch_size, watch)
        for batch, painted in _painted(staged.performance, segment.start, _seen(batches, segment.start, shots)):
            watch.lap("render")
            done, touched = done + len(batch), touched + sum(painted)
            batch.reverse()
            while batch:  # whoever else holds the batch holds no frame of it any longer
                sink.put(batch.pop())
            watch.lap("encode")
            report(done, segment.frame_count)
        if done != segment.frame_count:
            raise InputError("E110", f"the picture gave {done} of {segment.frame_count} frames")
        sink.drain()
        watch.lap("encode")
        cpu_s = {"paint": watch.cpu_s, "read": frames.cpu_s, "write": sink.cpu_s}
        facts = RenderFacts(touched_frames=touched, passed_frames=done - touched, seconds=watch.seconds)
        # Before the segment itself: a segment that exists always has its facts.
        shots.save()
        write_text((plan.segments_dir / segment.file_name).with_suffix(".json"), to_json(facts))
    log.debug("render.segment_painted", frames=done, **{f"{stage}_cpu_s": round(s, 3) for stage, s in cpu_s.items()})
    return facts


def _read(plan: Plan, segment: Segment, clip: Clip, limits: Limits, card: str | None) -> Iterator[Planes]:
    source = SourceVideo(plan.order.video, plan.order.video_info, limits, card=card)
    return source.read(clip.source_frames[segment.start : segment.stop].tolist(), clip.track.pts_s)


def _write(plan: Plan, segment: Segment, place: EncoderPlace, frames: Iterator[Planes]) -> None:
    order, target = plan.order, plan.segments_dir / segment.file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    with SegmentWriter(
        target,
        info=order.video_info,
        fps=plan.timeline.fps,
        crf=order.options.crf,
        preset=order.options.preset,
        encoder=plan.encoder,
        place=place,
    ) as writer:
        for planes in frames:
            writer.write(planes)


def _batches(frames: Iterator[Planes], size: int, watch: Stopwatch) -> Iterator[list[Planes]]:
    while True:
        batch = list(islice(frames, size))
        watch.lap("decode")
        if not batch:
            return
        yield batch


def _seen(batches: Iterator[list[Planes]], start: int, shots: SourceShots) -> Iterator[list[Planes]]:
    """Show every frame to the contact sheet while it is still the source's."""
    for batch in batches:
        for number in range(len(batch)):
            shots.see(start + number, batch[number])
        start += len(batch)  # before the batch is emptied by whoever gets it
        yield batch


def _painted(
    performance: Performance, start: int, batches: Iterator[list[Planes]]
) -> Iterator[tuple[list[Planes], Sequence[bool]]]:
    """Paint batch after batch; where the network works by itself the next one is begun before."""
    if not isinstance(performance, Overlapping):
        for batch in batches:
            count = len(batch)
            yield batch, performance.render(start, batch)
            start += count
        return
    begun: deque[tuple[list[Planes], Callable[[], Sequence[bool]]]] = deque()
    for batch in batches:
        begun.append((batch, performance.begin(start, batch)))
        start += len(batch)
        if len(begun) > 1:
            before, finish = begun.popleft()
            yield before, finish()
    for before, finish in begun:
        yield before, finish()


def segment_facts(plan: Plan) -> list[RenderFacts]:
    """What every segment left beside itself."""
    texts = [(plan.segments_dir / s.file_name).with_suffix(".json").read_bytes() for s in plan.segments]
    return [from_json(RenderFacts, text) for text in texts]
