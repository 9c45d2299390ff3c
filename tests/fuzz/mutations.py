"""Changes to a file that has been taken apart: what a careless writer, a broken disk or an attacker might do.

Most keep the file plausible (lengths and sums are made to fit), so that what is changed is read and not skipped.
"""

from collections.abc import Callable
from random import Random

from tests.fuzz import boxes
from tests.fuzz.parts import Part, join, leaves_of, lists_of
from tests.fuzz.seeds import Seed

MAX_BYTES = 2 << 20
"""Of a mutated file: what is beyond is cut off."""
MAX_CHANGES = 4
HEAD_BYTES = 64
"""Numbers that matter stand at the beginning of a part, mostly."""
MENDED_SHARE = 0.8
RAW_SHARE = 0.15
WORDS = (
    *(b"#EXTM3U\n/etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n", b"%n%s%d", b"\x1b[2J", b"\xff" * 40),
    *(b"[error]", b"No space left on device", b"Input/output error", b"Cannot allocate memory", b"frame:1 pts:9\n"),
)
"""Beginnings of playlists, and what our own tools say to each other."""
NESTED_LEVELS = 60
"""At once; a part may be chosen again."""

Mutation = Callable[[list[Part], list[Part], Random], None]
"""Changes `parts`; may take parts of a second file."""


def _place(parts: list[Part], luck: Random) -> tuple[list[Part], int]:
    side = luck.choice(list(lists_of(parts)))
    return side, luck.randrange(len(side))


def _leaf(parts: list[Part], luck: Random) -> Part:
    return luck.choice(list(leaves_of(parts)) or [Part(b"", body=b"\0")])


def drop(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Leave a part out."""
    side, at = _place(parts, luck)
    del side[at]


def repeat(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Write a part more than once; small ones very often."""
    side, at = _place(parts, luck)
    size = max(1, len(side[at].write()))
    times = luck.choice((1, 2, min(3000, MAX_BYTES // 4 // size)))
    side[at:at] = [side[at].copy() for _ in range(times)]


def swap(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Exchange two parts that lie side by side."""
    side, at = _place(parts, luck)
    other = luck.randrange(len(side))
    side[at], side[other] = side[other], side[at]


def move(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Put a part where others lie, perhaps on another level."""
    side, at = _place(parts, luck)
    part = side.pop(at)
    target, place = _place(parts or [Part(b"")], luck)
    target.insert(place, part)


def graft(parts: list[Part], others: list[Part], luck: Random) -> None:
    """Take a part of another file in, beside one or for it."""
    side, at = _place(parts, luck)
    foreign, from_at = _place(others, luck)
    side[at : at + luck.randrange(2)] = [foreign[from_at].copy()]


def rename(parts: list[Part], others: list[Part], luck: Random) -> None:
    """Call a part by the name of another."""
    side, at = _place(parts, luck)
    named, from_at = _place(luck.choice((parts, others)), luck)
    side[at].name = named[from_at].name


def nest(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Put a part into shells of its own kind, a few or very many."""
    side, at = _place(parts, luck)
    shell = side[at]
    for _level in range(luck.choice((1, 5, NESTED_LEVELS))):
        shell = Part(shell.name, shell.seal, shell.body if not shell.inner else b"", [shell], shell.form)
        if len(shell.body) > 256:
            shell.body = b""
    side[at] = shell


def lie(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Write another length than the true one."""
    side, at = _place(parts, luck)
    side[at].lie = luck.choice((-8, -1, 1, 8, 255, 65536, 1 << 24, 1 << 30, -len(side[at].body)))


def empty(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Take the content out of a part, or cut it."""
    part = _leaf(parts, luck)
    part.body = part.body[: luck.choice((0, 1, luck.randrange(len(part.body) + 1)))]


def fatten(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Add bytes to a part."""
    part = _leaf(parts, luck)
    more = luck.choice((1, 7, 1000, 100_000))
    part.body += luck.choice((bytes(more), b"\xff" * more, luck.randbytes(min(more, 1000))))


def number(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Put another number where one may stand."""
    part = _leaf(parts, luck)
    width = luck.choice((1, 2, 4, 8))
    reach = min(len(part.body), luck.choice((HEAD_BYTES, len(part.body))))
    at = luck.randrange(max(1, reach)) // luck.choice((1, width)) * 1
    order = luck.choice(("big", "little"))
    old = int.from_bytes(part.body[at : at + width], order)
    top = 1 << 8 * width
    likely = (0, 1, 2, top - 1, top // 2, top // 2 - 1, luck.randrange(top))
    new = luck.choice((*likely, old + 1, old - 1, old * 2, old // 2, old << 8, -old))
    part.body = part.body[:at] + (new % top).to_bytes(width, order) + part.body[at + width :]


def flip(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Turn some bits of a part over."""
    part = _leaf(parts, luck)
    body = bytearray(part.body)
    for _count in range(luck.choice((1, 3, 20))):
        if body:
            body[luck.randrange(len(body))] ^= 1 << luck.randrange(8)
    part.body = bytes(body)


def text(parts: list[Part], _: list[Part], luck: Random) -> None:
    """Write words of playlists and of our own tools into a part."""
    part = _leaf(parts, luck)
    at = luck.randrange(len(part.body) + 1)
    word = luck.choice(WORDS)
    part.body = part.body[:at] + word + part.body[at + luck.choice((0, len(word))) :]


MUTATIONS: tuple[Mutation, ...] = (
    drop, repeat, swap, move, graft, rename, nest, lie, empty, fatten, number, number, number, number, flip, flip, text
)  # fmt: skip
"""Numbers are what parsers trust most."""


def mutated(seed: Seed, content: bytes, other: bytes, luck: Random) -> bytes:
    """A few changes to a seed's content; `other` is a file of the same format, or of another."""
    parts, others = seed.take_apart(content), seed.take_apart(other) or [Part(b"", body=other)]
    is_mp4 = seed.take_apart is boxes.take_apart
    before = boxes.media_at(parts) if is_mp4 else None
    for _ in range(luck.randrange(1, MAX_CHANGES + 1)):
        if parts:
            luck.choice(MUTATIONS)(parts, others, luck)
    if is_mp4 and luck.random() < MENDED_SHARE:
        boxes.mend(parts, before)
    return _roughened(join(parts), luck)[:MAX_BYTES]


def _roughened(data: bytes, luck: Random) -> bytes:
    """Some files are cut off or damaged as well, without any regard for what they are made of."""
    if luck.random() < RAW_SHARE and data:
        data = data[: luck.randrange(len(data))]
    if luck.random() < RAW_SHARE and data:
        rough = bytearray(data)
        for _ in range(luck.choice((1, 10, 100))):
            rough[luck.randrange(len(rough))] = luck.randrange(256)
        data = bytes(rough)
    return data
