"""Odd but good pictures: what phones, cameras, editors and recorders write. Every one of them must become a film."""

from collections.abc import Iterator

from tests.corpus.case import Case, rejects, renders
from tests.corpus.kit import Kit
from tests.corpus.media_codecs import FIRST, GOOD, X264, Row, recipe

FILMS = "odd but good films"
OFTEN = frozenset(
    [
        "rotated-90",
        "vfr-mp4",
        "hevc-10-bit",
        "prores",
        "vp9-webm",
        "av1-mp4",
        "odd-size",
        "yuv444",
        "interlaced-ts",
        "two-frames",
        "mkv-attachment",
        "jpeg-exif-6",
        "png-alpha",
        "webp",
        "mxf-mpeg2",
        "sar-anamorphic",
        "mp4-cover",
    ]
)


def cases(kit: Kit) -> Iterator[Case]:
    """All of them, and HDR, which is refused: its colours would be wrong."""
    for name, (story, suffix, content, answer) in {
        **_clocks(kit),
        **_shapes(kit),
        **_cargo(kit),
    }.items():
        yield kit.picture(name, story, answer, suffix, content, group=FILMS, is_slow=name not in OFTEN)


def _clocks(kit: Kit) -> dict[str, Row]:
    def at(rate: str, fps: str, frames: int) -> Row:
        return recipe(
            kit, f"{rate} frames a second", "mp4", *X264, rate=rate, answer=renders("take.mp4", fps=fps, frames=frames)
        )

    vfr = (
        "-vf",
        "setpts='N/25/TB+if(gt(N,4),0.03,0)+0.011*mod(N,3)/TB'",
        "-fps_mode",
        "vfr",
        "-video_track_timescale",
        "90000",
    )
    return {
        "fps-23-976": at("24000/1001", "24000/1001", 24),
        "fps-29-97": at("30000/1001", "30000/1001", 30),
        "fps-59-94": at("60000/1001", "60000/1001", 60),
        "fps-50": at("50", "50", 50),
        "fps-120": recipe(kit, "120 frames a second", "mp4", *X264, rate="120"),
        "fps-9": recipe(
            kit, "9 frames a second", "mp4", *X264, rate="9", seconds=1, answer=renders("take.mp4", fps="9", frames=9)
        ),
        "fps-1": recipe(kit, "1 frame a second", "mp4", *X264, rate="1", seconds=4),
        "vfr-mp4": recipe(kit, "variable frame rate of a phone", "mp4", *X264, *vfr),
        "vfr-mkv": recipe(kit, "variable frame rate in Matroska: milliseconds", "mkv", *X264, *vfr[:4], rate="30"),
        "one-frame": recipe(kit, "a film of one frame", "mp4", *X264, *FIRST),
        "two-frames": recipe(kit, "a film of two frames", "mp4", *X264, seconds=0.08),
        "one-second": recipe(kit, "a film of one second", "mp4", *X264, seconds=1),
        "starts-late": recipe(kit, "time begins after an hour", "ts", *X264, "-output_ts_offset", "3600"),
        "starts-early": recipe(
            kit, "time begins before zero", "mkv", *X264, "-output_ts_offset", "-0.2", "-avoid_negative_ts", "disabled"
        ),
        "time-wraps": recipe(
            kit, "time wraps within the recording (33 bits)", "ts", *X264, "-output_ts_offset", "95443.5", seconds=2
        ),
        "edit-list": recipe(
            kit,
            "B-frames, and an edit list that hides their delay",
            "mp4",
            "-c:v",
            "libx264",
            "-bf",
            "3",
            "-pix_fmt",
            "yuv420p",
        ),
        "open-gop": recipe(
            kit,
            "open groups of pictures",
            "mp4",
            "-c:v",
            "libx264",
            "-x264-params",
            "open-gop=1:keyint=5:bframes=2",
            "-pix_fmt",
            "yuv420p",
            seconds=1,
        ),
        "fragments": recipe(
            kit, "fragmented MP4 of a browser", "mp4", *X264, "-movflags", "+frag_keyframe+empty_moov+default_base_moof"
        ),
        "faststart": recipe(kit, "moov first", "mp4", *X264, "-movflags", "+faststart"),
        "live-mkv": recipe(kit, "Matroska of a live recorder: no lengths", "mkv", *X264, "-live", "1"),
        "live-webm": recipe(
            kit, "WebM of a browser's recorder: no length, no index", "webm", "-c:v", "libvpx", "-live", "1"
        ),
        "gap": recipe(
            kit, "20 s between two frames: a paused recorder", "mkv", *X264, "-vf", "setpts=PTS+gte(N\\,5)*20/TB"
        ),
        "day-long-gap": recipe(
            kit,
            "two frames that lie 100,000 s apart, in 11 kB",
            "mkv",
            *X264,
            "-vf",
            "setpts=PTS+gte(N\\,5)*100000/TB",
            answer=rejects("E105"),
        ),
        "day-long-gap-mp4": recipe(
            kit,
            "the same in MP4",
            "mp4",
            *X264,
            "-vf",
            "setpts=PTS+gte(N\\,5)*100000/TB",
            "-fps_mode",
            "vfr",
            answer=rejects("E105"),
        ),
        "hour-long-gap": recipe(
            kit,
            "two frames an hour apart",
            "mkv",
            *X264,
            "-vf",
            "setpts=PTS+gte(N\\,5)*3600/TB",
            answer=rejects("E105"),
        ),
    }


