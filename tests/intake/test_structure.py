import io
import os
import struct
import subprocess
import wave
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heygemd.intake.structure.check import PARSERS, check_structure, judge
from heygemd.intake.structure.verdict import Incomplete, Unchecked, Whole, find_cut
from heygemd.intake.structure.window import BUDGET_BYTES, PAGE_BYTES, Window

MEDIA = Path(__file__).resolve().parents[2] / ".." / "shared" / "media"

FILM = "-f lavfi -i testsrc2=s=160x120:r=25:d=2 -f lavfi -i anoisesrc=d=2:a=0.1 -c:v libx264 -preset ultrafast"
WEB = "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i anoisesrc=d=1:a=0.1 -c:v libvpx -deadline realtime"
SOUND = "-f lavfi -i anoisesrc=d=3:a=0.1"
PICTURE = "-f lavfi -i testsrc2=s=320x240 -frames:v 1"
PIPE = "-f {} -y /dev/stdout"

RECIPES = {
    "front.mp4": (f"{FILM} -movflags +faststart", "mp4"),
    "back.mp4": (FILM, "mp4"),
    "pieces.mp4": (f"{FILM} -movflags +frag_keyframe+empty_moov -g 10", "mp4"),
    "film.mov": (f"{FILM} -c:a pcm_s16le", "mp4"),
    "sound.m4a": (f"{SOUND} -movflags +faststart", "mp4"),
    "film.mkv": (FILM, "matroska"),
    "film.webm": (f"{WEB} -c:a libopus", "matroska"),
    "live.webm": (f"{WEB} -c:a libopus -live 1", "matroska"),
    "film.avi": (f"{FILM} -c:a libmp3lame", "avi"),
    "sound.wav": (SOUND, "wav"),
    "wide.wav": (f"{SOUND} -rf64 always", "wav"),
    "sound.aiff": (SOUND, "aiff"),
    "sound.flac": (SOUND, "flac"),
    "tagged.flac": (f"{SOUND} -metadata title=x", "flac"),
    "constant.mp3": (f"{SOUND} -b:a 64k -write_xing 0", "mp3"),
    "varying.mp3": (f"{SOUND} -q:a 5 -write_id3v1 1", "mp3"),
    "sound.aac": (SOUND, "aac"),
    "vorbis.ogg": (f"{SOUND} -c:a libvorbis", "ogg"),
    "sound.opus": (f"{SOUND} -c:a libopus", "ogg"),
    "still.jpg": (PICTURE, "jpeg"),
    "still.png": (PICTURE, "png"),
    "still.webp": (PICTURE, "webp"),
}
"""Everything here knows its own end: cut anywhere, it is incomplete."""

UNKNOWING = {
    "film.ts": f"{FILM}",
    "film.mpg": "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -c:v mpeg1video",
    "film.wmv": "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -c:v wmv2",
    "sound.caf": SOUND,
}


def make(path: Path, recipe: str) -> bytes:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", *recipe.split(), "-y", str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path.read_bytes()


