"""Writers that try to make a half-written file look like a whole one; each knows which bytes it means to hand in."""

import contextlib
import mmap
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from soak.places import LocalFile, OpenFile, Place
from tests.share.media import Pair, pair

WAIT_FOR_CLAIM_S = 120.0


@dataclass(slots=True)
class Part:
    """One writer, its pair, and the one file of it that is written in a wicked way."""

    number: int
    kind: str
    place: Place
    settle_s: float
    rng: random.Random = field(init=False)
    meant: Pair = field(init=False)
    suffix: str = field(init=False)
    may_be: list[bytes] = field(init=False)
    """What may be claimed of the wicked file: what was meant, and what lay there whole and closed before."""

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.kind} {self.number}")
        self.meant = pair(f"writer {self.number}", is_refused=True, seconds=2, padding_bytes=24_000)
        self.suffix = self.rng.choice(("wav", "wav", "mp4"))
        self.may_be = [self.data]

    @property
    def stem(self) -> str:
        """Of both files."""
        return f"w{self.number:05}"

    @property
    def name(self) -> str:
        """Of the wicked file."""
        return f"{self.stem}.{self.suffix}"

    @property
    def data(self) -> bytes:
        """What the wicked file is to hold in the end."""
        return self.meant.audio if self.suffix == "wav" else self.meant.video

    @property
    def partner(self) -> tuple[str, bytes]:
        """Name and content of the other file."""
        return (
            (f"{self.stem}.mp4", self.meant.video) if self.suffix == "wav" else (f"{self.stem}.wav", self.meant.audio)
        )

    @property
    def earlier(self) -> bytes:
        """Another whole file of the same size."""
        other = pair(f"earlier {self.number}", is_refused=True, seconds=2, padding_bytes=24_000)
        return other.audio if self.suffix == "wav" else other.video

    def open(self, name: str = "", *, is_new: bool = True) -> OpenFile:
        """Open a file of the inbox; half of the writers have no holes in what they set aside."""
        return self.place.open(f"inbox/{name or self.name}", is_new=is_new, is_solid=self.number % 2 == 0)

    def pieces(self, count: int) -> list[tuple[int, bytes]]:
        """Cut the data at random places; the first piece holds the header and more."""
        cuts = sorted(self.rng.sample(range(4096, len(self.data)), count - 1))
        return [(a, self.data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(self.data)], strict=True)]

    def stall(self) -> None:
        """Longer than the quiet time: a file that looks whole would be claimed meanwhile."""
        time.sleep(self.settle_s * self.rng.uniform(1.5, 4.0))

    def sleep(self) -> None:
        """So long that it would be claimed, looked at again, hashed and made a job."""
        time.sleep(self.settle_s * self.rng.uniform(5.0, 7.0))

    def pause(self) -> None:
        """Shorter than the quiet time."""
        time.sleep(self.settle_s * self.rng.uniform(0.05, 0.5))

    def put(self, name: str, data: bytes) -> None:
        """Write one file as any program does."""
        file = self.open(name)
        file.write(data, 0)
        file.close()


def size_first(part: Part) -> None:
    """The full size at once, then the bytes: Explorer."""
    file = part.open()
    file.set_size(len(part.data))
    for offset, piece in part.pieces(3):
        part.rng.choice((part.stall, part.pause))()
        file.write(piece, offset)
    part.sleep()
    file.close()


def stall_open(part: Part) -> None:
    """A file that looks whole (header there, no byte missing), and whose writer sleeps."""
    file, (first, *rest) = part.open(), part.pieces(3)
    file.write(first[1], 0)
    file.set_size(len(part.data))
    for offset, piece in rest:
        part.sleep()
        file.write(piece, offset)
    file.close()


def stall_closed(part: Part) -> None:
    """A copy that is broken off twice: nobody has the file open, and half of it is there."""
    for number, (offset, piece) in enumerate(part.pieces(3)):
        file = part.open(is_new=number == 0)
        file.write(piece, offset)
        file.close()
        part.stall()


def false_dates(part: Part) -> None:
    """Size and modification time stand still, a century away, while the bytes change."""
    file = part.open()
    file.set_size(len(part.data))
    for offset, piece in part.pieces(3):
        file.write(piece, offset)
        file.set_mtime(2001)
        part.rng.choice((part.stall, part.sleep))()
    file.set_mtime(2101)
    file.close()


def mapped(part: Part) -> None:
    """A shared mapping: no write is ever called, and the descriptor is closed."""
    file = part.open()
    assert isinstance(file, LocalFile)
    file.set_size(len(part.data))
    with mmap.mmap(file.number, len(part.data)) as memory:
        file.close()
        for offset, piece in part.pieces(3):
            memory[offset : offset + len(piece)] = piece
            part.rng.choice((part.stall, part.sleep))()


