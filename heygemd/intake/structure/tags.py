"""Tags that players put before and behind the frames of an MP3, AAC or FLAC file."""

from heygemd.intake.structure.window import Window

_ID3V2_BYTES, _ID3V1_BYTES, _APE_BYTES = 10, 128, 32
_HAS_FOOTER = 0x10
_HAS_APE_HEADER = 0x80


def skip_id3(window: Window) -> int:
    """Return where the audio begins: behind an ID3v2 tag, if there is one."""
    head = window.at(0, _ID3V2_BYTES)
    if len(head) < _ID3V2_BYTES or not head.startswith(b"ID3"):
        return 0
    size = 0
    for byte in head[6:]:
        size = size << 7 | byte & 0x7F
    return _ID3V2_BYTES + size + (_ID3V2_BYTES if head[5] & _HAS_FOOTER else 0)


def stop_before_tags(window: Window) -> int:
    """Return where the audio ends: before an ID3v1 and an APE tag, if they are there."""
    stop = window.size_bytes
    if window.tail(stop, _ID3V1_BYTES).startswith(b"TAG"):
        stop -= _ID3V1_BYTES
    footer = window.tail(stop, _APE_BYTES)
    if footer.startswith(b"APETAGEX") and len(footer) == _APE_BYTES:
        stop -= int.from_bytes(footer[12:16], "little") + (_APE_BYTES if footer[23] & _HAS_APE_HEADER else 0)
    return max(stop, 0)
