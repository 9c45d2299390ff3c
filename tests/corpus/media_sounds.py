"""Odd but good sounds: what recorders, editors, phones and speech engines write. Every one must be heard."""

import struct
import zlib
from collections.abc import Iterator

from tests.corpus.bytework import chunk
from tests.corpus.case import Answer, Case, renders
from tests.corpus.kit import Content, Kit

GROUP = "odd but good sounds"
OFTEN = frozenset(
    [
        "mono-8k",
        "stereo-96k-24",
        "surround",
        "m4a",
        "mp3-vbr",
        "flac-24",
        "vorbis",
        "opus-sound",
        "aiff",
        "wav-stream",
        "amr",
        "wma",
        "caf",
    ]
)
MADE = renders("take.mp4")
Row = tuple[str, str, Content, Answer]


def cases(kit: Kit) -> Iterator[Case]:
    """All of them."""
    for name, (story, suffix, content, answer) in {**_waves(kit), **_packed(kit), **_bent(kit)}.items():
        yield kit.sound(name, story, answer, suffix, content, group=GROUP, is_slow=name not in OFTEN)


def _voice(
    kit: Kit,
    story: str,
    suffix: str,
    *words: str,
    rate_hz: int = 16000,
    seconds: float = 1.0,
    channels: int = 1,
    answer: Answer = MADE,
) -> Row:
    tag = zlib.crc32(repr((words, rate_hz, seconds, channels)).encode())
    name = f"odd-{tag:08x}.{suffix}"

    def content() -> bytes:
        return kit.voice(name, *words, rate_hz=rate_hz, seconds=seconds, channels=channels).read_bytes()

    return story, suffix, content, answer


def _waves(kit: Kit) -> dict[str, Row]:
    def wave(story: str, *words: str, suffix: str = "wav", rate_hz: int = 16000, channels: int = 1) -> Row:
        return _voice(kit, story, suffix, *words, rate_hz=rate_hz, channels=channels)

    return {
        "mono-8k": wave("mono, 8 kHz: a telephone", rate_hz=8000),
        "stereo-44k": wave("stereo, 44.1 kHz", rate_hz=44100, channels=2),
        "stereo-96k-24": wave("stereo, 96 kHz, 24 bits", "-c:a", "pcm_s24le", rate_hz=96000, channels=2),
        "mono-192k": wave("192 kHz", rate_hz=192000),
        "mono-11025": wave("11,025 Hz", rate_hz=11025),
        "surround": wave("5.1 channels", "-channel_layout", "5.1", rate_hz=48000, channels=6),
        "eight-channels": wave("7.1 channels", "-channel_layout", "7.1", rate_hz=48000, channels=8),
        "wav-float": wave("floating point", "-c:a", "pcm_f32le"),
        "wav-double": wave("floating point of 64 bits", "-c:a", "pcm_f64le"),
        "wav-8-bit": wave("8 bits", "-c:a", "pcm_u8"),
        "wav-32-bit": wave("32 bits", "-c:a", "pcm_s32le"),
        "wav-alaw": wave("A-law", "-c:a", "pcm_alaw", rate_hz=8000),
        "wav-ulaw": wave("µ-law", "-c:a", "pcm_mulaw", rate_hz=8000),
        "wav-adpcm": wave("ADPCM of an answering machine", "-c:a", "adpcm_ima_wav"),
        "wav-adpcm-ms": wave("Microsoft's ADPCM", "-c:a", "adpcm_ms"),
        "wav-mp3": wave("MP3 in a WAV", "-c:a", "libmp3lame"),
        "wav-rf64": wave("RF64", "-rf64", "always"),
        "wav-bext": wave("a broadcast WAV with a description", "-write_bext", "1", "-metadata", "description=take one"),
        "aiff": wave("AIFF", suffix="aiff"),
        "aiff-24": wave("AIFF of 24 bits", "-c:a", "pcm_s24be", suffix="aif"),
        "aifc": wave("AIFC, little-endian", "-c:a", "pcm_s16le", "-f", "aiff", suffix="aifc"),
        "caf": wave("CAF", "-c:a", "pcm_s16be", suffix="caf"),
        "caf-alac": wave("ALAC in CAF", "-c:a", "alac", suffix="caf"),
    }


def _packed(kit: Kit) -> dict[str, Row]:
    def packed(story: str, suffix: str, *words: str, rate_hz: int = 16000, channels: int = 1) -> Row:
        return _voice(kit, story, suffix, *words, rate_hz=rate_hz, channels=channels)

    return {
        "m4a": packed("AAC of a phone", "m4a", "-c:a", "aac", rate_hz=48000),
        "m4a-fragments": packed(
            "a fragmented M4A", "m4a", "-c:a", "aac", "-f", "mp4", "-movflags", "+frag_keyframe+empty_moov"
        ),
        "m4a-alac": packed("ALAC", "m4a", "-c:a", "alac"),
        "m4a-faststart": packed("moov first", "m4a", "-c:a", "aac", "-movflags", "+faststart"),
        "adts": packed("AAC without a container", "aac", "-c:a", "aac"),
        "mp3-vbr": packed("MP3, variable rate", "mp3", "-c:a", "libmp3lame", "-q:a", "5", rate_hz=44100),
        "mp3-cbr-bare": packed(
            "MP3 without a header frame and tags",
            "mp3",
            "-c:a",
            "libmp3lame",
            "-write_xing",
            "0",
            "-id3v2_version",
            "0",
        ),
        "mp3-mpeg25": packed("MP3 of 8 kHz", "mp3", "-c:a", "libmp3lame", rate_hz=8000),
        "mp3-joint": packed("joint stereo", "mp3", "-c:a", "libmp3lame", rate_hz=44100, channels=2),
        "mp3-id3v1": packed(
            "a tag at the end", "mp3", "-c:a", "libmp3lame", "-write_id3v1", "1", "-metadata", "title=x"
        ),
        "flac-24": packed("FLAC of 24 bits", "flac", "-c:a", "flac", "-sample_fmt", "s32", rate_hz=96000, channels=2),
        "flac-ogg": packed("FLAC in Ogg", "oga", "-c:a", "flac", "-f", "ogg"),
        "vorbis": packed("Vorbis", "ogg", "-c:a", "libvorbis", rate_hz=44100),
        "opus-sound": packed("Opus of a messenger", "opus", "-c:a", "libopus", rate_hz=48000),
        "opus-ogg": packed("Opus in .ogg", "ogg", "-c:a", "libopus", rate_hz=48000),
        "speex": packed("Speex", "ogg", "-c:a", "libspeex", "-f", "ogg"),
        "wma": packed("Windows Media Audio", "wma", "-c:a", "wmav2", rate_hz=44100),
        "amr": ("AMR of a phone's recorder", "amr", lambda: _amr(50), MADE),
    }


