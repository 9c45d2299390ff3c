"""The three kinds of work a worker does; each leaves files, so each can be repeated after any crash.

    analyse   decode once ─▶ track.npz, hear once ─▶ speech.npz, then analysis.json
    render    decode ─▶ engine ─▶ x264, all streamed ─▶ segments-<hash>/00007.mp4 (its .json first)
    finish    concatenate, add the sound, verify, contact sheet, facts ─▶ film-<hash>.mp4 (last)

The last one is in `film.py`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.filesystem import write_text
from heygemd.limits import Limits
from heygemd.media.frames import SegmentWriter, SourceVideo
from heygemd.media.sound import decode_speech
from heygemd.planning.plan import Analysis, Order, Plan, RenderFacts, from_json, to_json
from heygemd.planning.segments import Segment
from heygemd.render.cache import load_arrays, recall, save_arrays
from heygemd.render.clock import ticks_of
from heygemd.render.engine import Clip, LipSync, Performance, Speech
from heygemd.render.faces.track import TRACKER_VERSION, FaceTrack
from heygemd.render.faces.tracker import track_clip

Report = Callable[[int, int], None]
"""Told frames done and frames in all."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """Count the time since the last lap for `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - self._since, 4)
        self._since = now


def analyse(order: Order, engine: LipSync, limits: Limits, report: Report) -> tuple[Analysis, dict[str, float]]:
    """Look at the whole clip and hear the whole sound; raises InputError E131 when no frame shows a face."""
    watch = Stopwatch()
    track = _track(order, engine, limits, report)
    watch.lap("track")
    _listen(order, engine, limits)
    watch.lap("listen")
    faces = int(track.present.sum())
    if engine.needs_face and not faces:
        raise InputError("E131", f"no face was found in any of {len(track.pts_s)} frames")
    ticks = ticks_of(track.pts_s, order.video_info.fps)
    analysis = Analysis(
        tick_count=len(ticks),
        face_frames=faces,
        source_frames=len(track.pts_s),
        warnings=(*order.video_info.warnings, *order.audio_info.warnings),
    )
    write_text(order.analysis_file, to_json(analysis))
    return analysis, watch.seconds


def _track(order: Order, engine: LipSync, limits: Limits, report: Report) -> FaceTrack:
    """Track from the cache, or from the clip; saved in the work directory either way."""
    source = SourceVideo(order.video, order.video_info, limits)
    count = order.video_info.frame_count
    if not engine.needs_face:
        track = FaceTrack.without_face(np.array([frame.pts_s for frame in source.decode()]))
    else:
        name = f"tracks/{order.video_sha256}-{TRACKER_VERSION}.npz"
        cached = order.cache_dir / name
        found = recall(cached, FaceTrack.load)
        if found is None:
            frames = ((frame.pts_s, frame.planes) for frame in source.decode())
            found = track_clip(frames, lambda done: report(done, count))
            cached.parent.mkdir(parents=True, exist_ok=True)
            found.save(cached)
        track = found
    if not len(track.pts_s):
        raise InputError("E110", "not one frame of the picture could be decoded")
    track.save(order.track_file)
    return track


def _listen(order: Order, engine: LipSync, limits: Limits) -> None:
    """Speech from the cache, or heard now; saved in the work directory either way."""
    cached = order.cache_dir / f"speech/{order.audio_sha256}-{engine.name}-{engine.version}.npz"
    speech = recall(cached, load_arrays)
    if speech is None:
        raw = order.work_dir / "speech-16k.f32"
        count = decode_speech(order.audio, order.audio_info, raw, limits)
        # A memory map: an hour of sound is 230 MB that the kernel may drop again.
        sound: NDArray[np.float32] = (
            np.memmap(raw, np.float32, "r", shape=(count,)) if count else np.zeros(0, np.float32)
        )
        speech = engine.listen(sound)
        del sound
        raw.unlink()
        cached.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(cached, speech)
    save_arrays(order.speech_file, speech)


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A film ready to be rendered, kept by a warm worker from one segment to the next."""

    plan_hash: str
    clip: Clip
    performance: Performance


def stage(plan: Plan, engine: LipSync) -> Staged:
    """Load track and speech of the whole clip and let the engine settle what depends on all of it."""
    order = plan.order
    track = FaceTrack.load(order.track_file)
    speech: Speech = load_arrays(order.speech_file)
    ticks = ticks_of(track.pts_s, order.video_info.fps)
    timeline = plan.timeline
    wanted = np.fromiter((timeline.tick_of(i) for i in range(timeline.frame_count)), np.int64, timeline.frame_count)
    clip = Clip(
        timeline=timeline,
        source_frames=ticks[wanted],
        track=track,
        speech=speech,
        video=order.video_info,
        options=order.options,
    )
    return Staged(plan_hash=plan.hash, clip=clip, performance=engine.prepare(clip))


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
