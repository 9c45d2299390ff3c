"""The first kind of work: what is found out about a picture and a sound, each once for all films they are used in.

picture ─▶ track.npz ─▶ likeness.npz        sound ─▶ speech.npz        last: analysis.json
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.filesystem import write_text
from heygemd.jobs.job import AudioInfo
from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_audio
from heygemd.media.sound import decode_speech
from heygemd.planning.plan import Analysis, Order, TrackerChoice, to_json
from heygemd.render.arrays import map_arrays
from heygemd.render.cache import entry_name, obtain, save_arrays
from heygemd.render.clock import ticks_of
from heygemd.render.encoder_choice import Settle, always_x264
from heygemd.render.engine import Footage, Likeness, LipSync, Speech
from heygemd.render.faces.choice import choose
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.track import TRACKER_VERSION, FaceTrack
from heygemd.render.faces.tracker import track_crowd
from heygemd.render.joints import longest, scene_ticks
from heygemd.render.pipeline import Item, ReadAhead
from heygemd.render.stopwatch import Report, Stopwatch

log = structlog.get_logger(__name__)

FAN_VERSION = "fan68-2"
"""In place of the built-in tracker's, where face-alignment follows the faces; behind it the name of its detector."""
STAMPS_VERSION = "stamps-1"
"""In place of the tracker's, where only time stamps are taken."""

READ_AHEAD_FRAMES = 6
"""The tracker takes four at once, and begins with them when it has seen that the fifth is of the same scene."""