def _bent(kit: Kit) -> dict[str, Row]:
    """Good sounds whose container says less than it should, or more."""
    wav = lambda: kit.voice("voice.wav").read_bytes()  # noqa: E731
    mp3 = lambda: kit.voice("voice.mp3").read_bytes()  # noqa: E731
    quiet = ("-f", "lavfi", "-i", "aevalsrc=0.002*sin(2*PI*300*t):s=16000:d=1")
    offset = ("-f", "lavfi", "-i", "aevalsrc=0.5+0.2*sin(2*PI*300*t):s=16000:d=1")
    one_side = ("-f", "lavfi", "-i", "aevalsrc=0|0.3*sin(2*PI*300*t):s=44100:d=1")
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0) + bytes(8)
    cover = b"ID3\3\0\0" + bytes([0, 16, 0, 10]) + b"APIC" + struct.pack(">IH", 16 << 14, 0) + bytes(16 << 14)
    return {
        "wav-stream": (
            "a WAV from a pipe: all lengths are 0xffffffff",
            "wav",
            lambda: _unsized(wav(), 0xFFFFFFFF),
            MADE,
        ),
        "wav-zero-lengths": (
            "a WAV whose writer was stopped: all lengths are 0",
            "wav",
            lambda: _unsized(wav(), 0),
            MADE,
        ),
        "wav-odd-byte": ("half a sample at the end", "wav", lambda: _resized(wav() + b"\1"), MADE),
        "wav-list-first": ("a list of tags before the data", "wav", lambda: _listed(wav()), MADE),
        "mp3-cover": ("a cover of 260 kB before the sound", "mp3", lambda: cover + mp3(), MADE),
        "mp3-ape": ("an APE tag at the end", "mp3", lambda: mp3() + ape, MADE),
        "mp3-junk-first": ("junk before the first frame", "mp3", lambda: b"\0" * 700 + mp3(), MADE),
        "wav-quiet": ("a very quiet voice", "wav", lambda: kit.made("quiet.wav", *quiet).read_bytes(), MADE),
        "wav-offset": (
            "a voice with a constant in it",
            "wav",
            lambda: kit.made("offset.wav", *offset).read_bytes(),
            MADE,
        ),
        "wav-one-side": (
            "a voice on the right side only",
            "wav",
            lambda: kit.made("side.wav", *one_side).read_bytes(),
            MADE,
        ),
        "wav-40-ms": _voice(kit, "40 ms: one frame", "wav", seconds=0.04, answer=renders("take.mp4", frames=1)),
        "wav-10-ms": _voice(kit, "10 ms: less than a frame", "wav", seconds=0.01, answer=renders("take.mp4", frames=1)),
        "wav-one-sample": (
            "one sample",
            "wav",
            lambda: _resized(wav()[: wav().index(b"data") + 8] + b"\0\x30"),
            renders("take.mp4", frames=1),
        ),
        "opus-without-end": (
            "Opus of a recorder that was switched off: no page says that it is the last",
            "opus",
            lambda: _without_last_page(kit.voice("whole.opus", "-c:a", "libopus", seconds=3).read_bytes()),
            MADE,
        ),
        "m4a-late": (
            "time begins after 5 s",
            "m4a",
            lambda: kit.voice("late.m4a", "-output_ts_offset", "5").read_bytes(),
            MADE,
        ),
    }


def _unsized(wav: bytes, length: int) -> bytes:
    made, at = bytearray(wav), wav.index(b"data") + 4
    struct.pack_into("<I", made, 4, length)
    struct.pack_into("<I", made, at, length)
    return bytes(made)


def _without_last_page(ogg: bytes) -> bytes:
    return ogg[: ogg.rindex(b"OggS")]


def _resized(wav: bytes) -> bytes:
    made, at = bytearray(wav), wav.index(b"data") + 4
    struct.pack_into("<I", made, 4, len(wav) - 8)
    struct.pack_into("<I", made, at, len(wav) - at - 4)
    return bytes(made)


def _listed(wav: bytes) -> bytes:
    tags = chunk(b"LIST", b"INFO" + chunk(b"INAM", "数字人".encode()) + chunk(b"ICMT", b"x" * 9001))
    at = wav.index(b"data")
    made = bytearray(wav[:at] + tags + wav[at:])
    struct.pack_into("<I", made, 4, len(made) - 8)
    return bytes(made)


def _amr(frames: int) -> bytes:
    """Frames of 12.2 kbit/s whose parameters are arbitrary: some noise, 20 ms each (RFC 4867)."""
    state, made = 1, bytearray(b"#!AMR\n")
    for _ in range(frames):
        made.append(0x3C)
        for _ in range(31):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            made.append(state >> 16 & 0xFF)
    return bytes(made)