def look(data: bytes):
    stream = io.BytesIO(data)

    def read(offset: int, count: int) -> bytes:
        stream.seek(offset)
        return stream.read(count)

    return judge(Window(read, len(data)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("structure")


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", RECIPES)
def test_a_whole_file_is_whole_and_a_cut_one_is_not(folder, name):
    recipe, kind = RECIPES[name]
    data = make(folder / name, recipe)
    assert look(data) == Whole(kind)
    for percent in (30, 50, 90, 99):
        found = look(data[: len(data) * percent // 100])
        assert isinstance(found, Incomplete), (percent, found)
        assert found.evidence.startswith("structure incomplete: ")
    assert isinstance(look(data[:-1]), Incomplete) or name in {"still.jpg", "still.png", "back.mp4"}


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"sound.wav", "wide.wav", "sound.aiff", "film.mov"}))
def test_a_file_whose_end_is_zeros_is_incomplete(folder, name):
    """A client that sets the size first leaves zeros; only sound without compression may really end so."""
    recipe, _ = RECIPES[name]
    path = folder / name
    data = path.read_bytes() if path.exists() else make(path, recipe)
    half = len(data) // 2
    assert isinstance(look(data[:half] + bytes(len(data) - half)), Incomplete)


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", UNKNOWING)
def test_containers_that_do_not_know_their_end_are_not_judged(folder, name):
    data = make(folder / name, UNKNOWING[name])
    for stop in (len(data), len(data) // 2):
        found = look(data[:stop])
        assert isinstance(found, Unchecked)
        assert found.evidence == "structure unchecked"


@pytest.mark.ffmpeg
@pytest.mark.parametrize("form", ["wav", "aiff", "avi", "matroska", "flac", "ogg"])
def test_what_a_pipe_has_written_is_never_incomplete(folder, form):
    recipe = f"{FILM} -c:a pcm_s16le" if form in {"avi", "matroska"} else SOUND
    command = ["ffmpeg", "-v", "error", "-nostdin", *recipe.split(), *PIPE.format(form).split()]
    data = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60).stdout
    assert not isinstance(look(data), Incomplete)


@pytest.mark.ffmpeg
def test_the_content_decides_and_not_the_name(folder):
    data = make(folder / "sound.wav", SOUND)
    (folder / "wrong.mp4").write_bytes(data)
    with (folder / "wrong.mp4").open("rb") as file:
        assert check_structure(file.fileno(), len(data)) == Whole("wav")


@pytest.mark.media
def test_real_clips_are_not_held_back():
    if not MEDIA.is_dir():
        pytest.skip("no ../shared/media")
    for path in MEDIA.rglob("*.*"):
        if path.suffix == ".md":
            continue
        with path.open("rb") as file:
            found = check_structure(file.fileno(), path.stat().st_size)
        assert isinstance(found, Incomplete) == (path.parent.name == "bad"), (path.name, found)


def wav(seconds: float = 1.0) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(os.urandom(int(8000 * seconds) * 2))
    return buffer.getvalue()


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_length_of_0_or_ffffffff_is_a_stream(size):
    data = bytearray(wav())
    data[4:8] = data[40:44] = struct.pack("<I", size)
    assert isinstance(look(bytes(data)), Unchecked)
    assert isinstance(look(bytes(data[: len(data) // 2])), Unchecked)


def test_a_box_of_64_bits_and_one_that_goes_to_the_end():
    moov = struct.pack(">I4s", 8, b"moov")
    ftyp = struct.pack(">I4s8s", 16, b"ftyp", b"isom\0\0\0\0")
    long = struct.pack(">I4sQ", 1, b"mdat", 16 + 100) + b"x" * 100
    assert look(ftyp + moov + long) == Whole("mp4")
    assert look(ftyp + moov + long[:-1]) == Incomplete("mp4", "the last box lacks 1 bytes")
    assert look(ftyp + moov + struct.pack(">I4s", 0, b"mdat") + b"x" * 50) == Whole("mp4")
    assert look(ftyp + struct.pack(">I4s", 0, b"mdat") + b"x" * 50) == Incomplete("mp4", "no moov box")


def test_samples_behind_the_end_are_missing():
    stco = struct.pack(">I4sIIII", 24, b"stco", 0, 2, 100, 5000)
    boxes = stco
    for name in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        boxes = struct.pack(">I4s", 8 + len(boxes), name) + boxes
    data = struct.pack(">I4s8s", 16, b"ftyp", b"isom\0\0\0\0") + boxes + struct.pack(">I4s", 0, b"mdat")
    assert look(data + b"x" * 500) == Incomplete("mp4", "samples lie after the end")
    assert look(data + b"x" * 6000) == Whole("mp4")


@pytest.mark.parametrize("trailer", [b"", b"\0" * 100, os.urandom(3 << 20)])
def test_a_jpeg_may_carry_something_behind_its_end(trailer):
    thumbnail = b"\xff\xd8\xff\xd9"
    head = b"\xff\xd8\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail + b"\xff\xda\0\x02"
    trailer = trailer.replace(b"\xff\xd9", b"\xff\xd8")
    assert look(head + b"picture\xff\xd9" + trailer) == Whole("jpeg")
    assert look(head + b"picture" + trailer) == Incomplete("jpeg", "its end is missing")


def test_a_png_may_carry_something_behind_its_end():
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 0, b"IDAT") + bytes(4) + b"\0\0\0\0IEND\xaeB`\x82"
    assert look(data + b"trailer") == Whole("png")
    assert look(data[:-1]) == Incomplete("png", "its end is missing")


@pytest.mark.ffmpeg
def test_an_ogg_without_its_last_page_is_let_pass(folder):
    data = make(folder / "long.ogg", "-f lavfi -i anoisesrc=d=20 -c:a libvorbis")
    assert isinstance(look(data[: data.rindex(b"OggS")]), Unchecked)


@pytest.mark.ffmpeg
def test_an_ogg_whose_last_page_is_not_written_to_its_end_is_incomplete(folder):
    data = make(folder / "short.opus", f"{SOUND} -c:a libopus")
    assert look(data[:-100] + bytes(100)) == Incomplete("ogg", "the last page is damaged")


@pytest.mark.ffmpeg
def test_a_flac_cut_between_two_frames_lacks_samples(folder):
    data = make(folder / "cut.flac", SOUND)
    found = [look(data[:at]) for at in range(len(data) - 20_000, len(data)) if data[at : at + 2] == b"\xff\xf8"]
    assert any(isinstance(one, Incomplete) and "of 144000 samples are missing" in one.reason for one in found)


@pytest.mark.ffmpeg
def test_an_mp3_that_counts_more_bytes_than_there_are_is_incomplete(folder):
    path = folder / "varying.mp3"
    data = path.read_bytes() if path.exists() else make(path, RECIPES["varying.mp3"][0])
    at = len(data) // 2
    # Cut exactly between two frames: only the Xing tag knows.
    from heygemd.intake.structure.frames import mp3_frame_bytes

    here = data.index(b"\xff\xfb")
    while here < at:
        here += mp3_frame_bytes(data, here)
    found = look(data[:here])
    assert isinstance(found, Incomplete)
    assert "bytes are missing" in found.reason


@pytest.mark.ffmpeg
def test_tags_behind_the_frames_do_not_matter(folder):
    data = make(folder / "plain.mp3", f"{SOUND} -b:a 64k")
    ape = struct.pack("<8sIIII8x", b"APETAGEX", 2000, 32, 0, 0)
    assert look(data + ape + b"TAG" + bytes(125)) == Whole("mp3")


HEADS = [
    b"\0\0\0\x18ftypisom", b"\x1a\x45\xdf\xa3", b"OggS\0", b"fLaC\0\0\0\x22", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n",
    b"RIFF\xff\0\0\0WAVE", b"RIFF\xff\0\0\0AVI ", b"RIFF\xff\0\0\0WEBP", b"RF64\xff\xff\xff\xffWAVE",
    b"FORM\0\0\0\xffAIFF",
    b"ID3\x04\0\0\0\0\0\x10", b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80", b"",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=3000), st.integers(1, 3))
@example(b"\0\0\0\x08moov", b"", 1)
@example(b"\x1a\x45\xdf\xa3", b"\x80\x18\x53\x80\x67\xff", 1)
def test_random_bytes_never_break_a_parser(head, rest, times):
    assert isinstance(look(head + rest * times), (Whole, Incomplete, Unchecked))


NUMBERS = st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1))
BOXES = st.lists(
    st.tuples(NUMBERS, st.sampled_from([b"moov", b"trak", b"stbl", b"stco", b"mdat", b"free"])), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(BOXES)
def test_random_boxes_never_break_the_parser(boxes):
    data = b"\0\0\0\x10ftypisom\0\0\0\0" + b"".join(struct.pack(">I4s", size, kind) for size, kind in boxes)
    assert isinstance(look(data), (Whole, Incomplete, Unchecked))


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", ["front.mp4", "pieces.mp4", "film.mkv", "sound.opus", "still.jpg", "still.png"])
def test_a_file_cut_in_its_middle_certainly_lacks_something(folder, name):
    data = make(folder / name, RECIPES[name][0])
    assert find_cut([look(data[: len(data) // 2]).evidence])
    assert find_cut([look(data).evidence]) is None


def test_boxes_may_lie_deeper_than_python_can_call():
    """One such file stopped the look at its whole inbox."""
    nested = b"".join(struct.pack(">I4s", 8 * (20_000 - depth), b"trak") for depth in range(20_000))
    data = b"\0\0\0\x10ftypisom\0\0\0\0" + struct.pack(">I4s", 8 + len(nested), b"moov") + nested
    assert look(data) == Whole("mp4")


HUGE = {
    "boxes": (b"\0\0\0\x10ftypisom\0\0\0\0", b"\0\0\x20\0free" + b"x" * 8184),
    "tiny boxes": (b"\0\0\0\x10ftypisom\0\0\0\0\0\xff\xff\xffmoov", b"\0\0\0\x08trak"),
    "elements": (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff", b"\xec\x81x"),
    "chunks": (b"RIFF\xff\xff\xff\x7fWAVE", b"junk\0\0\0\0"),
    "film chunks": (b"RIFF\xff\xff\xff\0AVI ", b"junk\0\0\0\0"),
    "picture chunks": (b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IDATcrcc"),
    "false syncs": (b"fLaC\x80\0\0\x22" + b"\x10\0" * 17, b"\xff\xf8"),
    "false frames": (b"ID3\x04\0\0\0\x7f\x7f\x7f", b"\xff\xfb\x90\x64"),
    "false segments": (b"\xff\xd8\xff", b"\xe0\0\x02\xff"),
}


@pytest.mark.parametrize("what", HUGE)
def test_no_file_costs_more_than_the_budget(what):
    start, pattern = HUGE[what]
    size, reads = 1 << 30, []

    def read(offset: int, count: int) -> bytes:
        reads.append(count)
        if offset < len(start):
            return (start + pattern * (1 + count // len(pattern)))[offset : offset + count]
        shift = (offset - len(start)) % len(pattern)
        return (pattern * (2 + count // len(pattern)))[shift : shift + count]

    judge(Window(read, size))
    assert sum(reads) <= BUDGET_BYTES
    assert len(reads) <= BUDGET_BYTES // PAGE_BYTES


def test_every_kind_that_is_judged_has_a_test():
    assert {kind for kind, _ in PARSERS.values()} == {kind for _, kind in RECIPES.values()}
