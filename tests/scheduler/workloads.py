"""Worlds for the policy, drawn from a seed: devices, engines, films, and the memory that others take and give back."""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heygemd.jobs.job import EngineName
from heygemd.limits import Limits
from heygemd.planning.plan import EngineChoice, Task, TaskKind
from heygemd.planning.segments import Segment
from heygemd.scheduler.facts import (
    JobFacts,
    Rules,
    Share,
)

ANALYSE, RENDER, FINISH = TaskKind.ANALYSE, TaskKind.RENDER, TaskKind.FINISH
MIB = 1 << 20
GIB = 1 << 30
SEGMENT_S = 60.0
EPS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """An engine, and what it really takes."""

    choice: EngineChoice
    base_bytes: int
    frame_bytes: int
    """For each frame of the batch, and a million pixels."""
    load_s: float


@dataclass(slots=True, kw_only=True, eq=False)
class Card:
    """A device, CPU or not."""

    label: str
    total_bytes: int
    reserve_bytes: int
    most_workers: int
    is_refuge: bool = False
    slowness: float = 1.0
    context_bytes: int = 0
    foreign_bytes: int = 0
    is_lost: bool = False
    hands: "dict[int, Hand]" = field(default_factory=dict)

    @property
    def budget_bytes(self) -> int:
        return max(0, self.total_bytes - self.reserve_bytes - self.foreign_bytes)

    @property
    def carries_one(self) -> bool:
        return self.foreign_bytes == 0

    @property
    def held_bytes(self) -> int:
        return sum(hand.claim_bytes for hand in self.hands.values())

    @property
    def true_bytes(self) -> int:
        return sum(hand.true_bytes for hand in self.hands.values())


@dataclass(slots=True, kw_only=True, eq=False)
class Film:
    """A job: what it needs, and how far it is."""

    name: str
    share: Share
    arrives_s: float
    priority_s: float
    kit: Kit
    pixels: int
    length_s: float
    """What it plays."""
    analyse_s: float
    segment_s: tuple[float, ...]
    finish_s: float
    face: str = ""
    misjudged: float = 1.0
    """Memory that it really takes, over what is predicted."""
    learned: float = 1.0
    """What the prediction is multiplied by, after it was wrong."""
    guess: float = 1.0
    """Estimated seconds over true ones."""
    batch_most: int = 16
    attempts: int = 0
    is_alone: bool = False
    may_use_refuge: bool = False
    is_begun: bool = False
    is_over: bool = False
    is_too_large: bool = False
    """As predicted it would fit on no device, were that empty."""
    rests: int = 0
    rest_until_s: float = 0.0
    kind: TaskKind | None = ANALYSE
    missing: list[int] = field(default_factory=list)
    """Segments that nobody works on; for the other kinds [0] or []."""
    running: int = 0
    watch: "Watch | None" = None
    facts: JobFacts | None = None

    @property
    def turn(self) -> float:
        """The promised order within a folder; it never changes."""
        return self.arrives_s - self.priority_s + self.length_s

    def seconds(self, index: int) -> float:
        """True length of a task of the present kind, on a device of slowness 1."""
        if self.kind is RENDER:
            return self.segment_s[index]
        return self.analyse_s if self.kind is ANALYSE else self.finish_s

    @property
    def task_s(self) -> float:
        if self.kind is RENDER:
            return self.guess * sum(self.segment_s) / len(self.segment_s)
        return self.guess * self.seconds(0)


@dataclass(slots=True, kw_only=True, eq=False)
class Hand:
    """A worker."""

    number: int
    kit: Kit
    card: Card
    claim_bytes: int
    true_bytes: int = 0
    film: Film | None = None
    kind: TaskKind | None = None
    index: int = 0
    batch: int = 0
    begun_s: float = 0.0
    charged_s: float = 0.0
    staged: str = ""
    tasks: int = 0
    is_loading: bool = True
    is_leaving: bool = False
    is_alone: bool = False
    idle_since_s: float = 0.0
    run: int = 0
    """Number of its present task: news of an earlier one is no news."""

    @property
    def is_free(self) -> bool:
        return self.film is None and not self.is_leaving


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Everything that is drawn before the world begins."""

    seed: int
    cards: tuple[Card, ...]
    films: tuple[Film, ...]
    troubles: tuple[tuple[float, str, int, int], ...] = ()
    """(when, "foreign" | "lost" | "back", number of the card, bytes)."""
    rules: Rules = field(default_factory=Rules)
    death_rate: float = 0.0
    """Chance of a task to be ended by the death of its worker."""
    wear_tasks: int = 500
    jitter: float = 0.1


@dataclass(slots=True)
class Watch:
    """How things stood when a film became the first of its folder, and who was served since then in its stead."""

    served: dict[str | Share, float]
    given_back: dict[str | Share, float]
    by: dict[str | Share, float] = field(default_factory=dict)
    """Seconds that others got, by root, or by folder of its own root."""
    largest_s: dict[str | Share, float] = field(default_factory=dict)


def need_bytes(film: Film, card: Card, batch: int) -> int:
    """Predicted peak; rises with the batch."""
    taken = film.kit.base_bytes + card.context_bytes + batch * film.kit.frame_bytes * film.pixels / 1e6
    return int(taken * film.learned)


def may_go(film: Film, card: Card) -> bool:
    """Tell whether the film may be given anything there at all."""
    return not card.is_lost and (film.may_use_refuge or not card.is_refuge)


def idle_of(film: Film, card: Card) -> list[Hand]:
    """Idle workers of the film's engine."""
    return [hand for hand in card.hands.values() if hand.is_free and hand.kit is film.kit]


