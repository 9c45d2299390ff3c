"""What strangers' files hold, and which of them are refused."""

import signal
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.errors import HeygemdError
from heygemd.limits import Limits
from heygemd.media import ffmpeg, probe
from heygemd.media.child import Child, Leash
from heygemd.media.openfile import open_file
from heygemd.media.probe import probe_audio, probe_video

pytestmark = pytest.mark.ffmpeg

Film = Callable[..., Path]
NTSC = Fraction(30000, 1001)


def refusal(call: Callable[[Path, Limits], object], path: Path, limits: Limits) -> str:
    with pytest.raises(HeygemdError) as caught:
        call(path, limits)
    return caught.value.code


def cut(path: Path, to: Path, share: float) -> Path:
    data = path.read_bytes()
    to.write_bytes(data[: int(len(data) * share)])
    return to


@pytest.mark.parametrize(
    ("rate", "name"),
    [("24000/1001", "r.mp4"), ("30000/1001", "r.mkv"), ("60000/1001", "r.mp4"), ("9", "r.mp4"), ("25", "r.mkv")],
)
def test_rates_are_exact(film: Film, limits: Limits, rate: str, name: str) -> None:
    info = probe_video(film(rate.replace("/", "-") + name, "-c:v", "libx264", rate=rate, seconds=2), limits)
    assert info.fps == Fraction(rate)
    assert not info.is_vfr
    assert info.frame_count == -(-2 * info.fps.numerator // info.fps.denominator)


def test_a_variable_clip_gets_its_nominal_rate(film: Film, limits: Limits) -> None:
    path = film("vfr.mkv", "-vf", r"select='not(eq(mod(n\,7)\,3))'", "-fps_mode", "vfr", "-c:v", "libx264", rate="30")
    info = probe_video(path, limits)
    assert (info.fps, info.is_vfr, info.frame_count) == (30, True, 103)
    assert any("variable" in text for text in info.warnings)


def test_a_rotated_clip_has_its_upright_size(film: Film, make: Film, limits: Limits) -> None:
    plain = film("sar.mp4", "-vf", "setsar=4/3", "-c:v", "libx264", seconds=1)
    turned = make("turned.mp4", "-i", str(plain), "-c", "copy", "-metadata:s:v", "rotate=90")
    info = probe_video(turned, limits)
    assert (info.width_px, info.height_px, info.rotation_deg) == (72, 128, 270)
    assert info.sample_aspect == Fraction(3, 4)


def test_odd_sizes_become_even(make: Film, limits: Limits) -> None:
    odd = ("-f", "lavfi", "-i", "testsrc2=s=642x362:d=0.2", "-vf", "crop=641:361:0:0:exact=1,format=yuv444p")
    info = probe_video(make("odd.mp4", *odd, "-c:v", "libx264"), limits)
    assert (info.width_px, info.height_px) == (642, 362)
    assert any("641 x 361" in text for text in info.warnings)


def test_colour_tags_are_read(film: Film, limits: Limits) -> None:
    tags = ("-color_range", "pc", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "iec61966-2-1")
    info = probe_video(film("tags.mp4", "-pix_fmt", "yuvj420p", "-c:v", "libx264", *tags, seconds=1), limits)
    colour = info.colour
    assert (colour.matrix, colour.range, colour.primaries, colour.transfer) == ("bt709", "pc", "bt709", "iec61966-2-1")


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_is_refused(film: Film, limits: Limits, transfer: str) -> None:
    path = film(f"{transfer}.mp4", "-pix_fmt", "yuv420p10le", "-c:v", "libx264", "-color_trc", transfer, seconds=0.2)
    assert refusal(probe_video, path, limits) == "E104"


@pytest.mark.parametrize("name", ["still.jpg", "still.png", "still.webp"])
def test_a_still_is_one_frame_at_25_fps(film: Film, limits: Limits, name: str) -> None:
    info = probe_video(film(name, "-frames:v", "1", "-update", "1", seconds=1), limits)
    assert (info.is_still, info.fps, info.frame_count, info.duration_s) == (True, 25, 1, 0.04)


def test_a_phone_still_stands_upright(film: Film, limits: Limits, tmp_path: Path) -> None:
    data = film("still.jpg", "-frames:v", "1", "-update", "1", seconds=1).read_bytes()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(turned) + 2) + turned + data[2:])
    info = probe_video(tmp_path / "a.jpg", limits)
    assert (info.width_px, info.height_px, info.rotation_deg) == (72, 128, 90)


