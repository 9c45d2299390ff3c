"""From bytes to text, without guessing: UTF-8, UTF-16 with BOM, GB18030 when declared or unambiguous. Pure."""

import codecs
import re

from heygemd.intake.manifests.tree import FlawError

_DECLARATION = re.compile(rb"#\s*(?:-\*-\s*)?(?:file)?(?:en)?coding\s*[:=]\s*([-\w]+)", re.IGNORECASE)
_FIRST_LINE_BYTES = 200
_DECLARABLE = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "gb18030": "gb18030",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "cp936": "gb18030",
}
"""GB18030 contains the older ones."""
_ADVICE = "save it as UTF-8"
_PUNCTUATION_ROWS = (0xA1, 0xA3)
"""Of GB 2312: signs, and letters of full width; not Greek, Cyrillic, kana and frames, which betray another encoding."""
_COMMON_ROWS = range(0xB0, 0xD8)
"""Of GB 2312: the 3,755 most frequent characters. The rarer 3,008 follow."""
_RARE_ROWS = range(0xD8, 0xF8)


def decode(data: bytes, *, may_declare: bool) -> str:
    """Return the text without BOM; raises FlawError E120.

    `may_declare`: the format has comments, and `# encoding: gb18030` in the first line counts.
    """
    text = _decoded(data, may_declare=may_declare).removeprefix("\ufeff")
    nul = text.find("\0")
    if nul >= 0:
        raise FlawError("E120", f"line {text.count(chr(10), 0, nul) + 1} holds a zero byte: this is no text")
    return text


def _decoded(data: bytes, *, may_declare: bool) -> str:
    if data.startswith(codecs.BOM_UTF8):
        return _strictly(data, "utf-8", "has the mark of UTF-8")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _strictly(data, "utf-16", "has the mark of UTF-16")
    declared = _DECLARATION.match(data[:_FIRST_LINE_BYTES]) if may_declare else None
    if declared is not None:
        name = declared[1].decode("ascii", "replace").lower()
        if name not in _DECLARABLE:
            raise FlawError("E120", f"the encoding {name[:40]} is not known (utf-8 and gb18030 are): {_ADVICE}")
        return _strictly(data, _DECLARABLE[name], f"says that it is {name}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _as_chinese(data, error.start, may_declare=may_declare)


def _strictly(data: bytes, encoding: str, claim: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise FlawError("E120", f"the file {claim}, but it is not valid at byte {error.start}: {_ADVICE}") from error


def _as_chinese(data: bytes, bad: int, *, may_declare: bool) -> str:
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        text = ""
    if text and _is_plain_chinese(text):
        return text
    line = data.count(b"\n", 0, bad) + 1
    hint = ", or begin it with the line # encoding: gb18030 if that is what it is" if may_declare else ""
    raise FlawError("E120", f"line {line} is not UTF-8 (byte {bad}): {_ADVICE}{hint}")


def _is_plain_chinese(text: str) -> bool:
    """Tell whether nobody could mean another encoding: ASCII and signs of GB 2312, most of them frequent ones.

    Western and Cyrillic text that happens to be valid GB18030 comes out as rare characters.
    """
    common = rare = 0
    for char in set(text):
        if char.isascii():
            if not char.isprintable() and char not in "\t\r\n":
                return False
            continue
        try:
            row, *_ = char.encode("gb2312")
        except UnicodeEncodeError:
            return False
        if row in _COMMON_ROWS:
            common += 1
        elif row in _RARE_ROWS:
            rare += 1
        elif row not in _PUNCTUATION_ROWS:
            return False
    return common > 0 and common >= rare