def analyse(
    order: Order,
    engine: LipSync,
    limits: Limits,
    report: Report,
    device: str = "cpu",
    *,
    settle_encoder: Settle = always_x264,
    card: str | None = None,
) -> tuple[Analysis, dict[str, float], tuple[str, ...]]:
    """Look at the whole clip and hear the whole sound; `device` is torch's name of where faces are followed.

    `settle_encoder` says what will write the film; `card`, as torch calls it, decodes what it can. Returns what the
    plan needs, seconds by stage, and which of `track`, `likeness` and `speech` came from the cache. Raises InputError
    E131 when no frame shows a face.
    """
    return _Analysis(
        order=order, engine=engine, limits=limits, report=report, device=device, settle_encoder=settle_encoder,
        card=card,
    ).carry_out()  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Analysis:
    """One of them."""

    order: Order
    engine: LipSync
    limits: Limits
    report: Report
    device: str
    settle_encoder: Settle
    card: str | None

    def carry_out(self) -> tuple[Analysis, dict[str, float], tuple[str, ...]]:
        order, engine, watch = self.order, self.engine, Stopwatch()
        track, knew_track = self._track()
        watch.lap("track")
        faces = int(track.present.sum())
        if engine.needs_face and not faces:
            raise InputError("E131", f"no face was found in any of {len(track.pts_s)} frames")
        knew_person = engine.studies and self._study(track)
        if engine.studies:
            watch.lap("study")
        speech, knew_speech = self._listen()
        watch.lap("listen")
        ticks = ticks_of(track.pts_s, order.video_info.fps)
        written = self.settle_encoder(order, self.limits)
        analysis = Analysis(
            tick_count=len(ticks),
            face_frames=faces,
            source_frames=len(track.pts_s),
            warnings=(*order.video_info.warnings, *order.audio_info.warnings, *written.warnings),
            encoder=written.encoder,
            scene_ticks=scene_ticks(track.scene[ticks]),
            pauses_s=longest(engine.pauses(speech)),
        )
        write_text(order.analysis_file, to_json(analysis))
        known = {"track": knew_track, "likeness": knew_person, "speech": knew_speech}
        return analysis, watch.seconds, tuple(kind for kind, is_known in known.items() if is_known)

    def _pulse(self) -> None:
        """Say that the work goes on; how far cannot be told."""
        count = self.order.video_info.frame_count
        self.report(count, count)

    def _track(self) -> tuple[FaceTrack, bool]:
        """Follow the chosen face, with every face from the cache or from the clip; saved in the work directory."""
        order = self.order
        if not self.engine.needs_face:
            return self._take_stamps()
        entry = order.cache_dir / "faces" / entry_name(order.video_sha256, self._tracker_version, *self._reading)
        crowd, knew = obtain(entry, order.crowd_file, make=self._find_faces, load=Crowd.load, save=Crowd.save)
        track = choose(crowd, order.options.face, scratch=order.work_dir)
        track.save(order.track_file)
        return FaceTrack.load(order.track_file), knew

    def _find_faces(self) -> Crowd:
        order, info = self.order, self.order.video_info
        frames = ((frame.pts_s, frame.planes) for frame in self._source.decode())
        follow = _tracker_of(order.tracker)
        crowd = follow(
            _ahead(lambda: frames), lambda done: self.report(done, info.frame_count),
            scratch=order.work_dir, device=self.device,
        )  # fmt: skip
        self._refuse_nothing(len(crowd.pts_s))
        return crowd

    def _take_stamps(self) -> tuple[FaceTrack, bool]:
        """Take the time stamps only, for an engine that needs no face."""
        order = self.order

        def make() -> FaceTrack:
            track = FaceTrack.without_face(np.fromiter(self._stamps(), np.float64))
            self._refuse_nothing(len(track.pts_s))
            return track

        entry = order.cache_dir / "stamps" / entry_name(order.video_sha256, STAMPS_VERSION, *self._reading)
        return obtain(entry, order.track_file, make=make, load=FaceTrack.load, save=FaceTrack.save)

    @property
    def _source(self) -> SourceVideo:
        return SourceVideo(self.order.video, self.order.video_info, self.limits, card=self.card)

    def _refuse_nothing(self, frame_count: int) -> None:
        if not frame_count:
            raise InputError("E110", "not one frame of the picture could be decoded")

    @property
    def _tracker_version(self) -> str:
        detector = self.order.tracker.detector
        return TRACKER_VERSION if detector is None else f"{FAN_VERSION}-{detector}"

    @property
    def _reading(self) -> tuple[object, ...]:
        """What the probe chose: without it the same file would be read in another way."""
        info = self.order.video_info
        return info.demuxer, info.stream, info.fps, info.is_still, info.width_px, info.height_px

    def _stamps(self) -> Iterator[float]:
        for done, frame in enumerate(self._source.decode(), 1):
            yield frame.pts_s
            self.report(done, self.order.video_info.frame_count)

    def _study(self, track: FaceTrack) -> bool:
        """Let the engine learn the person, unless the cache knows them; tells whether it did."""
        order, engine = self.order, self.engine
        source = self._source

        def make() -> Likeness:
            footage = Footage(
                track=track,
                video=order.video_info,
                read=lambda frames: _ahead(partial(source.read, frames, track.pts_s)),
                hear=self._hear_clip,
                folder=order.work_dir,
            )
            return engine.study(footage, self._pulse)

        version = f"{engine.name}-{engine.version}-{self._tracker_version}"
        entry = entry_name(order.video_sha256, version, *self._reading, order.options.face)
        place = order.cache_dir / "likeness" / entry
        return obtain(place, order.likeness_file, make=make, load=map_arrays, save=_save)[1]

    def _hear_clip(self) -> Speech | None:
        """Hear the clip's own sound; None for a silent one, or one that cannot be read: it is not needed."""
        order = self.order
        try:
            info = probe_audio(order.video, self.limits)
            return self._heard(order.video, info)
        except InputError as error:
            log.info("atlas.own_sound_absent", error_code=error.code, reason=error.message)
            return None

    def _listen(self) -> tuple[Speech, bool]:
        """Speech from the cache, or heard now; saved in the work directory either way."""
        order, engine = self.order, self.engine
        version = f"{engine.name}-{engine.version}"
        name = entry_name(order.audio_sha256, version, order.audio_info.demuxer, order.audio_info.stream)
        entry = order.cache_dir / "speech" / name
        make = lambda: self._heard(order.audio, order.audio_info)  # noqa: E731
        return obtain(entry, order.speech_file, make=make, load=map_arrays, save=_save)

    def _heard(self, file: Path, info: AudioInfo) -> Speech:
        raw = self.order.work_dir / "speech-16k.f32"
        count = decode_speech(file, info, raw, self.limits)
        try:
            # A memory map: an hour of sound is 230 MB.
            sound: NDArray[np.float32] = (
                np.memmap(raw, np.float32, "r", shape=(count,)) if count else np.zeros(0, np.float32)
            )
            return self.engine.listen(sound, self._pulse)
        finally:
            raw.unlink()


def _ahead(open_source: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Decode beside what is done with the frames."""
    with ReadAhead(open_source, most=READ_AHEAD_FRAMES) as frames:
        yield from frames


def _tracker_of(choice: TrackerChoice) -> Callable[..., Crowd]:
    if choice.detector is None or choice.models_dir is None:
        return track_crowd
    from heygemd.render.faces.fan import track_clip_fan  # noqa: PLC0415  # numba alone takes seconds

    return partial(track_clip_fan, models_dir=choice.models_dir, detector=choice.detector)


def _save(arrays: Likeness, path: Path) -> None:
    save_arrays(path, arrays)
