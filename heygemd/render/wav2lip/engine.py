"""The wav2lip engine: the published 96-pixel network paints the mouth, a soft mask brings it into the picture.

sound ─▶ mel ─▶ window of each film frame ─┐
track ─▶ box and jaw of each source frame ─┴▶ cut ▸ paint ▸ match colours ▸ blend into the same planes
                                                            ▲
                              the source's own texture ─────┘
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from heygemd.errors import InputError
from heygemd.jobs.job import LengthPolicy, SilenceRule
from heygemd.render.arrays import let_go
from heygemd.render.colour import YuvCoding, coding_of
from heygemd.render.engine import Clip, Footage, Likeness, Settled, Speech
from heygemd.render.pulse import Pulse, unheard
from heygemd.render.speech.activity import pauses_in
from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthNet, MouthTracks
from heygemd.render.wav2lip.crops import Crops, crops_of, strengths
from heygemd.render.wav2lip.generator import Halves, Painter
from heygemd.render.wav2lip.loading import AUTO, load_generator
from heygemd.render.wav2lip.mel import (
    MELS_PER_S,
    SILENCE,
    frames_with_silence,
    mel_of,
    window_at,
    window_starts,
)
from heygemd.render.wav2lip.network import MEL_FRAMES
from heygemd.render.wav2lip.paste import Half, Square, cut_face, lower_face_mask, put_mouth, window

log = structlog.get_logger(__name__)

MOUTH_KEY = "mouth."
"""Before the names of the voice net's arrays, which lie beside the mel in one Speech."""
LAST_BREATH_S = 0.12
"""The mouth comes to rest within this time after the end of the sound."""
PART_FRAMES = 4096
"""Frames whose gate is read at once (about 1 MB)."""


class Wav2Lip:
    """Lip-sync with weights that the user brought."""

    name = "wav2lip"
    version = "4"
    needs_face = True
    studies = False

    def __init__(
        self,
        weights: Path,
        *,
        device: str,
        sha256: str | None = None,
        backend: str = AUTO,
        cache_dir: Path | None = None,
    ) -> None:
        """Load the weights, which must have this sha256: see `load_generator`, which raises SetupError."""
        generator = load_generator(weights, device=device, sha256=sha256, backend=backend, cache_dir=cache_dir)
        self.precision = generator.precision
        self._painter: Painter = generator
        self._voice = MouthNet()

    def listen(self, sound: NDArray[np.float32], pulse: Pulse = unheard) -> Speech:
        """Make the mel of the whole sound, and the tracks of the voice net, which knows where nobody speaks."""
        tracks = self._voice.listen(sound, pulse).to_arrays()
        return {"mel": mel_of(sound, pulse), **{MOUTH_KEY + name: values for name, values in tracks.items()}}

    def pauses(self, speech: Speech) -> Sequence[tuple[float, float]]:
        """Tell where the voice net heard nobody speak, in seconds of the sound."""
        return pauses_in(speech[MOUTH_KEY + "speech"], rate_hz=TRACK_RATE_HZ)

    def study(self, footage: Footage, pulse: Pulse = unheard) -> Likeness:
        """Learn nothing: the network knows all faces alike."""
        del footage, pulse
        return {}

    def prepare(self, clip: Clip, pulse: Pulse = unheard) -> "Wav2LipPerformance":
        """Settle box, mask and sound of every film frame; raises InputError E131 without a usable face."""
        return perform(clip, self._painter, pulse)


def perform(clip: Clip, painter: Painter, pulse: Pulse = unheard) -> "Wav2LipPerformance":
    """Lay out a film for any painter; raises InputError E131 when no film frame shows a usable face."""
    video = clip.video
    settled = clip.settled(lambda: settle(clip, pulse))
    return Wav2LipPerformance(
        painter=painter,
        clip=clip,
        coding=coding_of(video.colour, width_px=video.width_px, height_px=video.height_px),
        crops=Crops.from_arrays(settled),
        strength=settled["strength"],
        gate=settled["gate"],
    )


def settle(clip: Clip, pulse: Pulse) -> Settled:
    """Find box, jaw and strength of every frame, and the gate of every mel frame, as arrays."""
    video, timeline = clip.video, clip.timeline
    crops = crops_of(clip.track, width_px=video.width_px, height_px=video.height_px, scratch=clip.folder, pulse=pulse)
    strength = strengths(crops.usable, clip.track.scene, clip.track.pts_s, clip.source_frames)
    if not strength.any():
        raise InputError("E131", "no frame of the film shows a face that is near, uncovered and turned to the camera")
    mel_frames = len(clip.speech["mel"])
    if clip.options.length is LengthPolicy.KEEP_VIDEO:
        mel_frames = frames_with_silence(mel_frames, timeline.frame_count / float(timeline.fps))
    gate = np.empty(mel_frames, np.float32)
    for part in _parts(mel_frames):
        gate[part] = _gate(clip, np.arange(part.start, part.stop) / MELS_PER_S, 1 / MELS_PER_S)
    if clip.options.silence is SilenceRule.SOURCE:
        offset_s = clip.options.audio_offset_ms / 1000
        for part in _parts(timeline.frame_count):
            times_s = np.arange(part.start, part.stop) / float(timeline.fps) - offset_s
            strength[part] *= _gate(clip, times_s, float(1 / timeline.fps))
    log.info("wav2lip.film_prepared", frames=len(strength), painted_frames=int((strength > 0).sum()))
    return {"strength": strength, "gate": gate, **crops.to_arrays()}


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, PART_FRAMES):
        yield slice(start, min(start + PART_FRAMES, count))


