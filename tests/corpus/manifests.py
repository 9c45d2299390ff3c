"""Manifests as programs, spreadsheets and attackers write them. Each lies beside the same few files.

A manifest that cannot be used at all is one failed job with its code; a row that cannot be used has its code in the
report, and the good rows run. Texts that other readers take for something else (`no`, `12:30`, `007`) stay texts.
"""

import codecs
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.corpus.case import Answer, Case, rejects, renders, waits
from tests.corpus.plain import picture, put, sound

GROUP = "manifests"
MIB = 1 << 20
MEMBERS = ("b.wav", "c.wav", "no.wav", "12:30.wav", "007.wav", "张伟.wav")
"""The sounds beside every manifest; the picture is `a.png`."""
HEAD = '{"heygem": 1, "jobs": ['
GOOD = '{"video": "a.png", "audio": "b.wav"}'
ONE = "m/b.mp4"
"""The film of `GOOD`."""
ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine levels of nine: 400 million when they are written out."""


def cases() -> Iterator[Case]:
    """Yield every case of manifests."""
    for kind, texts in (("json", _json()), ("yaml", _yaml()), ("csv", _csv()), ("jsonl", _lines())):
        for name, (text, answer, story) in texts.items():
            yield _case(f"{kind}-{name}", kind, text, answer, story)
    for name, (kind, data, answer, story) in _encodings().items():
        yield _case(f"text-{name}", kind, data, answer, story)
    for name, (data, answer, story) in _bombs().items():
        yield _case(f"bomb-{name}", name.partition("-")[0], data, answer, story)
    for name, (row, answer, story) in _paths().items():
        text = f"{HEAD}{json.dumps(row)}]}}"
        yield _case(f"path-{name}", "json", text, answer, story)


def _case(name: str, kind: str, text: str | bytes, answer: Answer, story: str) -> Case:
    data = text if isinstance(text, bytes) else text.encode()
    drop = partial(_drop, name=f"m.heygem.{kind}", data=data)
    return Case(name=f"manifest-{name}", group=GROUP, story=story, drop=drop, answer=answer)


def _drop(folder: Path, *, name: str, data: bytes) -> None:
    put(folder, "a.png", picture())
    for member in MEMBERS:
        put(folder, member, sound())
    put(folder, name, data)


def _json() -> dict[str, tuple[str, Answer, str]]:
    row = GOOD[1:-1]
    return {
        "good": (f"{HEAD}{GOOD}]}}", renders(ONE), "one row"),
        "key-twice": (f'{HEAD}{{{row}, "video": "z.png"}}]}}', rejects("E122"), "most readers keep the last"),
        "head-key-twice": (f'{{"heygem": 1, "heygem": 1, "jobs": [{GOOD}]}}', rejects("E122"), "so"),
        "nan": (f'{HEAD}{{{row}, "priority": NaN}}]}}', rejects("E121"), "not JSON, and read by Python"),
        "infinity": (f'{HEAD}{{{row}, "size": {{"audio": -Infinity}}}}]}}', rejects("E121"), "not JSON"),
        "huge-number": (f'{HEAD}{{{row}, "priority": 1{"0" * 5000}}}]}}', rejects("E124"), "5001 digits"),
        "exponent": (f'{HEAD}{{{row}, "priority": 1e99999}}]}}', rejects("E124"), "infinite, for most"),
        "fraction": (f'{HEAD}{{{row}, "priority": 1.0}}]}}', rejects("E124"), "not whole, as written"),
        "truth-for-number": (f'{HEAD}{{{row}, "priority": true}}]}}', rejects("E124"), "1, in Python"),
        "text-for-truth": (f'{{"heygem": 1, "strict": "no", "jobs": [{GOOD}]}}', rejects("E124"), "true, in Python"),
        "surrogate": (f'{HEAD}{{{row}, "id": "\\ud83d"}}]}}', rejects("E121"), "half a character"),
        "escaped-nul": (f'{HEAD}{{{row}, "id": "a\\u0000b"}}]}}', rejects("E124"), "a zero byte in a name"),
        "escaped-newline": (f'{HEAD}{{{row}, "id": "a\\nERROR x"}}]}}', rejects("E124"), "a second line for logs"),
        "escaped-escape": (f'{HEAD}{{{row}, "id": "\\u001b[2J"}}]}}', rejects("E124"), "clears terminals"),
        "unknown-key": (f'{HEAD}{{{row}, "prioritty": 1}}]}}', rejects("E123"), "misspelt"),
        "proto": (f'{HEAD}{{{row}, "__proto__": {{}}, "constructor": 1}}]}}', rejects("E123"), "for JavaScript"),
        "script-key": (
            f'{{"heygem": 1, "</script><script>x</script>": 1, "jobs": [{GOOD}]}}', rejects("E123"), "a tag",
        ),
        "version-2": (f'{{"heygem": 2, "jobs": [{GOOD}]}}', rejects("E124"), "another version"),
        "no-version": (f'{{"jobs": [{GOOD}]}}', rejects("E124"), "somebody else's JSON"),
        "list": ("[1, 2]", rejects("E124"), "a list where keys should be"),
        "no-rows": ('{"heygem": 1, "jobs": []}', rejects("E124"), "nothing to do"),
        "comments": (f"// mine\n{HEAD}{GOOD}]}}", rejects("E121"), "comments"),
        "trailing-comma": (f"{HEAD}{GOOD},]}}", rejects("E121"), "a comma too many"),
        "two-values": (f"{HEAD}{GOOD}]}}{HEAD}{GOOD}]}}", rejects("E121"), "two in one file"),
        "cut": (f"{HEAD}{GOOD}", rejects("E121"), "cut off"),
        "half-good": (
            f'{HEAD}{GOOD}, {{"audio": "no.wav"}}, {{"video": "a.png", "audio": "c.wav"}}]}}',
            renders(ONE, "m/c.mp4", codes=("E124",)),
            "a bad row between two good ones",
        ),
        "strict": (
            f'{{"heygem": 1, "strict": true, "jobs": [{GOOD}, {{"audio": "c.wav"}}]}}',
            rejects("E124", "E129"),
            "one bad row, and all or nothing",
        ),
        "same-film": (f"{HEAD}{GOOD}, {GOOD}]}}", renders("m/b-a.mp4", codes=("E128",)), "one row twice"),
        "same-id": (
            f'{HEAD}{{{row}, "id": "x"}}, {{"video": "a.png", "audio": "c.wav", "id": "x"}}]}}',
            renders("m/x.mp4", codes=("E128",)),
            "one id twice",
        ),
        "formula-id": (f'{HEAD}{{{row}, "id": "=1+1"}}]}}', renders("m/=1+1.mp4"), "a formula in the report"),
        "formula-cell": (
            f'{HEAD}{{{row}, "id": "a;=HYPERLINK(1)"}}]}}', renders("m/a;=HYPERLINK(1).mp4"), "a formula behind a ;"
        ),
        "script-id": (f'{HEAD}{{{row}, "id": "<script>x"}}]}}', renders("m/%3Cscript%3Ex.mp4"), "a script in the page"),
        "device-id": (f'{HEAD}{{{row}, "id": "CON"}}]}}', renders("m/%43ON.mp4"), "a device of Windows"),
        "format-id": (f'{HEAD}{{{row}, "id": "{{stem}}%s%n"}}]}}', renders("m/{stem}%s%n.mp4"), "not to be filled in"),
        "way-as-id": (f'{HEAD}{{{row}, "id": "../../x"}}]}}', rejects("E124"), "an id that leads up"),
        "long-id": (f'{HEAD}{{{row}, "id": "{"长" * 200}"}}]}}', rejects("E124"), "600 bytes"),
        "bidi-id": (f'{HEAD}{{{row}, "id": "a\u202e4pm"}}]}}', renders("m/a%E2%80%AE4pm.mp4"), "turned round"),
    }  # fmt: skip


def _yaml() -> dict[str, tuple[str, Answer, str]]:
    top = "heygem: 1\njobs:\n"
    return {
        "good": (f"{top}  - {{video: a.png, audio: b.wav}}\n", renders(ONE), "one row"),
        "no": (f"{top}  - {{video: a.png, audio: no.wav, output: no}}\n", renders("no.mp4"), "False, for others"),
        "time": (f"{top}  - {{video: a.png, audio: '12:30.wav', id: 12:30}}\n", renders("m/12%3A30.mp4"), "750"),
        "octal": (f"{top}  - {{video: a.png, audio: 007.wav, id: 007}}\n", renders("m/007.mp4"), "7, for others"),
        "date": (f"{top}  - {{video: a.png, audio: b.wav, id: 2024-05-01}}\n", renders("m/2024-05-01.mp4"), "a date"),
        "null": (f"{top}  - {{video: a.png, audio: b.wav, id: null}}\n", rejects("E124"), "nothing, where a name was"),
        "key-twice": (f"{top}  - {{video: a.png, audio: b.wav, audio: c.wav}}\n", rejects("E122"), "keeps the last"),
        "merge": (f"{top}  - {{<<: {{video: a.png}}, audio: b.wav}}\n", rejects("E125"), "a merge key"),
        "alias": ("x: &x a.png\nheygem: 1\njobs: [{video: *x, audio: b.wav}]\n", rejects("E125"), "an alias"),
        "python": (
            f"{top}  - !!python/object/apply:os.system ['touch pwned']\n", rejects("E125"), "runs a program in PyYAML"
        ),
        "tag": (f"{top}  - {{video: !!binary YS5wbmc=, audio: b.wav}}\n", rejects("E125"), "a tag"),
        "two-documents": (f"{top}  - {{video: a.png, audio: b.wav}}\n---\nx: 1\n", rejects("E125"), "two in one"),
        "tabs": ("heygem: 1\njobs:\n\t- {video: a.png, audio: b.wav}\n", rejects("E121"), "tabs"),
        "surrogate": (f'{top}  - {{video: a.png, audio: b.wav, id: "\\ud800"}}\n', rejects("E121"), "half a character"),
        "nul": (f'{top}  - {{video: a.png, audio: b.wav, id: "a\\0b"}}\n', rejects("E124"), "a zero byte in a name"),
        "folded": (f"{top}  - video: a.png\n    audio: b.wav\n    id: >\n      x\n", rejects("E124"), "a line end"),
        "json": (f"{HEAD}{GOOD}]}}", renders(ONE), "JSON is YAML"),
    }  # fmt: skip


def _csv() -> dict[str, tuple[str, Answer, str]]:
    return {
        "good": ("video,audio\na.png,b.wav\n", renders(ONE), "one row"),
        "semicolons": ("video;audio;id\r\na.png;b.wav;x\r\n", renders("m/x.mp4"), "a German spreadsheet"),
        "tabs": ("video\taudio\na.png\tb.wav\n", renders(ONE), "tabs"),
        "excel": ("sep=;\r\nVideo;Audio;;\r\n a.png ; b.wav ;;\r\n;;;\r\n", renders(ONE), "what Excel adds"),
        "mac": ("video,audio\ra.png,b.wav\r", renders(ONE), "line ends of old Macs"),
        "open-quote": (
            'video,audio\na.png,b.wav\n"a.png,c.wav\na.png,no.wav\n',
            renders(ONE, "m/no.mp4", codes=("E121",)),
            "an open quote: swallows the rest elsewhere",
        ),
        "formulas": (
            'id,video,audio\n=1+1,a.png,b.wav\n"+cmd|x",a.png,c.wav\n"@a",a.png,no.wav\n',
            renders("m/=1+1.mp4", "m/+cmd%7Cx.mp4", "m/@a.mp4"),
            "formulas as ids: neutral in the report",
        ),
        "formula-file": ("video,audio\n=a.png,b.wav\na.png,c.wav\n", renders("m/c.mp4"), "a file that never comes"),
        "unknown-column": ("video,sound\na.png,b.wav\n", rejects("E123"), "a column of another name"),
        "column-twice": ("video,audio,Audio\na.png,b.wav,c.wav\n", rejects("E122"), "a column twice"),
        "more-cells": ("video,audio\na.png,b.wav,c.wav\n", rejects("E124"), "a cell too many"),
        "numbers": ("id,video,audio\n007,a.png,b.wav\n1e5,a.png,c.wav\n", renders("m/007.mp4", "m/1e5.mp4"), "texts"),
        "wrong-sum": (
            f"video,audio,sha256_audio\na.png,b.wav,{'0' * 64}\n", rejects("E112"), "not the bytes that were promised"
        ),
        "right-sum": (
            f"video,audio,sha256_audio\na.png,b.wav,{hashlib.sha256(sound()).hexdigest().upper()}\n",
            renders(ONE),
            "the bytes that were promised",
        ),
        "wrong-size": ("video,audio,size_audio\na.png,b.wav,1\n", waits(), "not as long as was promised"),
        "pictures": ("\x89PNG", rejects("E123"), "something else of that name"),
    }  # fmt: skip


def _lines() -> dict[str, tuple[str, Answer, str]]:
    return {
        "good": (f"{GOOD}\n", renders(ONE), "one row"),
        "broken-line": (
            f'{GOOD}\n{{"video": \n{{"video": "a.png", "audio": "c.wav"}}\n',
            renders(ONE, "m/c.mp4", codes=("E121",)),
            "one line is cut",
        ),
        "wrong-head": (f'{{"strict": true}}\n{GOOD}\n', rejects("E124"), "strict, in a head without version"),
        "late-head": (f'{GOOD}\n{{"heygem": 1, "strict": true}}\n', renders(ONE, codes=("E123",)), "a head, too late"),
        "open-text": (f'{GOOD}\n{{"video": "a.png', renders(ONE, codes=("E121",)), "the last line is cut"),
    }


def _encodings() -> dict[str, tuple[str, bytes, Answer, str]]:
    chinese = "video,audio\na.png,张伟.wav\n"
    film = renders("m/张伟.mp4")
    good = f"{HEAD}{GOOD}]}}"
    yaml = "heygem: 1\njobs: [{video: a.png, audio: b.wav}]"
    return {
        "bom": ("json", codecs.BOM_UTF8 + good.encode(), renders(ONE), "a mark of UTF-8"),
        "two-boms": ("json", codecs.BOM_UTF8 * 2 + good.encode(), rejects("E121"), "two marks"),
        "utf-16-le": ("csv", codecs.BOM_UTF16_LE + chinese.encode("utf-16-le"), film, "Excel's Unicode text"),
        "utf-16-be": ("yaml", codecs.BOM_UTF16_BE + yaml.encode("utf-16-be"),
                      renders(ONE), "the other way round"),
        "utf-16-bare": ("csv", chinese.encode("utf-16-le"), rejects("E120"), "UTF-16 that does not say so"),
        "utf-32": ("csv", codecs.BOM_UTF32_LE + chinese.encode("utf-32-le"), rejects("E120"), "UTF-32"),
        "gb18030": ("csv", f"# encoding: gb18030\n{chinese}".encode("gb18030"), film, "declared"),
        "gb18030-bare": ("csv", chinese.encode("gb18030"), film, "Excel in China: unmistakable"),
        "latin": ("csv", "video,audio\na.png,café.wav\n".encode("latin-1"), rejects("E120"), "could be anything"),
        "nul": ("json", good.encode() + b"\0", rejects("E120"), "a zero byte"),
        "half-utf-8": ("json", good.replace("b.wav", "张").encode()[:-8], rejects("E120", "E121"), "cut"),
        "empty": ("json", b"\n\n", rejects("E124"), "nothing but line ends"),
        "random": ("yaml", hashlib.shake_256(b"random").digest(4096), rejects("E120"), "random bytes"),
        "zip": ("json", b"PK\x03\x04" + bytes(64), rejects("E120"), "a ZIP"),
    }  # fmt: skip


def _bombs() -> dict[str, tuple[str, Answer, str]]:
    rows = "".join(f"a.png,{number}.wav\n" for number in range(10_001))
    return {
        "yaml-aliases": (f"{ALIASES}heygem: 1\njobs: *i\n", rejects("E125"), "nine levels: 25 s and more in PyYAML"),
        "yaml-depth": ("[" * 100_000, rejects("E125", "E121"), "100,000 levels"),
        "json-depth": ("[" * 500_000, rejects("E125"), "500,000 levels: ends Python's own reader"),
        "json-values": (f"{HEAD}{'{},' * 2_000_000}{GOOD}]}}", rejects("E125"), "two million empty rows"),
        "json-large": (" " * (8 * MIB + 1), rejects("E120"), "a byte more than 8 MiB"),
        "json-long-key": (f'{HEAD}{{"{"k" * 4_000_000}": 1}}]}}', rejects("E123"), "a key of 4 MB"),
        "json-long-text": (f'{HEAD}{{"video": "{"v" * 4_000_000}"}}]}}', rejects("E126"), "a name of 4 MB"),
        "csv-rows": (f"video,audio\n{rows}", rejects("E125"), "a row too many"),
        "csv-columns": ("video,audio," * 500_000, rejects("E124"), "a million columns"),
        "csv-quotes": ("video,audio\n" + '"' * 1_000_000, rejects("E126"), "a million quotes"),
        "jsonl-lines": ("1\n" * 2_000_000, rejects("E125"), "two million lines"),
        "json-patterns": (
            HEAD + ",".join([f'{{"video": "a.png", "audio": "{"**/" * 300}{n}*?x.wav"}}' for n in range(2000)]) + "]}",
            rejects("E125", "E127"),
            "2000 patterns of 300 steps",
        ),
        "json-bundle": (
            f'{{"heygem": 1, "bundle": true, "jobs": [{GOOD[:-1]}, "output": "{"/".join(["<" * 80] * 45)}"}}]}}',
            renders(),
            "a film that no path reaches, wanted in a ZIP",
        ),
    }  # fmt: skip


def _paths() -> dict[str, tuple[dict[str, object], Answer, str]]:
    bad = {
        "up": "../secrets/voice.wav",
        "up-inside": "x/../b.wav",
        "absolute": "/etc/passwd.wav",
        "drive": "C:\\b.wav",
        "drive-slash": "c:/b.wav",
        "share": "\\\\server\\share\\b.wav",
        "here": "./b.wav",
        "empty-part": "x//b.wav",
        "hidden": ".heygemd/b.wav",
        "newline": "b\n.wav",
        "long-part": "b" * 300 + ".wav",
        "long": "b/" * 3000 + "b.wav",
    }
    cases: dict[str, tuple[dict[str, object], Answer, str]] = {
        name: ({"video": "a.png", "audio": path}, rejects("E126"), f"a path: {name}") for name, path in bad.items()
    }
    cases |= {
        "url": ({"video": "a.png", "audio": "http://example.org/b.wav"}, rejects("E126"), "an address"),
        "protocol": ({"video": "a.png", "audio": "concat:b.wav|c.wav"}, waits(), "a protocol: a name like any other"),
        "roles": ({"video": "b.wav", "audio": "a.png"}, rejects("E124"), "the other way round"),
        "program": ({"video": "a.png", "audio": "b.exe"}, rejects("E101"), "neither picture nor sound"),
        "other-case": ({"video": "A.PNG", "audio": "B.wav"}, renders("m/b.mp4"), "as Windows has it"),
        "missing": ({"video": "a.png", "audio": "never.wav"}, waits(), "a file that never comes"),
        "pattern": ({"video": "a.png", "audio": "[bc].wav"}, renders(ONE, "m/c.mp4"), "a pattern"),
        "pattern-none": ({"video": "a.png", "audio": "z*.wav"}, waits(), "a pattern that nothing fits"),
        "patterns": ({"video": "*.png", "audio": "*.wav"}, rejects("E124"), "two patterns"),
        "output-up": ({"video": "a.png", "audio": "b.wav", "output": "../x.mp4"}, rejects("E126"), "a film outside"),
        "output-absolute": ({"video": "a.png", "audio": "b.wav", "output": "/tmp/x.mp4"}, rejects("E126"), "so, too"),
        "output-suffix": ({"video": "a.png", "audio": "b.wav", "output": "x.exe"}, rejects("E124"), "a program"),
        "output-own": (
            {"video": "a.png", "audio": "b.wav", "output": "m.report.json.mp4"}, renders("m.report.json.mp4"), "ours",
        ),
        "output-device": (
            {"video": "a.png", "audio": "b.wav", "output": "nul/con.mp4"}, renders("%6Eul/%63on.mp4"), "devices",
        ),
        "output-long": (
            {"video": "a.png", "audio": "b.wav", "output": "/".join(["<" * 80] * 45)}, renders(), "longer than a path",
        ),
        "output-format": (
            {"video": "a.png", "audio": "[b].wav", "output": "{stem.__class__}.mp4"}, rejects("E124"), "a format",
        ),
        "option-injection": (
            {"video": "a.png", "audio": "b.wav", "options": {"preset": "fast -i /etc/hosts"}}, rejects("E124"), "words",
        ),
        "option-range": ({"video": "a.png", "audio": "b.wav", "options": {"crf": -1}}, rejects("E124"), "out of range"),
    }  # fmt: skip
    return cases
