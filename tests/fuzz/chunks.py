"""Chunks with a name and a length: RIFF and AIFF, CAF, W64, ASF, PNG; FLV tags are nearly the same."""

import zlib

from tests.fuzz.parts import Part, bare, unsigned, unsigned_little

RIFF_HOLDERS = (b"RIFF", b"RF64", b"LIST", b"FORM")
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
ASF_HOLDERS = {ASF_HEADER: 6, ASF_EXTENSION: 22}
GUID_HEAD_BYTES = 24
PNG_MAGIC_BYTES = 8
PNG_FRAME_BYTES = 12
FLV_HEAD_BYTES = 13
FLV_TAG_BYTES = 15
CAF_HEAD_BYTES = 8
CAF_CHUNK_BYTES = 12


def _seal_riff(part: Part, content: bytes) -> bytes:
    return part.name + unsigned_little(len(content) + part.lie, 4) + content + bytes(len(content) % 2)


def _seal_form(part: Part, content: bytes) -> bytes:
    return part.name + unsigned(len(content) + part.lie, 4) + content + bytes(len(content) % 2)


def take_riff_apart(data: bytes) -> list[Part]:
    """RIFF and its kin; `FORM` files (AIFF) count the other way round."""
    return _riff(data, is_form=data.startswith(b"FORM"))


def _riff(data: bytes, *, is_form: bool) -> list[Part]:
    parts, at = [], 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big" if is_form else "little")
        end = at + 8 + size
        content = data[at + 8 : end]
        if end + size % 2 > len(data) or data[end : end + size % 2] != bytes(size % 2):
            break
        seal = _seal_form if is_form else _seal_riff
        if name in RIFF_HOLDERS:
            parts.append(Part(name, seal, content[:4], _riff(content[4:], is_form=is_form)))
        else:
            parts.append(Part(name, seal, content))
        at = end + size % 2
    return [*parts, *([Part(b"", bare, data[at:])] if at < len(data) else [])]


def _seal_caf(part: Part, content: bytes) -> bytes:
    return part.name + unsigned(len(content) + part.lie, 8) + content


def take_caf_apart(data: bytes) -> list[Part]:
    """CAF: a short head, then chunks with lengths of 64 bits."""
    parts, at = [Part(b"caff", bare, data[:CAF_HEAD_BYTES])], CAF_HEAD_BYTES
    while at + CAF_CHUNK_BYTES <= len(data):
        size = int.from_bytes(data[at + 4 : at + CAF_CHUNK_BYTES], "big")
        if at + CAF_CHUNK_BYTES + size > len(data):
            break
        start = at + CAF_CHUNK_BYTES
        parts.append(Part(data[at : at + 4], _seal_caf, data[start : start + size]))
        at = start + size
    return [*parts, *([Part(b"", bare, data[at:])] if at < len(data) else [])]


def _seal_guid(part: Part, content: bytes) -> bytes:
    return part.name + unsigned_little(GUID_HEAD_BYTES + len(content) + part.lie, 8) + content


def take_guids_apart(data: bytes) -> list[Part]:
    """ASF objects; also the chunks of W64, whose padding then counts as content of none."""
    parts, at = [], 0
    while at + GUID_HEAD_BYTES <= len(data):
        name, size = data[at : at + 16], int.from_bytes(data[at + 16 : at + GUID_HEAD_BYTES], "little")
        if size < GUID_HEAD_BYTES or at + size > len(data):
            break
        content = data[at + GUID_HEAD_BYTES : at + size]
        own = ASF_HOLDERS.get(name, len(content))
        parts.append(Part(name, _seal_guid, content[:own], take_guids_apart(content[own:])))
        at += size
    return [*parts, *([Part(b"", bare, data[at:])] if at < len(data) else [])]


def take_w64_apart(data: bytes) -> list[Part]:
    """W64: one outermost chunk `riff` whose content begins with `wave`, then chunks that begin at multiples of 8."""
    parts, at = [Part(b"riff", bare, data[:40])], 40
    while at + GUID_HEAD_BYTES <= len(data):
        size = int.from_bytes(data[at + 16 : at + GUID_HEAD_BYTES], "little")
        if size < GUID_HEAD_BYTES or at + size > len(data):
            break
        parts.append(Part(data[at : at + 16], _seal_guid, data[at + GUID_HEAD_BYTES : at + size]))
        padding = -size % 8
        if padding:
            parts.append(Part(b"pad", bare, data[at + size : at + size + padding]))
        at += size + padding
    return [*parts, *([Part(b"", bare, data[at:])] if at < len(data) else [])]


def _seal_png(part: Part, content: bytes) -> bytes:
    return unsigned(len(content) + part.lie, 4) + part.name + content + unsigned(zlib.crc32(part.name + content), 4)


def take_png_apart(data: bytes) -> list[Part]:
    """PNG: chunks with a sum behind each, which is always right."""
    parts, at = [Part(b"png", bare, data[:PNG_MAGIC_BYTES])], PNG_MAGIC_BYTES
    while at + PNG_FRAME_BYTES <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if at + PNG_FRAME_BYTES + size > len(data):
            break
        parts.append(Part(data[at + 4 : at + 8], _seal_png, data[at + 8 : at + 8 + size]))
        at += PNG_FRAME_BYTES + size
    return [*parts, *([Part(b"", bare, data[at:])] if at < len(data) else [])]


def _seal_flv(part: Part, content: bytes) -> bytes:
    """`body`: 7 bytes of stamp and stream, then the media."""
    size = len(content) - 7
    return part.name + unsigned(size + part.lie, 3) + content + unsigned(size + 11 + part.lie, 4)


def take_flv_apart(data: bytes) -> list[Part]:
    """FLV: a head and tags, each followed by its length."""
    parts, at = [Part(b"FLV", bare, data[:FLV_HEAD_BYTES])], FLV_HEAD_BYTES
    while at + FLV_TAG_BYTES <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        end = at + FLV_TAG_BYTES + size
        if end > len(data) or data[end - 4 : end] != unsigned(size + 11, 4):
            break
        parts.append(Part(data[at : at + 1], _seal_flv, data[at + 4 : end - 4]))
        at = end
    return [*parts, *([Part(b"", bare, data[at:])] if at < len(data) else [])]
