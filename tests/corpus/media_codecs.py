"""Odd but good films: every codec and container that somebody still uses; and HDR, which is refused."""

import zlib
from collections.abc import Iterator

from tests.corpus.case import Answer, Case, rejects, renders
from tests.corpus.kit import QUICK, Content, Kit

GROUP = "codecs"
X264 = ("-c:v", "libx264", *QUICK)
PIXELS = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1")
FIRST = ("-frames:v", "1")
OFTEN = frozenset(["hevc-10-bit", "prores", "vp9-webm", "av1-mp4", "yuv444", "mxf-mpeg2"])


def cases(kit: Kit) -> Iterator[Case]:
    """All of them."""
    for name, (story, suffix, content, answer) in _codecs(kit).items():
        yield kit.picture(name, story, answer, suffix, content, group=GROUP, is_slow=name not in OFTEN)


Row = tuple[str, str, Content, Answer]
GOOD = renders("take.mp4")


def recipe(
    kit: Kit,
    story: str,
    suffix: str,
    *words: str,
    answer: Answer = GOOD,
    size: str = "64x64",
    rate: str = "25",
    seconds: float = 0.4,
) -> Row:
    """One recipe; goods are kept under a name made of everything that tells them apart."""
    tag = zlib.crc32(repr((words, size, rate, seconds)).encode())
    return (
        story, suffix,
        lambda: kit.film(f"odd-{tag:08x}.{suffix}", *words, size=size, rate=rate, seconds=seconds).read_bytes(), answer,
    )  # fmt: skip


def _codecs(kit: Kit) -> dict[str, Row]:
    def film(*words: str) -> Row:
        return recipe(kit, *words)

    def tagged(story: str, space: str) -> Row:
        tags = ("-color_primaries", space, "-colorspace", space, "-color_trc", space, "-color_range", "tv")
        answer = renders("take.mp4", matrix=space, primaries=space, transfer=space, colour_range="tv")
        return recipe(kit, story, "mp4", *X264, *tags, answer=answer)

    hdr = (
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p10le",
        "-color_primaries",
        "bt2020",
        "-colorspace",
        "bt2020nc",
    )
    return {
        "hevc": film("8-bit HEVC", "mp4", *X265, "-pix_fmt", "yuv420p"),
        "hevc-10-bit": film("10-bit HEVC of a phone", "mov", *X265, "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1"),
        "prores": film("ProRes 422 HQ", "mov", "-c:v", "prores_ks", "-profile:v", "3"),
        "prores-alpha": film(
            "ProRes 4444 with alpha", "mov", "-c:v", "prores_ks", "-profile:v", "4", "-pix_fmt", "yuva444p10le"
        ),
        "dnxhr": film("DNxHR in MOV", "mov", "-s", "256x128", "-c:v", "dnxhd", "-profile:v", "dnxhr_lb"),
        "vp8-webm": film("VP8 of a browser", "webm", "-c:v", "libvpx"),
        "vp9-webm": film("VP9", "webm", "-c:v", "libvpx-vp9", "-deadline", "realtime"),
        "vp9-alpha": film(
            "VP9 with alpha", "webm", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-pix_fmt", "yuva420p"
        ),
        "av1-mp4": film("AV1", "mp4", "-c:v", "libsvtav1", "-preset", "12"),
        "av1-webm": film("AV1 in WebM", "webm", "-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime"),
        "mpeg4-avi": film("MPEG-4 with B-frames in AVI", "avi", "-c:v", "mpeg4", "-bf", "2"),
        "xvid-avi": film("Xvid in AVI", "avi", "-c:v", "libxvid"),
        "mjpeg-avi": film("Motion JPEG of a camera", "avi", "-c:v", "mjpeg"),
        "huffyuv-avi": film("HuffYUV", "avi", "-c:v", "huffyuv"),
        "raw-avi": film("AVI without compression", "avi", "-c:v", "rawvideo", "-pix_fmt", "bgr24"),
        "ffv1-mkv": film("FFV1 in Matroska", "mkv", "-c:v", "ffv1"),
        "qtrle-mov": film("QuickTime animation with alpha", "mov", "-c:v", "qtrle", "-pix_fmt", "argb"),
        "png-mov": film("PNG frames in MOV, of a sane size", "mov", "-c:v", "png"),
        "cinepak-mov": film("Cinepak of the nineties", "mov", "-c:v", "cinepak"),
        "mpeg1-mpg": film("MPEG-1", "mpg", "-c:v", "mpeg1video"),
        "mpeg2-mpg": film("MPEG-2 program stream", "mpg", "-c:v", "mpeg2video", "-f", "vob"),
        "mxf-mpeg2": film("MXF of a broadcast camera", "mxf", "-c:v", "mpeg2video"),
        "wmv2": film("Windows Media", "wmv", "-c:v", "wmv2"),
        "flv1": film("Flash video", "flv", "-c:v", "flv"),
        "h264-flv": film("H.264 in FLV: a recorded live stream", "flv", *X264),
        "theora-ogv": film("Theora", "ogv", "-c:v", "libtheora"),
        "mpeg4-3gp": film("3GP of an old phone", "3gp", "-c:v", "mpeg4"),
        "h264-m4v": film("M4V", "m4v", *X264),
        "h264-m2ts": film("M2TS of a camcorder", "m2ts", *X264, "-mpegts_m2ts_mode", "1"),
        "yuv444": film("4:4:4", "mp4", *PIXELS, "yuv444p"),
        "yuv422-10": film("10-bit 4:2:2", "mp4", *PIXELS, "yuv422p10le"),
        "gray": film("gray", "mp4", *PIXELS, "gray"),
        "rgb": film("H.264 in RGB", "mp4", "-c:v", "libx264rgb", "-preset", "ultrafast"),
        "full-range": recipe(
            kit, "full range (yuvj420p)", "mp4", *PIXELS, "yuvj420p", answer=renders("take.mp4", colour_range="pc")
        ),
        "bt601-ntsc": tagged("the colours of NTSC, which many programs take for those of HD", "smpte170m"),
        "bt709": tagged("the colours of HD", "bt709"),
        "bt2020-sdr": recipe(
            kit,
            "BT.2020 with an SDR transfer",
            "mp4",
            *X264,
            "-color_primaries",
            "bt2020",
            "-colorspace",
            "bt2020nc",
            "-color_trc",
            "bt2020-10",
            answer=renders("take.mp4", matrix="bt2020nc", primaries="bt2020", transfer="bt2020-10"),
        ),
        "hdr-pq": recipe(
            kit,
            "HDR10 (PQ)",
            "mp4",
            *hdr,
            "-color_trc",
            "smpte2084",
            "-x265-params",
            "log-level=none:pools=1",
            answer=rejects("E104"),
        ),
        "hdr-hlg": recipe(
            kit,
            "HDR of a phone (HLG)",
            "mov",
            *hdr,
            "-color_trc",
            "arib-std-b67",
            "-x265-params",
            "log-level=none:pools=1",
            answer=rejects("E104"),
        ),
    }
