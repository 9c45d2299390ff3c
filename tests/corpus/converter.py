"""Cases of checkpoints through the converter's own process, each in a fork of one that has loaded torch already.

    python -m tests.corpus.converter FOLDER CASE…      one JSON line for each

Each fork runs `heygemd.render.wav2lip.convert.main` with its limits; the kernel tells what it took.
"""

import io
import json
import os
import resource
import signal
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.corpus.case import MAX_WALL_S, Case, Ending, Seen
from tests.corpus.checkpoints import FILE, TRAP, cases

TARGET = "weights.safetensors"
KIB = 1 << 10


def see(case: Case, folder: Path) -> Seen:
    """Drop one case into the folder, convert it in a child, and say what became of it."""
    folder.mkdir(parents=True)
    case.drop(folder)
    answer, status, usage, wall_s = _convert(folder)
    error = answer.get("error", {})
    troubles = [TRAP] if (folder / TRAP).exists() else []
    if not answer:
        troubles.append(f"no answer (status {status})")
    left = {path.name for path in folder.iterdir()} - {FILE, TARGET, TRAP}
    troubles += [f"left behind: {name}" for name in sorted(left)]
    if "\n" in error.get("message", "") or not error.get("message", "").isprintable():
        troubles.append(f"said {error['message']!r}")
    return Seen(
        ending=Ending.REJECT if error or not answer else Ending.RENDER,
        codes=frozenset({error["code"]} if error else ()),
        films=frozenset({TARGET} if answer and not error else ()),
        message=error.get("message", "")[:300],
        troubles=tuple(troubles),
        wall_s=wall_s,
        rss_bytes=usage.ru_maxrss * KIB,
    )


def _convert(folder: Path) -> tuple[dict[str, Any], int, resource.struct_rusage, float]:
    """Return what the converter said, how it ended, what it used and how long it took."""
    reader, writer = os.pipe()
    source = os.open(folder / FILE, os.O_RDONLY)
    output = os.open(folder / TARGET, os.O_RDWR | os.O_CREAT, 0o600)
    begun_s = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_the_converter(source, output, writer)
    for number in (writer, source, output):
        os.close(number)
    with os.fdopen(reader, "rb") as file:
        said = file.read()
    _, status, usage = os.wait4(child, 0)
    wall_s = time.monotonic() - begun_s
    answer = json.loads(said) if said else {}
    return answer, status, usage, wall_s


def _be_the_converter(source: int, output: int, writer: int) -> None:
    from heygemd.render.wav2lip import convert

    signal.alarm(int(2 * MAX_WALL_S))
    said = io.StringIO()
    status = 70
    try:
        with redirect_stdout(said):
            status = convert.main(["--source-fd", str(source), "--output-fd", str(output), "--name", FILE])
        os.write(writer, said.getvalue().encode())
    finally:
        os._exit(status)


def main() -> None:
    """Run the cases that are named, one after the other."""
    import torch

    torch.set_num_threads(1)
    place, wanted = Path(sys.argv[1]), set(sys.argv[2:])
    for case in cases():
        if case.name not in wanted:
            continue
        seen = see(case, place / case.name)
        for path in (place / case.name).iterdir():
            if path.is_file():
                path.unlink()
        told = {field: getattr(seen, field) for field in ("message", "wall_s", "rss_bytes")}
        told |= {"ending": seen.ending, "codes": sorted(seen.codes), "films": sorted(seen.films)}
        sys.stdout.write(json.dumps(told | {"case": case.name, "troubles": seen.troubles}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
