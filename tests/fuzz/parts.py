"""A file taken apart into the pieces that its format is made of, and put together with lengths and sums that fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Seal = Callable[["Part", bytes], bytes]
"""Writes one part around its content: the header before it, padding or a sum behind it."""


def bare(part: Part, content: bytes) -> bytes:
    """Write what has no header of its own."""
    return content


@dataclass(slots=True)
class Part:
    """One box, chunk, element, page, segment or frame."""

    name: bytes
    """What the format calls it; parts of one name are of one kind."""
    seal: Seal = bare
    body: bytes = b""
    """What it holds itself, before its inner parts."""
    inner: list[Part] = field(default_factory=list)
    form: bytes = b""
    """How its header was written, where a format knows several ways."""
    lie: int = 0
    """Added to the length in its header."""

    def write(self) -> bytes:
        """The part as it lies in a file."""
        return self.seal(self, self.body + join(self.inner))

    def copy(self) -> Part:
        """One like it, all the way down."""
        inner = [part.copy() for part in self.inner]
        return Part(self.name, self.seal, self.body, inner, self.form, self.lie)


def join(parts: list[Part]) -> bytes:
    """The file that these parts make."""
    return b"".join(part.write() for part in parts)


def lists_of(parts: list[Part]) -> Iterator[list[Part]]:
    """Every list of parts that lie side by side, the outermost first; empty ones are left out."""
    if parts:
        yield parts
    for part in parts:
        yield from lists_of(part.inner)


def leaves_of(parts: list[Part]) -> Iterator[Part]:
    """Every part that holds bytes of its own."""
    for part in parts:
        if part.body:
            yield part
        yield from leaves_of(part.inner)


def unsigned(number: int, width_bytes: int) -> bytes:
    """The number in this many bytes, big-endian, cut to what fits."""
    return (number % (1 << 8 * width_bytes)).to_bytes(width_bytes, "big")


def unsigned_little(number: int, width_bytes: int) -> bytes:
    """The number in this many bytes, little-endian, cut to what fits."""
    return unsigned(number, width_bytes)[::-1]
