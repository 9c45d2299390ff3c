"""The three kinds of work a worker does; each leaves files, so each can be repeated after any crash.

    analyse   decode once ─▶ track.npz, hear once ─▶ speech.npz, then analysis.json
    render    once a film: settled-<hash>-….npz
              decode ─▶ engine ─▶ x264, all streamed ─▶ segments-<hash>/00007.mp4 (its .json first)
    finish    concatenate, add the sound, verify, contact sheet, facts ─▶ film-<hash>.mp4 (last)

The last one is in `film.py`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.filesystem import write_text
from heygemd.limits import Limits
from heygemd.media.frames import SegmentWriter, SourceVideo
from heygemd.media.sound import decode_speech
from heygemd.planning.plan import Analysis, Order, Plan, RenderFacts, from_json, to_json
from heygemd.planning.segments import Segment
from heygemd.render.arrays import map_arrays
from heygemd.render.cache import entry_name, obtain, save_arrays
from heygemd.render.clock import ticks_of
from heygemd.render.engine import Clip, LipSync, Performance, Speech
from heygemd.render.faces.track import TRACKER_VERSION, FaceTrack
from heygemd.render.faces.tracker import track_clip
from heygemd.render.joints import longest, scene_ticks
from heygemd.render.pulse import Pulse, unheard

Report = Callable[[int, int], None]
"""Told frames done and frames in all."""

STAMPS_VERSION = "stamps-1"
"""In place of the tracker's, where only time stamps are taken."""


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


def analyse(
    order: Order, engine: LipSync, limits: Limits, report: Report
) -> tuple[Analysis, dict[str, float], tuple[str, ...]]:
    """Look at the whole clip and hear the whole sound.

    Returns what the plan needs, seconds by stage, and which of `track` and `speech` came from the cache. Raises
    InputError E131 when no frame shows a face.
    """
    watch, frame_count = Stopwatch(), order.video_info.frame_count
    track, knew_track = _track(order, engine, limits, report)
    watch.lap("track")
    speech, knew_speech = _listen(order, engine, limits, lambda: report(frame_count, frame_count))
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
        scene_ticks=scene_ticks(track.scene[ticks]),
        pauses_s=longest(engine.pauses(speech)),
    )
    write_text(order.analysis_file, to_json(analysis))
    known = {"track": knew_track, "speech": knew_speech}
    return analysis, watch.seconds, tuple(kind for kind, is_known in known.items() if is_known)


def _track(order: Order, engine: LipSync, limits: Limits, report: Report) -> tuple[FaceTrack, bool]:
    """Track from the cache, or from the clip; saved in the work directory either way."""
    info = order.video_info

    def make() -> FaceTrack:
        source = SourceVideo(order.video, info, limits)
        if engine.needs_face:
            frames = ((frame.pts_s, frame.planes) for frame in source.decode())
            track = track_clip(frames, lambda done: report(done, info.frame_count), scratch=order.work_dir)
        else:
            track = FaceTrack.without_face(np.fromiter(_stamps(source, info.frame_count, report), np.float64))
        if not len(track.pts_s):
            raise InputError("E110", "not one frame of the picture could be decoded")
        return track

    folder, version = ("tracks", TRACKER_VERSION) if engine.needs_face else ("stamps", STAMPS_VERSION)
    # What the probe chose: without it the same file would be read in another way.
    choices = (info.demuxer, info.stream, info.fps, info.is_still, info.width_px, info.height_px)
    entry = order.cache_dir / folder / entry_name(order.video_sha256, version, *choices)
    return obtain(entry, order.track_file, make=make, load=FaceTrack.load, save=FaceTrack.save)


def _stamps(source: SourceVideo, frame_count: int, report: Report) -> Iterator[float]:
    for done, frame in enumerate(source.decode(), 1):
        yield frame.pts_s
        report(done, frame_count)


def _listen(order: Order, engine: LipSync, limits: Limits, pulse: Pulse) -> tuple[Speech, bool]:
    """Speech from the cache, or heard now; saved in the work directory either way."""
    info = order.audio_info

    def make() -> Speech:
        raw = order.work_dir / "speech-16k.f32"
        count = decode_speech(order.audio, info, raw, limits)
        try:
            # A memory map: an hour of sound is 230 MB.
            sound: NDArray[np.float32] = (
                np.memmap(raw, np.float32, "r", shape=(count,)) if count else np.zeros(0, np.float32)
            )
            return engine.listen(sound, pulse)
        finally:
            raw.unlink()

    name = entry_name(order.audio_sha256, f"{engine.name}-{engine.version}", info.demuxer, info.stream)
    entry = order.cache_dir / "speech" / name
    return obtain(entry, order.speech_file, make=make, load=map_arrays, save=_save_speech)


def _save_speech(speech: Speech, path: Path) -> None:
    save_arrays(path, speech)


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
