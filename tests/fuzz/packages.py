"""Checkpoints taken apart: pickles by their operations, zip archives by their members, safetensors by their header."""

import io
import json
import pickletools
import warnings
import zipfile
from random import Random

from tests.fuzz.mutations import MUTATIONS, Mutation
from tests.fuzz.parts import Part, bare, join
from tests.fuzz.texts import mutated_json

HEADER_BYTES = 8
MAX_CHANGES = 3
CALLS = (
    *(b"os\nmkdir", b"posix\nmkdir", b"builtins\neval", b"builtins\ngetattr", b"io\nopen", b"pathlib\nPath"),
    *(b"torch\nload", b"torch.jit\nload", b"torch.storage\n_load_from_bytes", b"torch._utils\n_import_dotted_name"),
    *(b"__torch__\nmkdir", b"__torch__.os\nsystem", b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict"),
)
"""Module and name of what a pickle may ask to be called: harmful ones, and the ones that weights need."""
TELLING = (b"GLOBAL", b"SHORT_BINUNICODE", b"BINUNICODE", b"BININT", b"BININT1")
"""Operations that name something, or count it."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
PLACES = ("../x", "/x", "a" * 300, "x/data.pkl", "x/code/y.py", "x")


def take_pickle_apart(data: bytes) -> list[Part]:
    """One part for each operation; several pickles may follow one another, and after them anything."""
    parts, stream = [], io.BytesIO(data)
    while (start := stream.tell()) < len(data):
        try:
            places = [(operation.name, at) for operation, _, at in pickletools.genops(stream)]
        except ValueError:
            break
        stops = [*(at for _, at in places[1:]), stream.tell()]
        parts += [Part(name.encode(), bare, data[at:stop]) for (name, at), stop in zip(places, stops, strict=True)]
        start = stream.tell()
    return parts + ([Part(b"", bare, data[start:])] if start < len(data) else [])


def call(target: str, luck: Random) -> Part:
    """Operations that call something with the path of a folder to be made, and drop what comes of it."""
    name = luck.choice(CALLS)
    argument = f"__import__('os').mkdir({target!r})" if b"eval" in name else target
    text = argument.encode("utf-8")
    body = b"c" + name + b"\n(X" + len(text).to_bytes(4, "little") + text + b"tR0"
    return Part(b"CALL", bare, body)


def mutated_pickle(data: bytes, target: str, luck: Random) -> bytes:
    """Other operations, other names, and calls that make the folder `target` if they are carried out."""
    parts = take_pickle_apart(data)
    for _ in range(luck.randrange(1, MAX_CHANGES + 1)):
        if luck.random() < 0.4:
            parts.insert(luck.randrange(len(parts) + 1), call(target, luck))
            continue
        names = [
            part
            for part in parts
            if part.name in (b"GLOBAL", b"SHORT_BINUNICODE", b"BINUNICODE", b"BININT", b"BININT1")
        ]
        if names and luck.random() < 0.4:
            part = luck.choice(names)
            part.body = b"c" + luck.choice(CALLS) + b"\n" if part.name == b"GLOBAL" else _other_number(part, luck)
        else:
            _shallow(luck)(parts, parts, luck)
    return join(parts)


def _other_number(part: Part, luck: Random) -> bytes:
    body = bytearray(part.body)
    body[luck.randrange(1, len(body)) if len(body) > 1 else 0] = luck.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(body)


def _shallow(luck: Random) -> Mutation:
    """Any mutation but for those of shells: operations hold no others."""
    return luck.choice([change for change in MUTATIONS if change.__name__ not in ("nest", "lie")])


def mutated_zip(data: bytes, target: str, luck: Random) -> bytes:
    """Members left out, renamed, grown, cut or compressed; the pickle among them changed as a pickle."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    for _ in range(luck.randrange(1, MAX_CHANGES + 1)):
        at = luck.randrange(len(members))
        name, content = members[at]
        pickles = [number for number, (known, _) in enumerate(members) if known.endswith(".pkl")]
        change = luck.randrange(6)
        if change < 2 and pickles:
            at = luck.choice(pickles)
            members[at] = (members[at][0], mutated_pickle(members[at][1], target, luck))
        elif change == 2:
            members[at] = (
                luck.choice(("../x", "/x", "a" * 300, "x/data.pkl", "x/code/y.py", members[0][0], name + "/", "")),
                content,
            )
        elif change == 3:
            members[at] = (
                name,
                luck.choice((b"", content[:-1], content * 2, content + b"\0" * 100_000, luck.randbytes(50))),
            )
        elif change == 4:
            members.insert(luck.randrange(len(members) + 1), (name, content))
        elif len(members) > 1:
            del members[at]
    return _packed(members, luck)


def _packed(members: list[tuple[str, bytes]], luck: Random) -> bytes:
    """Write the archive; names may stand in it twice, of which `zipfile` warns."""
    out = io.BytesIO()
    method = luck.choice(METHODS)
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name or "x")
            info.compress_type = method
            with archive.open(info, "w") as member:
                member.write(content)
    data = bytearray(out.getvalue())
    if luck.random() < 0.3:  # the directory says other things than the members
        at = luck.randrange(max(0, len(data) - 400), len(data))
        data[at] = luck.randrange(256)
    return bytes(data)


def mutated_safetensors(header: bytes, luck: Random) -> bytes:
    """Another header, or another length of it; what follows the header is left to the caller."""
    change = luck.randrange(5)
    if change < 3:
        header = mutated_json(header, luck)
    elif change == 3:
        header = _with_other_numbers(header, luck)
    length = len(header)
    if change == 4:
        near, far = (0, 1, length - 1, length + 1), (1 << 27, 100_000_001, (1 << 63) - 1, (1 << 64) - 1)
        length = luck.choice((*near, *far, luck.randrange(1 << 40)))
    return length.to_bytes(HEADER_BYTES, "little") + header


def _with_other_numbers(header: bytes, luck: Random) -> bytes:
    tree = json.loads(header)
    for _ in range(luck.randrange(1, 4)):
        entry = tree[luck.choice([name for name in tree if name != "__metadata__"])]
        field = luck.choice(("data_offsets", "shape", "dtype"))
        if field == "dtype":
            entry["dtype"] = luck.choice(("F64", "BF16", "F8_E4M3", "BOOL", "U8", "I64", "X", "F32 "))
        elif entry[field]:
            at = luck.randrange(len(entry[field]))
            old = entry[field][at]
            entry[field][at] = luck.choice((0, 1, old + 1, old - 1, old * 2, -1, 1 << 31, 1 << 62, (1 << 64) - 1))
    return json.dumps(tree).encode()
