"""From finished segments and the original sound to one film, without encoding the picture again.

Joining MP4 files plainly shifts every joint by a rounding error at 24000/1001, 30000/1001 and 60000/1001 (measured;
25 fps looks fine). The list therefore carries exact lengths, rounded as *ends*, so that errors never add up:

    file      00000.mp4       00001.mp4       00002.mp4
    ends      2.002000        4.004000        6.006000 …     round(frames so far / fps, 1 µs)
    duration  2.002000        2.002000        2.002000       differences of the ends
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import structlog

from heygemd.filesystem import whole_file
from heygemd.jobs.job import AudioInfo
from heygemd.limits import Limits
from heygemd.media import ffmpeg, probe
from heygemd.media.child import Leash, Outcome
from heygemd.media.openfile import OpenFile, open_file
from heygemd.media.picture import seconds
from heygemd.media.rates import timescale
from heygemd.media.sound import SOUND_NUMBERS

log = structlog.get_logger(__name__)

COPIED_CODECS = frozenset({"aac", "mp3"})
"""What an MP4 may carry as it is and every player plays."""

COPY_TOLERANCE_S = Fraction(1, 20)
"""A copied sound whose track differs by more from what was decoded (cut by an edit list, say) is encoded instead."""

AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
AAC_MOST_CHANNELS = 8
AAC_CHANNEL_BPS = 96_000
AAC_BITS_PER_SAMPLE = 4
"""Bounds the bit rate of slow sounds: the format ends at 6 bits a sample."""

LIST_NAME = "list.ffconcat"

SPARE_BYTES = 64 << 20
"""What a film may have beside twice its parts: the index of a film of hours is some megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StitchFacts:
    """What became of the sound."""

    audio_codec: str
    audio_copied: bool
    description: probe.Description | None = field(default=None, compare=False)
    """What ffprobe says about the film, where it had to be asked: for `verify_film`."""


def stitch(
    segments: Sequence[Path],
    frame_counts: Sequence[int],
    fps: Fraction,
    *,
    audio: Path,
    audio_info: AudioInfo,
    film_s: Fraction,
    fit_sound: bool,
    out: Path,
    limits: Limits,
) -> StitchFacts:
    """Join `segments` of `frame_counts` frames and add the sound; `out` appears only when it is complete.

    AAC and MP3 without errors are copied, everything else becomes AAC at its own rate and channels. With `fit_sound`
    the sound is encoded, too: padded with silence or cut to `film_s`. Raises ResourceError E202 when the disk is full,
    FaultError E500 when the segments do not fit together.
    """
    with open_file(audio) as sound, _listed(segments, frame_counts, fps, out) as list_dir, whole_file(out) as fd:
        size_bytes = sum(path.stat().st_size for path in segments) + sound.size_bytes
        joint = _Joint(
            list_dir=list_dir,
            timescale=timescale(fps),
            sound=sound,
            info=audio_info,
            film=OpenFile(fd, 0),
            limits=limits,
            wall_s=limits.stall_s + ffmpeg.reading_s(size_bytes) + float(film_s),
            file_bytes=2 * size_bytes + _aac_bytes(audio_info, film_s) + SPARE_BYTES,
        )
        # Errors that the decoder met in the sound (its warnings tell of no others) would be in the film, too.
        may_copy = audio_info.codec in COPIED_CODECS and not audio_info.warnings and not fit_sound
        described = joint.copy_sound() if may_copy else None
        if described is None:
            joint.encode_sound(film_s if fit_sound else None)
    copied = described is not None
    log.debug("media.film_stitched", segments=len(segments), audio_copied=copied)
    codec = audio_info.codec if copied else "aac"
    return StitchFacts(audio_codec=codec, audio_copied=copied, description=described)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Joint:
    """One way of writing the film, tried at most twice."""

    list_dir: Path
    timescale: int
    sound: OpenFile
    info: AudioInfo
    film: OpenFile
    limits: Limits
    wall_s: float
    file_bytes: int

    def copy_sound(self) -> probe.Description | None:
        """Write the film with the sound as it is, and describe it; None when that is not as long as it was decoded."""
        offset_s = self._start_offset_s()
        outcome = self._write({"c_a": "copy"}, {"itsoffset": f"{float(offset_s):.6f}"} if offset_s else {})
        if ffmpeg.is_unwritten(outcome):
            raise ffmpeg.output_error(outcome, "the film cannot be written")
        if outcome.ok:
            description, _ = probe.describe(self.film, "mov", self.limits)
            if abs(_sound_s(description) - self.info.duration_s) <= COPY_TOLERANCE_S:
                return description
        log.info(
            "media.sound_copy_refused", codec=self.info.codec, reason=outcome.reason if not outcome.ok else "length"
        )
        return None

    def encode_sound(self, film_s: Fraction | None) -> None:
        """Write the film with the sound as AAC, padded or cut to `film_s` if that is given."""
        outcome = self._write(_aac_options(self.info, film_s), {})
        if not outcome.ok or ffmpeg.is_unwritten(outcome):
            raise ffmpeg.output_error(outcome, "the film cannot be written")

    def _write(self, sound_options: dict[str, object], input_options: dict[str, object]) -> Outcome:
        pictures = ffmpeg.own_source(LIST_NAME, "concat", protocol_whitelist="file", format_whitelist="concat,mov")
        sounds = ffmpeg.source(self.sound, self.info.demuxer, self.limits, vn=None, sn=None, dn=None, **input_options)
        output = ffmpeg.sink(
            pictures["v:0"],
            sounds[str(self.info.stream)],
            url=self.film.url,
            muxer="mp4",
            c_v="copy",
            video_track_timescale=self.timescale,
            map_metadata=-1,
            map_chapters=-1,
            fflags="+bitexact",
            movflags="+faststart",
            **sound_options,
        )
        leash = Leash(
            stall_s=self.wall_s,
            wall_s=self.wall_s,
            memory_bytes=self.limits.memory_bytes,
            file_bytes=self.file_bytes,
        )
        with ffmpeg.patience_as("E500", "joining the segments"):
            return ffmpeg.run(output, leash=leash, pass_fds=(self.sound.fd, self.film.fd), cwd=self.list_dir)

    def _start_offset_s(self) -> Fraction:
        """How much earlier the copied packets must start for sample 0 to stand at 0: a file may begin with picture."""
        document, _ = probe.describe(self.sound, self.info.demuxer, self.limits)
        track = next(s for s in document["streams"] if s["index"] == self.info.stream)
        starts = seconds(document["format"].get("start_time")), seconds(track.get("start_time"))
        return starts[0] - starts[1] if starts[0] is not None and starts[1] is not None else Fraction(0)