def fits(
    film: Film, card: Card, *, gone: Collection[Hand] = (), into: Hand | None = None, least_bytes: int = 0
) -> bool:
    """Tell whether a task of the film could be done there with the smallest batch, in a new worker or `into` one."""
    if not may_go(film, card):
        return False
    others = [hand for hand in card.hands.values() if hand is not into and hand not in gone]
    if others and (film.is_alone or any(hand.is_alone for hand in others)):
        return False
    if not others and card.carries_one and film.is_too_large:
        return card.most_workers > 0
    claim_bytes = max(least_bytes, need_bytes(film, card, 1), into.claim_bytes if into else 0)
    has_place = into is not None or len(others) < card.most_workers
    return has_place and sum(hand.claim_bytes for hand in others) + claim_bytes <= card.budget_bytes


ENGINES = (
    EngineChoice(name=EngineName.ATLAS),
    EngineChoice(name=EngineName.WAV2LIP, weights=Path("/a.pth"), weights_sha256="a"),
    EngineChoice(name=EngineName.WAV2LIP, weights=Path("/b.pth"), weights_sha256="b"),
    EngineChoice(name=EngineName.PASSTHROUGH),
)


def draw(seed: int) -> Workload:
    """One of all workloads; every tenth is of roots with equal rights and enough to do."""
    return equal_roots(seed) if is_of_equal_roots(seed) else _Draw(seed).anything()


def is_of_equal_roots(seed: int) -> bool:
    """Tell which kind of world `draw` makes of the seed."""
    return seed % 10 == 0


def equal_roots(seed: int) -> Workload:
    """Two to five roots that want the same engine on the same devices; films of one root are like each other."""
    return _Draw(seed).equal_roots()


