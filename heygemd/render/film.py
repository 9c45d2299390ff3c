"""The last task of a job: from rendered segments to one verified film with its facts and contact sheet."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import structlog
import torch

from heygemd import __version__
from heygemd.filesystem import sha256_of, write_text
from heygemd.jobs.job import EncoderName, LengthPolicy
from heygemd.limits import Limits
from heygemd.media.ffmpeg import require_tools
from heygemd.media.frames import SourceVideo
from heygemd.media.parameter_sets import require_same
from heygemd.media.stitch import StitchFacts, stitch
from heygemd.media.verify import Shots, verify_film
from heygemd.planning.plan import FilmFacts, Plan, to_json
from heygemd.render.clock import ticks_of
from heygemd.render.faces.track import FaceTrack
from heygemd.render.sheet import Cell, chosen_frames, face_cell, load_shots, write_sheet
from heygemd.render.stopwatch import Report, Stopwatch
from heygemd.render.tasks import segment_facts

log = structlog.get_logger(__name__)


def finish(plan: Plan, limits: Limits, engine_version: str, report: Report) -> dict[str, float]:
    """Stitch, verify, describe; the film gets its name last. Raises FaultError E502 when it is not what was planned.

    Raises ResourceError E304 when cards have written segments that do not belong together.
    """
    order, timeline, watch = plan.order, plan.timeline, Stopwatch()
    film_s = timeline.frame_count / timeline.fps
    keep_video = order.options.length is LengthPolicy.KEEP_VIDEO
    draft = plan.film_file.with_name(f"draft-{plan.hash}.mp4")
    report(0, timeline.frame_count)
    segments = [plan.segments_dir / segment.file_name for segment in plan.segments]
    if plan.encoder is not EncoderName.X264:
        require_same(segments)
    stitched = stitch(
        segments,
        [segment.frame_count for segment in plan.segments],
        timeline.fps,
        audio=order.audio,
        audio_info=order.audio_info,
        film_s=film_s,
        fit_sound=keep_video,
        out=draft,
        limits=limits,
    )
    watch.lap("stitch")
    sheet = _Sheet.of(plan)
    verify_film(
        draft,
        frame_count=timeline.frame_count,
        fps=timeline.fps,
        width_px=order.video_info.width_px,
        height_px=order.video_info.height_px,
        sound_s=film_s if keep_video else order.audio_info.duration_s,
        limits=limits,
        progress=lambda done: report(done, timeline.frame_count),
        shots=Shots(frames=sheet.shown, show=sheet.show),
        description=stitched.description,
    )
    watch.lap("verify")
    sheet.draw(limits)
    watch.lap("sheet")
    write_text(plan.facts_file, to_json(_facts(plan, draft, stitched, engine_version)))
    draft.replace(plan.film_file)
    report(timeline.frame_count, timeline.frame_count)
    return watch.seconds


def _facts(plan: Plan, draft: Path, stitched: StitchFacts, engine_version: str) -> FilmFacts:
    parts = segment_facts(plan)
    info, timeline = plan.order.video_info, plan.timeline
    return FilmFacts(
        sha256=sha256_of(draft),
        size_bytes=draft.stat().st_size,
        frame_count=timeline.frame_count,
        fps=str(timeline.fps),
        width_px=info.width_px,
        height_px=info.height_px,
        duration_s=round(float(timeline.frame_count / timeline.fps), 6),
        audio_codec=stitched.audio_codec,
        audio_copied=stitched.audio_copied,
        touched_frames=sum(part.touched_frames for part in parts),
        passed_frames=sum(part.passed_frames for part in parts),
        versions={
            "heygemd": __version__,
            "engine": f"{plan.order.engine.name}-{engine_version}",
            "ffmpeg": require_tools().version,
            "torch": str(torch.__version__),
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        },
        warnings=plan.analysis.warnings,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """The contact sheet while the film is seen."""

    plan: Plan
    track: FaceTrack
    shown: list[int]
    """Output frames, rising."""
    rows: dict[int, int]
    """The source frame of each of them."""
    cells: dict[int, Cell]
    """Those of the film, as far as they were seen."""

    @classmethod
    def of(cls, plan: Plan) -> "_Sheet":
        """Choose what it shows."""
        timeline, track = plan.timeline, FaceTrack.load(plan.order.track_file)
        shown = chosen_frames(timeline.frame_count)
        ticks = ticks_of(track.pts_s, plan.order.video_info.fps)
        rows = {frame: int(ticks[timeline.tick_of(frame)]) for frame in shown}
        return cls(plan=plan, track=track, shown=shown, rows=rows, cells={})

    def show(self, frame: int, planes: memoryview) -> None:
        """See a frame of the film."""
        info = self.plan.order.video_info
        picture = np.frombuffer(planes, np.uint8).reshape(info.height_px * 3 // 2, info.width_px)
        self.cells[frame] = face_cell(picture, self.track, self.rows[frame])

    def draw(self, limits: Limits) -> None:
        """Write it; what the segments left no picture of is decoded."""
        source = load_shots(self.plan, self.shown)
        if missing := [frame for frame in self.shown if frame not in source]:
            log.info("render.shots_missing", frames=len(missing))
            order = self.plan.order
            video = SourceVideo(order.video, order.video_info, limits)
            pictures = video.read([self.rows[frame] for frame in missing], self.track.pts_s)
            for frame, planes in zip(missing, pictures, strict=True):
                source[frame] = face_cell(planes, self.track, self.rows[frame])
        write_sheet(
            self.plan.sheet_file,
            source=[source[frame] for frame in self.shown],
            result=[self.cells[frame] for frame in self.shown],
            times_s=[float(self.plan.timeline.time_of(frame)) for frame in self.shown],
        )