def _sound_s(description: probe.Description) -> Fraction:
    return next(seconds(s["duration"]) or Fraction(0) for s in description["streams"] if s["codec_type"] == "audio")


@contextmanager
def _listed(segments: Sequence[Path], frame_counts: Sequence[int], fps: Fraction, out: Path) -> Iterator[Path]:
    """Lay links with neutral names beside a list with exact lengths into a folder of their own."""
    if not segments or len(segments) != len(frame_counts):
        raise ValueError(f"{len(segments)} segments with {len(frame_counts)} lengths")
    folder = out.with_name(out.name + ".list")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        ends = [round(total / fps * 1_000_000) for total in accumulate(frame_counts, initial=0)]
        lines = ["ffconcat version 1.0"]
        for index, (path, (start, end)) in enumerate(zip(segments, pairwise(ends), strict=True)):
            name = f"{index:05d}.mp4"
            (folder / name).symlink_to(path.absolute())
            lines += [f"file {name}", f"duration {(end - start) // 1_000_000}.{(end - start) % 1_000_000:06d}"]
        (folder / LIST_NAME).write_text("\n".join(lines) + "\n", "ascii")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _aac_bytes(info: AudioInfo, film_s: Fraction) -> int:
    """As much as the sound can become: twice the bit rate that the encoder is asked for, for the longer of both."""
    longest_s = max(film_s, info.duration_s)
    return int(longest_s * AAC_CHANNEL_BPS * AAC_MOST_CHANNELS / 4)


def _aac_options(info: AudioInfo, film_s: Fraction | None) -> dict[str, object]:
    rate_hz = max((rate for rate in AAC_RATES_HZ if rate <= info.rate_hz), default=AAC_RATES_HZ[-1])
    channels = info.channels if info.channels <= AAC_MOST_CHANNELS else 2
    filters = [SOUND_NUMBERS, "asetpts=N/SR/TB", f"aresample={rate_hz}"]
    if film_s is not None:
        filters += ["apad", f"atrim=end_sample={round(film_s * rate_hz)}"]
    bit_rate = channels * min(AAC_CHANNEL_BPS, AAC_BITS_PER_SAMPLE * rate_hz)
    return {"c_a": "aac", "b_a": bit_rate, "ac": channels, "af": ",".join(filters), "flags_a": "+bitexact"}