def _gate(clip: Clip, times_s: NDArray[np.float64], frame_s: float) -> NDArray[np.float32]:
    """How certainly somebody speaks at these times of the sound: float32[n] in 0..1."""
    arrays = {
        name.removeprefix(MOUTH_KEY): values for name, values in clip.speech.items() if name.startswith(MOUTH_KEY)
    }
    curve = MouthTracks.from_arrays(arrays).at(times_s, frame_s)
    return np.asarray(curve.gate * _sounding(clip, times_s), np.float32)


def _sounding(clip: Clip, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 while the sound lasts, 0 before it and after it: float64[n]."""
    after_s = times_s - len(clip.speech["mel"]) / MELS_PER_S
    return np.where(times_s < 0, 0.0, np.clip(1 - after_s / LAST_BREATH_S, 0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wav2LipPerformance:
    """One film; holds no frame and no state, so segments may be rendered in any order by any worker."""

    painter: Painter
    clip: Clip
    coding: YuvCoding
    crops: Crops
    strength: NDArray[np.float32]
    """float32[frame_count]: share of the painted mouth."""
    gate: NDArray[np.float32]
    """float32[mel frames]: what is not speech is heard as silence, so that noise and music close the mouth."""

    def render(self, start: int, frames: Sequence[NDArray[np.uint8]]) -> Sequence[bool]:
        """Paint the mouth into consecutive film frames, in place; only bytes under the mask change."""
        return self.begin(start, frames)()

    def begin(self, start: int, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], Sequence[bool]]:
        """Cut the faces out and hand them to the painter; what is returned puts the mouths in."""
        chosen = [i for i in range(len(frames)) if self.strength[start + i] > 0]
        faces = {i: face for i in chosen if (face := self._cut(start + i, frames[i])) is not None}
        if not faces:
            return lambda: [False] * len(frames)
        windows = self._windows(start, list(faces))
        painting = self.painter.submit(windows, np.stack(list(faces.values())), batch_frames=len(frames))
        return partial(self._finish, start, frames, list(faces), painting)

    def _finish(
        self,
        start: int,
        frames: Sequence[NDArray[np.uint8]],
        chosen: Sequence[int],
        painting: Callable[[], Halves],
    ) -> Sequence[bool]:
        painted = [False] * len(frames)
        for i, half in zip(chosen, painting(), strict=True):
            painted[i] = self._put(start + i, frames[i], half)
        let_go(self.strength, self.gate, self.crops.boxes, self.crops.jaws, self.clip.speech["mel"])
        return painted

    def _cut(self, frame: int, planes: NDArray[np.uint8]) -> Square | None:
        box = self.crops.boxes[self.clip.source_frames[frame]]
        video = self.clip.video
        place = window(box, width_px=video.width_px, height_px=video.height_px)
        return None if place is None else cut_face(planes, place, self.coding)

    def _windows(self, start: int, chosen: Sequence[int]) -> NDArray[np.float32]:
        """Mel frames that the chosen frames behind `start` hear, silenced where nobody speaks: float32[n, 16, 80]."""
        clip, frames = self.clip, [start + i for i in chosen]
        firsts = window_starts(clip.timeline, len(self.gate), clip.options.audio_offset_ms, frames=frames)
        # An offset moves frames before the sound or behind it, where the windows stop at its ends.
        heard_s = np.asarray(frames) / float(clip.timeline.fps) - clip.options.audio_offset_ms / 1000
        windows = []
        for first, sounding in zip(firsts.tolist(), _sounding(clip, heard_s).tolist(), strict=True):
            gate = sounding * self.gate[first : first + MEL_FRAMES, None]
            windows.append(SILENCE + gate * (window_at(clip.speech["mel"], first) - SILENCE))
        return np.asarray(np.stack(windows), np.float32)

    def _put(self, frame: int, planes: NDArray[np.uint8], painted: Half) -> bool:
        source = self.clip.source_frames[frame]
        box = self.crops.boxes[source]
        mask = lower_face_mask(self.crops.jaws[source], box)
        strength, detail = float(self.strength[frame]), self.clip.options.detail
        return put_mouth(planes, box, self.coding, painted, mask, strength=strength, detail=detail)
