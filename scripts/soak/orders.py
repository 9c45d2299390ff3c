"""What people bring on one day: good pairs and batches, wrong ones, copies, and things they think better of."""

import json
import random
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from soak.goods import Clips, Lot, Maker, marked_picture, marked_sound, sha256

COPIES = 12
"""Rows of a manifest that all ask for the same film."""


class Fate(StrEnum):
    """What becomes of an order when nothing more is done about it."""

    MADE = "made"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    """Or made, when the wish came too late."""
    FORGOTTEN = "forgotten"


class Wish(StrEnum):
    """What somebody does later."""

    NOTHING = "nothing"
    AGAIN = "again"
    """Puts the failed folder back as it is."""
    MEND = "mend"
    """Puts it back with another picture."""
    CANCEL = "cancel"
    DELETE = "delete"
    """Takes the files out of the inbox again."""


@dataclass(slots=True, kw_only=True)
class Order:
    """One lot of one day, and how far its wish has come."""

    lot: Lot
    kind: str
    fate: Fate = Fate.MADE
    wish: Wish = Wish.NOTHING
    is_wish_done: bool = True
    mended_picture: bytes = b""

    @property
    def stem(self) -> str:
        """Of both files of a pair at the top of the inbox."""
        return Path(next(iter(self.lot.files))).stem

    @property
    def films(self) -> dict[str, frozenset[str]]:
        """The films that must come of it."""
        return self.lot.films if self.fate is Fate.MADE else {}

    def mend(self) -> None:
        """Its picture is another one now, and a film must come of it."""
        name, (film,) = f"{self.stem}.mp4", self.lot.films
        files = self.lot.files | {name: self.mended_picture}
        self.lot = replace(self.lot, files=files, films={film: frozenset(map(sha256, files.values()))})
        self.fate = Fate.MADE


def day_folder(number: int) -> str:
    """Name the folder of a day: an inbox sees many folders in its life."""
    return f"day {number:03d}"


def is_manifest(path: str) -> bool:
    """Tell whether a file is one of the soak's manifests."""
    return path.endswith(".heygem.json")


def moved(lot: Lot, number: int) -> Lot:
    """Return the same lot in the folder of a day."""
    folder = day_folder(number)
    return replace(
        lot,
        # A manifest is text, the same every day: blanks at its end make it another file.
        files={f"{folder}/{path}": data + is_manifest(path) * b" " * number for path, data in lot.files.items()},
        films={f"{folder}/{path}": inputs for path, inputs in lot.films.items()},
        stays=frozenset(f"{folder}/{path}" for path in lot.stays),
        batch=f"{folder}/{lot.batch}" if lot.batch else None,
    )


class Customers:
    """Makes the orders of each day by a seeded plan."""

    def __init__(self, clips: Clips, big_picture: bytes, long_sound: bytes, generator: random.Random) -> None:
        self._maker, self._random = Maker(clips, generator), generator
        self._big_picture, self._long_sound = big_picture, long_sound
        self._number = 0

    def day(self, number: int, pairs: int, *, with_cancelled: bool) -> list[Order]:
        """Return one order of each kind, and more pairs; their folders are new every day."""
        folder = day_folder(number)
        pair, twin = self._pair_and_twin(folder)
        orders = [
            Order(lot=moved(self._maker.default_folder(), number), kind="default"),
            Order(lot=moved(self._maker.job_folder(2), number), kind="job folder"),
            Order(lot=moved(self._maker.manifest(), number), kind="manifest"),
            Order(lot=moved(self._copies(), number), kind="copies"),
            pair,
            twin,
            *([self._cancelled()] if with_cancelled else []),
            self._forgotten(),
            *(self._refused(wish) for wish in (Wish.NOTHING, Wish.AGAIN, Wish.MEND)),
            *(self._pair() for _ in range(pairs)),
        ]
        self._random.shuffle(orders)
        return orders

    def _pair(self) -> Order:
        self._number += 1
        return Order(lot=self._maker.pair(self._number), kind="pair")

    def _pair_and_twin(self, folder: str) -> tuple[Order, Order]:
        """Two pairs of the same bytes; one of them is computed."""
        first = replace(self._pair(), kind="twin")
        (stem,) = (film.removesuffix(".mp4") for film in first.lot.films)
        twin = Lot(
            files={f"{folder}/twin{Path(path).suffix}": data for path, data in first.lot.files.items()},
            films={f"{folder}/twin.mp4": first.lot.films[f"{stem}.mp4"]},
        )
        return first, Order(lot=twin, kind="twin")

    def _copies(self) -> Lot:
        """A manifest that orders the same film under many names."""
        picture, sound = self._maker.picture(), self._maker.sound()
        rows = [{"id": f"copy{number:02d}"} for number in range(COPIES)]
        common = {"video": "one.mp4", "audio": "one.wav"}
        text = json.dumps({"heygem": 1, "defaults": common, "jobs": rows}).encode()
        inputs = frozenset({sha256(picture), sha256(sound)})
        return Lot(
            files={"one.mp4": picture, "one.wav": sound, "copies.heygem.json": text},
            films={f"copies/{row['id']}.mp4": inputs for row in rows},
            batch="copies",
        )

    def _refused(self, wish: Wish) -> Order:
        picture, sound = marked_picture(self._big_picture, self._random.randbytes(16)), self._maker.sound()
        order = self._single("refused", picture, sound, Fate.REFUSED, wish)
        if wish is Wish.MEND:
            order.mended_picture = self._maker.picture()
        return order

    def _cancelled(self) -> Order:
        sound = marked_sound(self._long_sound, self._random.randbytes(16))
        return self._single("cancelled", self._maker.picture(), sound, Fate.CANCELLED, Wish.CANCEL)

    def _single(self, kind: str, picture: bytes, sound: bytes, fate: Fate, wish: Wish) -> Order:
        self._number += 1
        stem = f"{kind} {self._number:04d}"
        lot = Lot(
            files={f"{stem}.mp4": picture, f"{stem}.wav": sound},
            films={f"{stem}.mp4": frozenset({sha256(picture), sha256(sound)})},
        )
        return Order(lot=lot, kind=kind, fate=fate, wish=wish, is_wish_done=wish is Wish.NOTHING)

    def _forgotten(self) -> Order:
        self._number += 1
        lot = Lot(files={f"forgotten {self._number:04d}.wav": self._maker.sound()}, films={})
        return Order(lot=lot, kind="forgotten", fate=Fate.FORGOTTEN, wish=Wish.DELETE, is_wish_done=False)
