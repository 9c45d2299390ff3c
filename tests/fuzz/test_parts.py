"""What is taken apart is put together as it was, and what is changed stays plausible."""

from contextlib import suppress
from random import Random

import pytest

from heygemd.errors import InputError
from heygemd.media.sniff import sniff
from tests.fuzz import boxes, seeds
from tests.fuzz.frames import ogg_sum
from tests.fuzz.media import Stock, mutants
from tests.fuzz.mutations import MAX_BYTES, MUTATIONS, mutated
from tests.fuzz.parts import Part, join, lists_of

pytestmark = pytest.mark.ffmpeg

LEAST_PARTS = 2
"""A file that is one lump is mutated blindly; a BMP has a head and a body."""


def count(parts: list[Part]) -> int:
    return sum(len(side) for side in lists_of(parts))


def test_every_seed_is_taken_apart_and_put_together_as_it_was(stock: Stock) -> None:
    everything = stock.pictures | stock.sounds
    assert len(everything) >= len(seeds.PICTURES + seeds.SOUNDS) - 4, "this ffmpeg can make too few of the seeds"
    for seed, content in everything.items():
        parts = seed.take_apart(content)
        assert join(parts) == content, seed.name
        assert count(parts) >= LEAST_PARTS, seed.name


def test_mutants_of_one_seed_are_the_same_and_differ_from_each_other(stock: Stock) -> None:
    first, again = ([next(source).data for _ in range(80)] for source in (mutants(stock, "x"), mutants(stock, "x")))
    assert first == again
    assert len(set(first)) > 75
    assert next(mutants(stock, "y")).data != first[0]
    assert max(map(len, first)) <= MAX_BYTES


def test_most_mutants_are_still_taken_for_media(stock: Stock) -> None:
    source, known = mutants(stock, "x"), 0
    for _ in range(100):
        with suppress(InputError):
            known += bool(sniff(next(source).data[: 64 << 10]))
    assert known >= 60


@pytest.mark.parametrize("change", MUTATIONS[:13], ids=lambda change: change.__name__)
def test_every_mutation_changes_something(stock: Stock, change) -> None:
    """Some draws change nothing (a number is put where it stood); most must."""
    changed = 0
    for seed, content in list(stock.pictures.items())[:8]:
        parts = seed.take_apart(content)
        change(parts, seed.take_apart(content), Random(f"{seed.name}"))
        changed += join(parts) != content
    assert changed >= 3


def test_tables_follow_media_that_move(stock: Stock) -> None:
    content = next(content for seed, content in stock.pictures.items() if seed.name == "plain.mp4")
    parts = boxes.take_apart(content)
    before = boxes.media_at(parts)
    parts.insert(1, Part(b"free", parts[0].seal, bytes(1000)))
    boxes.mend(parts, before)
    moved = join(parts)
    at = moved.index(b"stco") + 12
    first = int.from_bytes(moved[at : at + 4], "big")
    old_at = content.index(b"stco") + 12
    assert first == int.from_bytes(content[old_at : old_at + 4], "big") + 1008
    assert moved[first : first + 20] == content[first - 1008 : first - 988]


def test_sums_of_pages_are_those_that_ffmpeg_writes(stock: Stock) -> None:
    content = next(content for seed, content in stock.sounds.items() if seed.name == "vorbis.ogg")
    size = 27 + content[26] + sum(content[27 : 27 + content[26]])
    page = content[:22] + bytes(4) + content[26:size]
    assert ogg_sum(page) == int.from_bytes(content[22:26], "little")


def test_small_files_do_not_grow_without_end(stock: Stock) -> None:
    for seed, content in list(stock.sounds.items())[:3]:
        assert all(len(mutated(seed, content, content, Random(number))) <= MAX_BYTES for number in range(100))