def test_a_cover_is_no_picture(film: Film, make: Film, limits: Limits) -> None:
    cover = film("still.jpg", "-frames:v", "1", "-update", "1", seconds=1)
    plain = film("plain.mp4", "-c:v", "libx264")
    maps = ("-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic")
    covered = make("covered.mp4", "-i", str(cover), "-i", str(plain), *maps)
    assert probe_video(covered, limits).codec == "h264"
    only = make("only.m4a", "-i", str(cover), "-f", "lavfi", "-i", "sine=d=1", *maps[:-4], "-c:v", "copy", *maps[-2:])
    assert refusal(probe_video, only, limits) == "E101"


def test_a_lie_about_its_kind_does_not_matter(film: Film, limits: Limits, tmp_path: Path) -> None:
    (tmp_path / "really.wav").write_bytes(film("plain.mp4", "-c:v", "libx264").read_bytes())
    assert probe_video(tmp_path / "really.wav", limits).demuxer == "mov"


@pytest.mark.parametrize(
    "text", ["#EXTM3U\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {other}\n"]
)
def test_playlists_called_mp4_are_refused_before_any_process_starts(
    film: Film, limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "x.mp4").write_text(text.format(other=film("plain.mp4", "-c:v", "libx264")))
    monkeypatch.delattr(ffmpeg, "Child")
    assert refusal(probe_video, tmp_path / "x.mp4", limits) == "E101"
    assert refusal(probe_audio, tmp_path / "x.mp4", limits) == "E101"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, "E303"), (signal.SIGSEGV, "E110")])
def test_packets_of_a_reader_that_was_ended_in_the_middle_are_not_all(
    limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: str
) -> None:
    (tmp_path / "film").write_bytes(b"x")
    words = ["sh", "-c", f"echo 0,0,K_; kill -{number.value} $$"]
    monkeypatch.setattr(ffmpeg, "start_probe", lambda *_: Child(words, leash=Leash(stall_s=10)))
    with open_file(tmp_path / "film") as file, pytest.raises(HeygemdError) as caught:
        probe._stamps(file, "mov", 0, limits)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv"])
def test_two_frames_a_day_apart_are_refused(film: Film, limits: Limits, name: str) -> None:
    path = film(name, "-vf", "setpts=N*100000/TB", "-fps_mode", "passthrough", "-c:v", "mjpeg", rate="1", seconds=2)
    assert path.stat().st_size < 50_000
    assert refusal(probe_video, path, limits) == "E105"


def test_limits_of_pixels_streams_and_frames_hold(film: Film, make: Film) -> None:
    plain = film("plain.mp4", "-c:v", "libx264")
    assert refusal(probe_video, plain, Limits(max_pixels=128 * 72 - 1)) == "E105"
    assert refusal(probe_video, plain, Limits(max_frames=99)) == "E105"
    assert refusal(probe_video, plain, Limits(max_duration_s=3.9)) == "E105"
    png = film("still.png", "-frames:v", "1", "-update", "1", seconds=1)
    assert refusal(probe_video, png, Limits(max_pixels=128 * 72 - 1)) == "E105"
    many = make("many.mkv", "-i", str(plain), *(word for _ in range(6) for word in ("-map", "0:v")), "-c", "copy")
    assert refusal(probe_video, many, Limits(max_streams=3)) == "E105"