def _shapes(kit: Kit) -> dict[str, Row]:
    def rotated(degrees: int, width: int, height: int) -> Row:
        def content() -> bytes:
            flat = kit.film("wide.mp4", *X264, size="96x64")
            words = ("-i", str(flat), "-c", "copy", "-metadata:s:v", f"rotate={degrees}")
            return kit.made(f"rotated{degrees}.mp4", *words).read_bytes()

        return f"a phone held at {degrees}°", "mp4", content, renders("take.mp4", width_px=width, height_px=height)

    def sized(story: str, size: str, width: int, height: int) -> Row:
        scale = ("-vf", f"scale={size.replace('x', ':')},format=yuv444p")  # the generator gives even sizes only
        answer = renders("take.mp4", width_px=width, height_px=height)
        return recipe(kit, story, "mp4", *scale, "-c:v", "libx264", "-preset", "ultrafast", size=size, answer=answer)

    interlaced = ("-vf", "tinterlace=interleave_top,fieldorder=tff", "-flags", "+ildct+ilme")
    return {
        "rotated-90": rotated(90, 64, 96),
        "rotated-180": rotated(180, 96, 64),
        "rotated-270": rotated(270, 64, 96),
        "odd-size": sized("641 x 361", "641x361", 642, 362),
        "odd-width": sized("an odd width", "65x64", 66, 64),
        "tall": sized("a strip", "64x1200", 64, 1200),
        "wide": sized("a banner", "1600x64", 1600, 64),
        "tiny": sized("16 x 16", "16x16", 16, 16),
        "full-hd": sized("1080p: not a whole number of blocks", "1920x1080", 1920, 1080),
        "upright-hd": sized("upright", "1080x1920", 1080, 1920),
        "sar-anamorphic": recipe(
            kit,
            "PAL of 16:9: pixels that are no squares",
            "mpg",
            "-c:v",
            "mpeg2video",
            "-aspect",
            "16:9",
            "-f",
            "vob",
            size="720x576",
            answer=renders("take.mp4", sample_aspect="64:45"),
        ),
        "sar-mp4": recipe(
            kit,
            "an MP4 whose pixels are no squares",
            "mp4",
            *X264,
            "-aspect",
            "2:1",
            size="128x96",
            answer=renders("take.mp4", sample_aspect="3:2"),
        ),
        "interlaced-ts": recipe(
            kit, "interlaced MPEG-2 of a broadcast", "ts", *interlaced, "-c:v", "mpeg2video", rate="50"
        ),
        "interlaced-h264": recipe(
            kit, "interlaced H.264", "mp4", *interlaced, *X264, "-x264-params", "tff=1", rate="50"
        ),
        "black": (
            "nothing but black",
            "mp4",
            lambda: kit.made("black.mp4", "-f", "lavfi", "-i", "color=black:s=64x64:d=0.4", *X264).read_bytes(),
            GOOD,
        ),
    }