def renamed_open(part: Part) -> None:
    """Gets its name, as if it were whole, in the middle of the writing."""
    old = part.rng.choice((f".{part.name}", f"{part.name}.part", f"x{part.name}"))
    file, (first, *rest) = part.open(old), part.pieces(3)
    file.write(first[1], 0)
    file.set_size(len(part.data))
    file.rename(f"inbox/{part.name}")
    for offset, piece in rest:
        part.stall()
        file.write(piece, offset)
    file.close()


def rewritten(part: Part) -> None:
    """A whole file, then emptied and written anew through the same handle."""
    file = part.open()
    file.write(part.earlier, 0)
    part.sleep()
    file.set_size(0)
    for offset, piece in part.pieces(3):
        file.write(piece, offset)
        part.pause()
    file.close()


def replaced(part: Part) -> None:
    """A whole file, and at any time another one renamed over it; both were whole, so either may be taken."""
    earlier = part.earlier
    part.may_be.append(earlier)
    part.put(part.name, earlier)
    time.sleep(part.settle_s * part.rng.uniform(0, 4))
    file = part.open(f".{part.name}")
    file.write(part.data, 0)
    file.rename(f"inbox/{part.name}", is_replacing=True)
    file.close()


def after_claim(part: Part) -> None:
    """A whole file; as soon as it is claimed, and before it can have been checked again, somebody writes into it."""
    part.put(part.name, part.earlier)
    claim = _await_claim(part)
    file = _open_fresh(part, claim) if claim else None
    if file is None:  # the check came first: the job is what lay there
        part.may_be = [part.earlier]
        return
    for offset, piece in part.pieces(3):
        file.write(piece, offset)
        part.stall()
    file.close()


def back_to_front(part: Part) -> None:
    """The end first, so that the size is right and the middle a hole; often without a handle in between."""
    is_closing = part.rng.random() < 0.5
    file = None
    for number, (offset, piece) in enumerate(reversed(part.pieces(4))):
        file = file or part.open(is_new=number == 0)
        file.write(piece, offset)
        if is_closing:
            file.close()
            file = None
        part.stall()
    if file:
        file.close()


def drops(part: Part) -> None:
    """Appended in tiny pieces, each through a handle of its own."""
    for number, (offset, piece) in enumerate(part.pieces(25)):
        file = part.open(is_new=number == 0)
        file.write(piece, offset)
        file.close()
        part.stall() if part.rng.random() < 0.04 else part.pause()


KINDS: dict[str, Callable[[Part], None]] = {
    "size first": size_first,
    "stall, open": stall_open,
    "stall, closed": stall_closed,
    "false dates": false_dates,
    "mapped": mapped,
    "renamed while open": renamed_open,
    "truncated, rewritten": rewritten,
    "replaced by rename": replaced,
    "written after claim": after_claim,
    "back to front": back_to_front,
    "tiny pieces": drops,
}
LOCAL_ONLY = frozenset({"mapped"})


def write(part: Part) -> None:
    """Hand in the pair: the partner before or after the wicked file."""
    is_partner_first = part.kind in ("written after claim", "replaced by rename") or part.rng.random() < 0.7
    if is_partner_first:
        part.put(*part.partner)
    # A file that was taken away between two handles was taken half-written: the verdict will say so.
    with contextlib.suppress(FileNotFoundError):
        KINDS[part.kind](part)
    if not is_partner_first:
        part.put(*part.partner)


def _await_claim(part: Part) -> Path | None:
    """Return the folder in `processing/` that has just appeared with our file in it."""
    end_s = time.monotonic() + WAIT_FOR_CLAIM_S
    while time.monotonic() < end_s:
        for folder in _claims_of(part):
            if (folder / part.name).exists():
                return folder
        if not (part.place.root / "inbox" / part.name).exists() and not list(_claims_of(part)):
            return None  # it has come and gone
        time.sleep(0.02)
    return None


def _claims_of(part: Part) -> Iterator[Path]:
    return (part.place.root / "processing").glob(f"{part.stem}__*")


def _open_fresh(part: Part, claim: Path) -> OpenFile | None:
    """Open the claimed file; None when so much time has passed that the job may stand already."""
    try:
        claimed_s = claim.stat().st_mtime  # the renames into it
        file = part.place.open(f"processing/{claim.name}/{part.name}", is_new=False)
    except FileNotFoundError:
        return None
    if time.time() - claimed_s < 0.8 * part.settle_s:
        return file
    file.close()
    return None