@pytest.mark.parametrize(
    ("name", "args"), [("c.mp4", ("-movflags", "+faststart")), ("c2.mp4", ()), ("c.mkv", ()), ("c.avi", ())]
)
def test_a_cut_film_is_refused(film: Film, limits: Limits, tmp_path: Path, name: str, args: tuple[str, ...]) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    whole = film(name, "-c:v", codec, *args, size="320x240")
    assert probe_video(whole, limits).frame_count == 100
    assert refusal(probe_video, cut(whole, tmp_path / name, 0.6), limits) == "E110"


@pytest.mark.parametrize(
    ("name", "demuxer", "samples"),
    [
        ("s.wav", "wav", 220_500),
        ("s.flac", "flac", 220_500),
        ("s.aiff", "aiff", 220_500),
        ("s.w64", "w64", 220_500),
        ("s.mp3", "mp3", 220_500),
        ("s.ogg", "ogg", 220_500),
        ("s.m4a", "mov", 221_184),  # its end is padded to whole AAC frames
        ("s.aac", "aac", 222_208),
        ("s.mka", "matroska", 220_500),
    ],
)
def test_sounds_are_counted_to_the_sample(voice: Film, limits: Limits, name: str, demuxer: str, samples: int) -> None:
    info = probe_audio(voice(name), limits)
    assert (info.demuxer, info.rate_hz, info.channels) == (demuxer, 44100, 1)
    assert info.sample_count in range(samples - 1024, samples + 1153) if name[-3:] == "mp3" else [samples]
    assert abs(info.sample_count - samples) <= 1152
    if name.endswith(("wav", "flac", "aiff", "w64")):
        assert info.sample_count == samples


def test_several_channels_are_counted_once(voice: Film, limits: Limits) -> None:
    info = probe_audio(voice("six.wav", "-c:a", "pcm_s24le", channels=6, rate_hz=48000, seconds=1), limits)
    assert (info.channels, info.sample_count, info.duration_s) == (6, 48000, 1)


def test_the_sound_of_a_film_is_found(film: Film, make: Film, limits: Limits) -> None:
    both = make(
        "both.mkv", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=1", "-f", "lavfi", "-i", "sine=d=1:r=8000", "-f", "lavfi",
        "-i", "sine=d=2:r=16000", "-map", "0", "-map", "1", "-map", "2", "-disposition:a:0", "0", "-disposition:a:1",
        "default", "-c:a", "pcm_s16le",
    )  # fmt: skip
    info = probe_audio(both, limits)
    assert (info.stream, info.rate_hz, info.sample_count) == (2, 16000, 32000)


def test_silence_nothing_and_no_sound_are_refused(film: Film, make: Film, limits: Limits) -> None:
    silent = make("silent.wav", "-f", "lavfi", "-i", "anullsrc=d=1")
    empty = make("empty.wav", "-f", "lavfi", "-i", "sine=d=1", "-frames:a", "0")
    for path in (silent, empty, film("plain.mp4", "-c:v", "libx264")):
        assert refusal(probe_audio, path, limits) == "E132"


def test_a_long_sound_is_refused(voice: Film) -> None:
    assert refusal(probe_audio, voice("s.wav"), Limits(max_duration_s=4.9)) == "E133"
    assert refusal(probe_audio, voice("s.aac"), Limits(max_duration_s=3)) == "E133"
    assert probe_audio(voice("s.wav"), Limits(max_duration_s=5)).duration_s == 5


@pytest.mark.parametrize("name", ["s.wav", "s.flac", "s.m4a", "s.mka"])
def test_a_cut_sound_is_refused(voice: Film, limits: Limits, tmp_path: Path, name: str) -> None:
    assert refusal(probe_audio, cut(voice(name), tmp_path / name, 0.5), limits) == "E110"


@pytest.mark.media
def test_the_bad_clips_are_refused(shared_media: Path, limits: Limits) -> None:
    assert refusal(probe_audio, shared_media / "bad/declares_43MB.wav", limits) == "E110"
    assert refusal(probe_video, shared_media / "bad/no_moov.mp4", limits) == "E110"
    assert refusal(probe_video, shared_media / "bad/damaged.avi", limits) == "E110"