def _cargo(kit: Kit) -> dict[str, Row]:
    """Films that carry more than a picture."""
    face, blip = kit.folder / "face.mp4", kit.folder / "blip.wav"

    def cargo(name: str, story: str, *words: str, files: tuple[tuple[str, bytes], ...] = ()) -> Row:
        def content() -> bytes:
            kit.film("face.mp4")
            kit.voice("blip.wav", seconds=0.4)
            kit.film("still.png", *FIRST)
            for file, data in files:
                (kit.folder / file).write_bytes(data)
            return kit.made(f"cargo-{name}", "-i", str(face), *words).read_bytes()

        return story, name.rpartition(".")[2], content, GOOD

    folder = kit.folder
    srt = b"1\n00:00:00,000 --> 00:00:00,300\nwords\n"
    copy = ("-map", "0:v", "-c:v", "copy")
    marks = b";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=one\n"
    return {
        "mkv-sounds": cargo(
            "sounds.mkv",
            "Matroska with three sounds",
            "-i",
            str(blip),
            *copy,
            "-map",
            "1:a",
            "-map",
            "1:a",
            "-map",
            "1:a",
            "-c:a",
            "aac",
        ),
        "sound-first": cargo("first.mkv", "the sound is the first stream", "-i", str(blip), "-map", "1:a", *copy),
        "mkv-subtitles": cargo(
            "subtitles.mkv",
            "Matroska with subtitles",
            "-i",
            str(folder / "s.srt"),
            *copy,
            "-map",
            "1:s",
            "-c:s",
            "ass",
            files=(("s.srt", srt),),
        ),
        "mp4-subtitles": cargo(
            "subtitles.mp4",
            "MP4 with subtitles",
            "-i",
            str(folder / "s.srt"),
            *copy,
            "-map",
            "1:s",
            "-c:s",
            "mov_text",
            files=(("s.srt", srt),),
        ),
        "mkv-attachment": cargo(
            "attached.mkv",
            "Matroska with a font in it",
            *copy,
            "-attach",
            str(folder / "font.ttf"),
            "-metadata:s:t",
            "mimetype=application/x-truetype-font",
            files=(("font.ttf", b"\0\1\0\0" + bytes(400)),),
        ),
        "mp4-cover": cargo(
            "cover.mp4",
            "MP4 with a cover",
            "-i",
            str(folder / "still.png"),
            *copy,
            "-map",
            "1:v",
            "-disposition:v:1",
            "attached_pic",
        ),
        "mp4-chapters": cargo(
            "chapters.mp4",
            "MP4 with chapters",
            "-i",
            str(folder / "m.txt"),
            *copy,
            "-map_metadata",
            "1",
            files=(("m.txt", marks),),
        ),
        "mov-timecode": cargo("timecode.mov", "MOV with a timecode track", *copy, "-timecode", "01:00:00:00"),
        "two-pictures": cargo("two.mkv", "two pictures: the first is taken", "-i", str(face), *copy, "-map", "1:v"),
        "mp4-tags": cargo(
            "tags.mp4",
            "long tags in Chinese, and control characters",
            *copy,
            "-metadata",
            "title=" + "数字人" * 300,
            "-metadata",
            "comment=a\x1b[31mb\nc",
        ),
        "film-with-its-sound": cargo(
            "spoken.mp4", "a film with a voice of its own", "-i", str(blip), *copy, "-map", "1:a", "-c:a", "aac"
        ),
    }