class _Draw:
    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, random.Random(seed)
        self.step_s = self.random.choice((60.0, 600.0))
        """What one step of priority is worth."""

    def anything(self) -> Workload:
        cards = self.cards()
        kits = self.kits(cards)
        films = self.films(kits, cards)
        rate = self.random.choice((0.0, 0.0, 0.01, 0.05))
        wear = self.random.choice((3, 20, 500))
        rules = Rules(keep_warm_s=self.random.choice((0.0, 10.0, 300.0)))
        troubles = self.troubles(cards, max(film.arrives_s for film in films) + 2000.0)
        return Workload(
            seed=self.seed, cards=cards, films=films, troubles=troubles, rules=rules, death_rate=rate, wear_tasks=wear
        )

    def equal_roots(self) -> Workload:
        card_count, root_count = self.random.randint(1, 4), self.random.randint(2, 5)
        cards = tuple(self.card(f"cuda:{n}", 24 * GIB, places=2) for n in range(card_count))
        kit = Kit(choice=ENGINES[0], base_bytes=GIB, frame_bytes=100 * MIB, load_s=10.0)
        films: list[Film] = []
        for root in range(root_count):
            segment_s, count = self.random.uniform(5, 60), self.random.randint(1, 6)
            for number in range(max(2 * card_count + 4, 240 // root_count // (count + 2))):
                share = Share(f"root{root}", f"folder{number % self.random.randint(1, 3)}")
                films.append(
                    Film(
                        name=f"r{root}f{number:03d}", share=share, arrives_s=0.0, priority_s=0.0, kit=kit, pixels=10**6,
                        length_s=segment_s * count,
                        analyse_s=segment_s / 2, segment_s=(segment_s,) * count, finish_s=segment_s / 4,
                    )
                )  # fmt: skip
        return Workload(seed=self.seed, cards=cards, films=tuple(films), jitter=0.0)

    def card(self, label: str, total_bytes: int, places: int, **more: bool) -> Card:
        reserve = min(512 * MIB, total_bytes // 8)
        slowness = self.random.choice((0.5, 1.0, 1.0, 3.0))
        context_bytes = 0 if label == "cpu" else self.random.randint(100, 500) * MIB
        return Card(
            label=label, total_bytes=total_bytes, reserve_bytes=reserve, most_workers=places, slowness=slowness,
            context_bytes=context_bytes, **more,
        )  # fmt: skip

    def cards(self) -> tuple[Card, ...]:
        cpu = self.card("cpu", self.random.randint(4, 64) * GIB, self.random.choice((1, 2, 4, 8, 32)))
        if self.random.random() < 0.2:
            return (cpu,)
        sizes = self.random.choices((2, 4, 8, 12, 24, 48, 80), k=self.random.choice((1, 1, 2, 2, 3, 4, 8)))
        cards = tuple(self.card(f"cuda:{n}", size * GIB, self.random.randint(1, 4)) for n, size in enumerate(sizes))
        cpu.is_refuge = True
        return (*cards, cpu) if self.random.random() < 0.4 else cards

    def kits(self, cards: Sequence[Card]) -> list[Kit]:
        """Engines that fit in the largest card at least, with the smallest batch."""
        largest_bytes = max(card.budget_bytes - card.context_bytes for card in cards if not card.is_refuge)
        return [
            Kit(
                choice=choice,
                base_bytes=int(min(self.random.uniform(0.2, 4.0) * GIB, largest_bytes * 0.5)),
                frame_bytes=int(min(self.random.uniform(5, 400) * MIB, largest_bytes * 0.05)),
                load_s=self.random.uniform(1.0, 40.0),
            )
            for choice in ENGINES[: self.random.randint(1, len(ENGINES))]
        ]

    def films(self, kits: Sequence[Kit], cards: Sequence[Card]) -> tuple[Film, ...]:
        shares = [
            Share(f"root{root}", f"folder{folder}")
            for root in range(self.random.randint(1, 5))
            for folder in range(self.random.choice((1, 1, 2, 3, 6)))
        ]
        largest = max((card for card in cards if not card.is_refuge), key=lambda card: card.total_bytes)
        gap_s = self.random.choice((0.0, 5.0, 60.0, 600.0))
        at_s, tasks_left = 0.0, 250
        films: list[Film] = []
        for number in range(self.random.randint(1, 40)):
            at_s += self.random.expovariate(1 / gap_s) if gap_s and self.random.random() < 0.7 else 0.0
            film = self.film(number, at_s, self.random.choice(shares), self.random.choice(kits), largest)
            tasks_left -= len(film.segment_s)
            films.append(film)
            if tasks_left < 0:
                break
        return tuple(films)

    def film(self, number: int, at_s: float, share: Share, kit: Kit, largest: Card) -> Film:
        """From some seconds to four hours; now and then one that was begun too often, or needs more than predicted."""
        draw, length_s = self.random, min(14400.0, self.random.lognormvariate(4.5, 1.6))
        rate = draw.uniform(0.1, 1.5)
        count = max(1, round(length_s / SEGMENT_S))
        film = Film(
            name=f"f{number:03d}",
            share=share,
            arrives_s=at_s,
            priority_s=self.step_s * draw.choice((0, 0, 0, 0, 1, 2, 3, -1, -2, -3)),
            kit=kit,
            length_s=length_s,
            pixels=draw.choice((230_400, 921_600, 2_073_600)),
            analyse_s=0.2 + length_s * rate * 0.3,
            segment_s=(length_s * rate / count,) * count,
            finish_s=0.2 + length_s * 0.02,
            face=draw.choice(("", "", "anna", "bert", "cleo")),
            misjudged=draw.uniform(0.5, 1.0) if draw.random() < 0.9 else draw.uniform(1.0, 1.6),
            guess=draw.choice((1.0, 1.0, draw.uniform(0.6, 1.6))),
            batch_most=draw.choice((1, 8, 16, 16, 64)),
            attempts=5 if draw.random() < 0.02 else 0,
        )
        film.misjudged = min(film.misjudged, 0.95 * largest.total_bytes / need_bytes(film, largest, 1))
        return film

    def troubles(self, cards: Sequence[Card], until_s: float) -> tuple[tuple[float, str, int, int], ...]:
        """Memory that others take and give back, and devices that fall off the bus; all is well again in the end."""
        if self.random.random() < 0.4:
            return ()
        found: list[tuple[float, str, int, int]] = []
        for number, card in enumerate(cards):
            for _ in range(self.random.choice((0, 0, 1, 3, 8))):
                size = int(card.total_bytes * self.random.uniform(0.0, 1.0))
                found.append((self.random.uniform(0, until_s), "foreign", number, size))
            if self.random.random() < 0.15:
                at_s = self.random.uniform(0, until_s)
                found += [(at_s, "lost", number, 0), (at_s + self.random.uniform(1, until_s), "back", number, 0)]
            found.append((2 * until_s, "foreign", number, 0))
        return tuple(found)


def jain(given_s: Collection[float]) -> float:
    """Jain's index of fairness: 1 when all got the same, 1/n when one got everything."""
    return sum(given_s) ** 2 / (len(given_s) * sum(value * value for value in given_s))


ORDER = Path("/o")
LIMITS = Limits()


def batches(most: int) -> Iterator[int]:
    while most >= 1:
        yield most
        most //= 2


def task_of(film: Film, index: int) -> Task:
    assert film.kind is not None
    segment = Segment(index, index, index + 1) if film.kind is RENDER else None
    return Task(
        job_id=film.name, kind=film.kind, order_path=ORDER, segment=segment, batch_size=film.batch_most, limits=LIMITS
    )
