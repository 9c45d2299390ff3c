"""The last task of a job: from rendered segments to one verified film with its facts and contact sheet."""

from pathlib import Path

import cv2
import numpy as np
import torch

from heygemd import __version__
from heygemd.filesystem import sha256_of, write_text
from heygemd.jobs.job import LengthPolicy
from heygemd.limits import Limits
from heygemd.media.ffmpeg import require_tools
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_video
from heygemd.media.stitch import StitchFacts, stitch
from heygemd.media.verify import verify_film
from heygemd.planning.plan import FilmFacts, Plan, to_json
from heygemd.render.clock import ticks_of
from heygemd.render.faces.track import FaceTrack
from heygemd.render.sheet import chosen_frames, write_sheet
from heygemd.render.stopwatch import Report, Stopwatch
from heygemd.render.tasks import segment_facts


def finish(plan: Plan, limits: Limits, engine_version: str, report: Report) -> dict[str, float]:
    """Stitch, verify, describe; the film gets its name last. Raises FaultError E502 when it is not what was planned."""
    order, timeline, watch = plan.order, plan.timeline, Stopwatch()
    film_s = timeline.frame_count / timeline.fps
    keep_video = order.options.length is LengthPolicy.KEEP_VIDEO
    draft = plan.film_file.with_name(f"draft-{plan.hash}.mp4")
    report(0, timeline.frame_count)
    stitched = stitch(
        [plan.segments_dir / segment.file_name for segment in plan.segments],
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
    verify_film(
        draft,
        frame_count=timeline.frame_count,
        fps=timeline.fps,
        width_px=order.video_info.width_px,
        height_px=order.video_info.height_px,
        sound_s=film_s if keep_video else order.audio_info.duration_s,
        limits=limits,
        progress=lambda done: report(done, timeline.frame_count),
    )
    watch.lap("verify")
    _draw_sheet(plan, draft, limits)
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


def _draw_sheet(plan: Plan, draft: Path, limits: Limits) -> None:
    order, timeline = plan.order, plan.timeline
    shown = chosen_frames(timeline.frame_count)
    track = FaceTrack.load(order.track_file)
    ticks = ticks_of(track.pts_s, order.video_info.fps)
    frames = [int(ticks[timeline.tick_of(i)]) for i in shown]
    source = SourceVideo(order.video, order.video_info, limits)
    film_pts = np.arange(timeline.frame_count) / float(timeline.fps)
    film = SourceVideo(draft, probe_video(draft, limits), limits)
    write_sheet(
        plan.sheet_file,
        source=list(source.read(frames, track.pts_s)),
        result=list(film.read(shown, film_pts)),
        source_frames=frames,
        times_s=[float(timeline.time_of(i)) for i in shown],
        track=track,
    )
