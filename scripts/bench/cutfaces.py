"""Real faces for the network: what the wav2lip engine cuts out of a clip, with what each picture hears of a voice."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from heygemd.jobs.job import RenderOptions
from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_audio, probe_video
from heygemd.media.sound import decode_speech
from heygemd.planning.timeline import plan_timeline
from heygemd.render.clock import ticks_of
from heygemd.render.engine import Clip
from heygemd.render.faces.tracker import track_clip
from heygemd.render.speech.mouth import MouthNet
from heygemd.render.wav2lip.engine import MOUTH_KEY, perform
from heygemd.render.wav2lip.generator import Halves, Squares, Windows
from heygemd.render.wav2lip.mel import mel_of
from heygemd.render.wav2lip.network import LOWER_ROW

LONGEST_S = 4
"""Of the clip; enough for 100 faces."""


class Recorder:
    """A painter that keeps what it is given, and changes nothing."""

    def __init__(self) -> None:
        self.windows: list[Windows] = []
        self.faces: list[Squares] = []

    def submit(self, windows: Windows, faces: Squares, *, batch_frames: int) -> Callable[[], Halves]:
        """Keep copies."""
        del batch_frames
        self.windows.append(windows.copy())
        self.faces.append(faces.copy())
        return lambda: faces[:, LOWER_ROW:]


def real_faces(video: Path, voice: Path, count: int) -> tuple[Windows, Squares]:
    """Cut up to `count` faces, evenly spread over the clip's first seconds: float32[n, 16, 80], float32[n, 96, 96, 3].

    Raises what the engine raises: InputError without a usable face.
    """
    limits, info, sound_info = Limits(), probe_video(video, Limits()), probe_audio(voice, Limits())
    frames: list[NDArray[np.uint8]] = []
    pts_s: list[float] = []
    for frame in SourceVideo(video, info, limits).decode():
        if frame.pts_s > LONGEST_S:
            break
        frames.append(frame.planes)
        pts_s.append(frame.pts_s)
    track = track_clip(zip(pts_s, frames, strict=True))
    with TemporaryDirectory() as folder:
        out = Path(folder) / "sound"
        decode_speech(voice, sound_info, out, limits)
        sound = np.fromfile(out, np.float32)
    ticks = ticks_of(track.pts_s, info.fps)
    options = RenderOptions()
    seconds = Fraction(len(ticks)) / info.fps
    timeline = plan_timeline(fps=info.fps, tick_count=len(ticks), sound_s=seconds, policy=options.length)
    heard = MouthNet().listen(sound).to_arrays()
    wanted = [timeline.tick_of(i) for i in range(timeline.frame_count)]
    clip = Clip(
        timeline=timeline,
        source_frames=ticks[wanted],
        track=track,
        speech={"mel": mel_of(sound), **{MOUTH_KEY + name: values for name, values in heard.items()}},
        video=info,
        options=options,
    )
    recorder = Recorder()
    performance = perform(clip, recorder)
    for i in np.unique(np.linspace(0, timeline.frame_count - 1, count).round().astype(int)).tolist():
        performance.render(i, [frames[clip.source_frames[i]].copy()])
    return np.concatenate(recorder.windows), np.concatenate(recorder.faces)
