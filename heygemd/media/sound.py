"""The sound of a stranger's file: how many samples it really has, and the voice for the engines."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import structlog

from heygemd.filesystem import whole_file
from heygemd.jobs.job import AudioInfo
from heygemd.limits import Limits
from heygemd.media import ffmpeg
from heygemd.media.child import Outcome
from heygemd.media.ffmpeg import Stream
from heygemd.media.openfile import OpenFile, open_file

log = structlog.get_logger(__name__)

COUNTING_LEVEL = "repeat+level+info"
"""What was counted is a message of this level."""

SOUND_NUMBERS = "aformat=sample_fmts=s32"
"""A filter that makes numbers of all samples: files of floats, and damaged ones, hold infinities and what is no number
at all, which no encoder takes and no network. Exact for whole numbers; of floats it keeps 31 bits below full scale."""

SPEECH_HZ = 16_000
SPEECH_SAMPLE_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundTrack:
    """One sound stream of a file."""

    demuxer: str
    stream: int
    rate_hz: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came out of a stream that was decoded to its end."""

    sample_count: int
    """Samples per channel."""
    peak_db: float
    """Loudest sample, dBFS; about -91 for digital silence."""
    errors: int


def listen(file: OpenFile, track: SoundTrack, limits: Limits) -> Heard:
    """Decode a stream to nowhere, counting; stops one second after the longest length that is allowed."""
    source = ffmpeg.source(file, track.demuxer, limits, vn=None, sn=None, dn=None)
    with ffmpeg.patience_as("E105", "decoding the sound"):
        leash = ffmpeg.decoder_leash(limits, wall_s=limits.probe_wall_s + ffmpeg.reading_s(file.size_bytes))
        outcome = ffmpeg.run(counting(source, track, limits), leash=leash, pass_fds=(file.fd,), level=COUNTING_LEVEL)
    heard = heard_by(outcome, track)
    if not outcome.ok and not heard.sample_count:
        raise ffmpeg.input_error(outcome, "the sound cannot be decoded", file)
    return heard


def counting(source: Stream, track: SoundTrack, limits: Limits) -> Stream:
    """Write the output of a process of level `COUNTING_LEVEL` that `heard_by` understands."""
    return ffmpeg.sink(
        source[str(track.stream)],
        url="-",
        muxer="null",
        af=f"aformat=sample_rates={track.rate_hz},volumedetect",
        t=limits.max_duration_s + 1,
    )


def heard_by(outcome: Outcome, track: SoundTrack) -> Heard:
    """Read what such a process counted."""
    counts = [int(n) for n in re.findall(r"n_samples: (\d+)", outcome.stderr)]
    peaks = [float(db) for db in re.findall(r"max_volume: (-?[\d.]+|-inf) dB", outcome.stderr)]
    return Heard(
        sample_count=sum(counts) // track.channels,
        peak_db=max(peaks, default=float("-inf")),
        errors=outcome.errors,
    )


def decode_speech(path: Path, info: AudioInfo, out: Path, limits: Limits) -> int:
    """Write the sound as raw float32, little-endian, mono, 16 kHz, for the engines to hear; returns its samples.

    The first sample is the first of the sound, whatever its container says about a start time. Raises InputError
    E110 when far less comes out than the probe counted.
    """
    most_bytes = int((limits.max_duration_s + 1) * SPEECH_HZ) * SPEECH_SAMPLE_BYTES
    with open_file(path) as file, whole_file(out) as fd, ffmpeg.patience_as("E110", "decoding the sound"):
        output = ffmpeg.sink(
            ffmpeg.source(file, info.demuxer, limits, vn=None, sn=None, dn=None)[str(info.stream)],
            url=f"/dev/fd/{fd}",
            muxer="f32le",
            af=f"{SOUND_NUMBERS},asetpts=N/SR/TB,aresample={SPEECH_HZ}",
            ac=1,
            t=limits.max_duration_s,
        )
        wall_s = limits.stall_s + float(info.duration_s) + ffmpeg.reading_s(file.size_bytes)
        leash = ffmpeg.decoder_leash(limits, wall_s=wall_s, file_bytes=most_bytes)
        outcome = ffmpeg.run(output, leash=leash, pass_fds=(file.fd, fd))
        if ffmpeg.is_unwritten(outcome):
            raise ffmpeg.output_error(outcome, "the voice cannot be written")
        samples = os.fstat(fd).st_size // SPEECH_SAMPLE_BYTES
        if not outcome.ok or samples < float(info.duration_s) * SPEECH_HZ * 0.98 - SPEECH_HZ / 2:
            what = f"only {samples / SPEECH_HZ:.2f} s of the sound can be decoded"
            raise ffmpeg.input_error(outcome, what, file)
    log.debug("media.speech_decoded", samples=samples, errors=outcome.errors)
    return samples
