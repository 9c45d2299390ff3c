"""Nothing that a stranger writes may take long, or end in anything but a sentence."""

import itertools
import random
import time
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygemd.errors import InputError
from heygemd.intake.manifests.expansion import expand
from heygemd.intake.manifests.foldertoml import read_config
from heygemd.intake.manifests.globs import MAX_COMPARISONS, MAX_COMPILED, Files
from heygemd.intake.manifests.model import Manifest
from heygemd.intake.manifests.reading import ManifestLimits, read_manifest
from heygemd.jobs.job import RenderOptions
from tests.fuzz.manifests import GOOD, survives
from tests.fuzz.texts import WORDS

MIB = 1 << 20
SIZE = 8 * MIB
LIMITS = ManifestLimits(max_bytes=SIZE, max_rows=10_000)
MAX_CPU_S = 10.0
"""Ten times what the slowest takes on a slow machine: a quadratic one would take minutes."""
SUFFIXES = ("json", "yaml", "csv", "jsonl")


def filled(unit: str, start: str = "", end: str = "") -> str:
    """Return `start`, then `unit` over and over up to the size limit, then `end`."""
    return start + unit * ((SIZE - len(start) - len(end)) // len(unit.encode())) + end


def numbered(form: str) -> str:
    """Return `form` with rising numbers, up to the size limit."""
    return "".join(form % n for n in range(SIZE // (len(form) + 4)))[:SIZE]


JSON_ROWS = '{"heygem": 1, "jobs": ['
ALIASES = "".join(f"{b}: &{b} [*{a},*{a}]\n" for a, b in itertools.pairwise("abcdefghi"))


def json_rows(rows: Iterable[str]) -> str:
    return JSON_ROWS + ",".join(rows) + "]}"


BOMBS: dict[str, tuple[str, Callable[[], str]]] = {
    "json numbers": ("json", lambda: filled("1,", "[")),
    "json depth": ("json", lambda: filled("[")),
    "json depth of objects": ("json", lambda: filled('{"a":')),
    "json keys": ("json", lambda: numbered('"k%d":1,').join("{}")),
    "json equal keys": ("json", lambda: filled('"k":1,', "{")),
    "json escapes": ("json", lambda: filled("\\n", '"', '"')),
    "json half escapes": ("json", lambda: filled("\\u00", '"')),
    "json open text": ("json", lambda: filled("a", '"')),
    "json digits": ("json", lambda: filled("9", '{"heygem": ', "}")),
    "json blanks": ("json", lambda: filled(" ", "[")),
    "json empty rows in one line": ("json", lambda: filled("{},", JSON_ROWS)),
    "json unknown keys": ("json", lambda: json_rows(f'{{"prioriti{n}": 1}}' for n in range(9999))),
    "json long unknown keys": ("json", lambda: json_rows(f'{{"{n}{"a" * 700}": 1}}' for n in range(9999))),
    "json one long key": ("json", lambda: filled("a", '{"heygem": 1, "', '": 1}')),
    "json long path": ("json", lambda: filled("[", JSON_ROWS + '{"video": "', '"}]}')),
    "json brackets": ("json", lambda: json_rows([f'{{"video": "{("[" * 240 + "/") * 3}"}}'] * 9000)),
    "yaml numbers": ("yaml", lambda: filled("1,", "[")),
    "yaml depth": ("yaml", lambda: filled("[")),
    "yaml depth of objects": ("yaml", lambda: filled("{a: ")),
    "yaml dashes": ("yaml", lambda: filled("- ")),
    "yaml questions": ("yaml", lambda: filled("? ")),
    "yaml items": ("yaml", lambda: filled("- a\n")),
    "yaml keys": ("yaml", lambda: numbered("k%d: 1\n")),
    "yaml tag directives": ("yaml", lambda: numbered("%%TAG !a%d! x\n")),
    "yaml documents": ("yaml", lambda: filled("---\n")),
    "yaml comments": ("yaml", lambda: filled("#\n")),
    "yaml blank lines": ("yaml", lambda: filled("\n")),
    "yaml anchors": ("yaml", lambda: numbered("- &a%d x\n")),
    "yaml alias bomb": ("yaml", lambda: "a: &a [x,x]\n" + ALIASES),
    "yaml open text": ("yaml", lambda: filled("a\n", '"')),
    "yaml colons": ("yaml", lambda: filled("a:")),
    "yaml plain words": ("yaml", lambda: filled("a b ")),
    "yaml folded": ("yaml", lambda: filled(" b\n\n", "a: >\n")),
    "yaml indents": ("yaml", lambda: "".join(" " * n + "a:\n" for n in range(4000))),
    "csv commas": ("csv", lambda: filled(",", "video,audio\n")),
    "csv commas in the header": ("csv", lambda: filled(",")),
    "csv quotes": ("csv", lambda: filled('"', "video,audio\n")),
    "csv open quotes": ("csv", lambda: filled('"a\n', "video,audio\n")),
    "csv short rows": ("csv", lambda: filled("a\n", "video,audio\n")),
    "csv blank lines": ("csv", lambda: filled(" ,\n", "video,audio\n")),
    "csv comments": ("csv", lambda: filled("# striktly: x\n".replace("ik", "ok"))),
    "csv names": ("csv", lambda: numbered("c%d,")),
    "jsonl lines": ("jsonl", lambda: filled("1\n")),
    "jsonl broken lines": ("jsonl", lambda: filled("{\n", "{}\n")),
    "jsonl blank lines": ("jsonl", lambda: filled(" \n")),
    "jsonl depth": ("jsonl", lambda: filled("[" * 20 + "\n", "{}\n")),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_eight_mebibytes_ends_at_once_with_a_sentence(name):
    suffix, make = BOMBS[name]
    data = make().encode()[:SIZE]
    started_s = time.process_time()
    try:
        manifest = read_manifest(data, f"m.heygem.{suffix}", LIMITS)
        assert all(row.error for row in manifest.rows)
    except InputError as error:
        assert error.code in {"E120", "E121", "E122", "E123", "E124", "E125"}
        assert len(error.message) < 400
    assert time.process_time() - started_s < MAX_CPU_S


def test_bytes_that_are_no_text_end_at_once():
    for unit in (b"\xff", b"\xb0\xa1", b"\x81\x30\x81\x30", b"\x00", b"\xe5"):
        started_s = time.process_time()
        with pytest.raises(InputError):
            read_manifest(unit * (SIZE // len(unit)), "m.heygem.csv", LIMITS)
        assert time.process_time() - started_s < MAX_CPU_S


def read_rows(*rows: str) -> Manifest:
    return read_manifest(json_rows(rows).encode(), "m.heygem.json", LIMITS)


def expanded_codes(manifest: Manifest, files: list[str]) -> set[str | None]:
    started_s = time.process_time()
    rows = expand(manifest, stem="m", folder="", files=files, options=RenderOptions(), priority=0)
    assert time.process_time() - started_s < MAX_CPU_S
    return {row.error.code if row.error else None for row in rows}


def test_many_patterns_over_many_files_are_given_up():
    files = [f"{n}.wav" for n in range(20_000)]
    rows = (f'{{"video": "a.mp4", "audio": "*{n}x.wav"}}' for n in range(5000))
    assert expanded_codes(read_rows(*rows), files) == {"E127", "E125"}


def test_many_costly_patterns_are_given_up():
    rows = (f'{{"video": "a.mp4", "audio": "*{"a*b?" * 40}{n}.wav"}}' for n in range(3 * MAX_COMPILED))
    assert expanded_codes(read_rows(*rows), ["ab" * 120 + ".wav"]) == {"E127", "E125"}


def test_patterns_that_each_fit_everything_are_given_up():
    files = [f"{n % 7}/{n}.wav" for n in range(11_000)]
    assert expanded_codes(read_rows(*['{"video": "a.mp4", "audio": "**"}'] * 2000), files) == {"E125"}
    rows = (f'{{"video": "a.mp4", "audio": "{"**/" * n}*"}}' for n in range(1, 1000))
    assert expanded_codes(read_rows(*rows), files) == {"E125"}


@pytest.mark.parametrize(
    "pattern", ["**/" * 1000 + "x", "*a" * 120 + "b", "**/a/" * 500 + "x", "[" * 200 + "]", "?" * 250]
)
def test_no_pattern_takes_long(pattern):
    paths = ["a/" * 100 + "a" * 200 + f"{n}.wav" for n in range(300)]
    started_s = time.process_time()
    assert Files(paths).fitting(pattern) == []
    assert time.process_time() - started_s < MAX_CPU_S


def test_files_that_were_asked_too_much_say_so():
    files = Files([f"{n}.wav" for n in range(1000)])
    assert len(files.fitting("*.wav")) == 1000
    assert not files.is_exhausted
    for n in range(MAX_COMPARISONS // 1000 + 1):
        files.fitting(f"*{n}.mp3")
    assert files.is_exhausted
    assert files.fitting("*.wav") == []


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 60_000,
        ".".join(["a"] * 30_000) + " = 1",
        "a = 0x" + "f" * 60_000,
        "a = " + "9" * 60_000,
        "[a]\n" * 15_000,
        "a=1\n" * 15_000,
        "a" * 60_000,
    ],
)
def test_a_config_that_is_a_bomb_ends_at_once(text):
    started_s = time.process_time()
    with pytest.raises(InputError):
        read_config(text.encode())
    assert time.process_time() - started_s < MAX_CPU_S


# Fuzzing ------------------------------------------------------------------------------------------------------------

SOUPS = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_give_rows_or_a_sentence(data):
    survives(data)


@settings(max_examples=200, deadline=None)
@given(SOUPS)
def test_soups_of_known_words_give_rows_or_a_sentence(text):
    survives(text.encode("utf-8"))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SUFFIXES), st.randoms(use_true_random=False), st.integers(1, 4))
def test_mutated_manifests_give_rows_or_a_sentence(suffix, luck: random.Random, changes):
    data = bytearray(GOOD[suffix])
    for _ in range(changes):
        at = luck.randrange(len(data) + 1)
        word = luck.choice(WORDS).encode() if luck.random() < 0.7 else bytes([luck.randrange(256)])
        data[at : at + luck.choice((0, 1, len(word), 10))] = word
    survives(bytes(data))


def test_the_manifests_that_are_mutated_are_good():
    for suffix, data in GOOD.items():
        assert not any(row.error for row in read_manifest(data, f"m.heygem.{suffix}", LIMITS).rows)
