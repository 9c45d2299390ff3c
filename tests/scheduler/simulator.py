"""A world for the policy: machines, films and bad luck drawn from a seed, carried through in simulated time.

    Simulator(draw(seed), brain).run()  →  Figures, or raises Broken at the first promise that is not kept

The simulator keeps a ledger of its own. After each call of `assign` it looks at every admission and at everything
that was left undone. Bytes are those of the simulated devices, times seconds since the world began.
"""

import heapq
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from heygemd.planning.plan import Task
from heygemd.scheduler.facts import (
    Decision,
    DeviceFacts,
    Fit,
    FitOf,
    JobFacts,
    Rules,
    Service,
    Share,
    WorkerFacts,
)
from tests.scheduler.promises import Broken, Figures, Round
from tests.scheduler.workloads import (
    ANALYSE,
    FINISH,
    RENDER,
    Card,
    Film,
    Hand,
    Kit,
    Workload,
    batches,
    may_go,
    need_bytes,
    task_of,
)

MOST_ROUNDS = 20_000
CRASHES = (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError)
"""What a bug in the policy may raise."""


Assign = Callable[
    [Sequence[JobFacts], Sequence[WorkerFacts], Sequence[DeviceFacts], FitOf, Service, float, Rules],
    tuple[Decision, ...],
]


@dataclass(frozen=True, slots=True)
class Brain:
    """What is tested: the policy and its ledger of fairness."""

    assign: Assign
    charge: Callable[[Service, Share, float], None]
    settle: Callable[[Service, Collection[Share]], None]


class Simulator:
    """Carries one workload through. Use once: films and cards are changed on the way."""

    def __init__(self, load: Workload, brain: Brain) -> None:
        self.load, self.brain, self.rules = load, brain, load.rules
        self.random = random.Random(load.seed)
        self.now_s = 0.0
        self.figures = Figures()
        self.service = Service()
        self.given_back: dict[str | Share, float] = {}
        """Seconds charged at a start and given back at the end, by root and folder: estimates that were too long."""
        self.cards = {card.label: card for card in load.cards}
        self.films = {film.name: film for film in load.films}
        self.tracked: set[str] = set()
        """Faces that somebody has analysed."""
        self.roots = {film.share.root for film in load.films}
        self.is_all_busy = True
        """Every root has had something to begin all the time."""
        self.open: dict[str, Film] = {}
        """Those that have arrived and are not over."""
        self.hands: dict[int, Hand] = {}
        self._events: list[tuple[float, int, Callable[..., object], tuple[object, ...]]] = []
        self._count = 0
        self._places = sum(card.most_workers for card in load.cards)
        self._left = len(load.films)

    def run(self) -> Figures:
        """Work everything off."""
        for film in self.load.films:
            film.missing = [0]
            self._at(film.arrives_s, self._arrive, film)
        for when_s, what, number, size in self.load.troubles:
            self._at(when_s, self._trouble, what, self.load.cards[number], size)
        while self._left:
            if not self._events:
                names = ", ".join(f"{film.name} ({film.kind})" for film in self.open.values())
                self.break_("every job ends", f"nothing will ever happen again, and there are still {names}")
            self.now_s = self._events[0][0]
            is_news = False
            while self._events and self._events[0][0] <= self.now_s:
                _, _, act, values = heapq.heappop(self._events)
                is_news |= act(*values) is not False
            if is_news:
                self._decide()
        self.figures.ends_s = self.now_s
        return self.figures

    def break_(self, promise: str, what: str) -> None:
        raise Broken(promise, self.load.seed, self.now_s, what)

    def _at(self, when_s: float, act: Callable[..., object], *values: object) -> None:
        self._count += 1
        heapq.heappush(self._events, (when_s, self._count, act, values))

    def _wake(self, hand: "Hand | None" = None, run: int = 0) -> bool:
        """Let the policy look again; not when it was for a worker that has had other work meanwhile."""
        return hand is None or (hand.is_free and hand.run == run)

    # What happens ---------------------------------------------------------------------------------------------------

    def _arrive(self, film: Film) -> None:
        self.open[film.name] = film

    def _trouble(self, what: str, card: Card, size: int) -> None:
        if what == "foreign":
            card.foreign_bytes = max(0, min(size, card.total_bytes - card.true_bytes))
        elif what == "lost":
            card.is_lost = True
            for hand in list(card.hands.values()):
                self._die(hand, rest=True)
        else:
            card.is_lost = False

    def _ready(self, hand: Hand, run: int) -> None:
        if hand.number in self.hands and hand.run == run:
            hand.is_loading = False
            self._work(hand)

    def _work(self, hand: Hand) -> None:
        """Begin the task that the worker has; it may fail, by want of memory or by the death of the worker."""
        film = hand.film
        assert film is not None
        card = hand.card
        true_bytes = int(need_bytes(film, card, hand.batch) * film.misjudged / film.learned)
        hand.true_bytes = max(hand.true_bytes, true_bytes)
        takes_s = film.seconds(hand.index) * card.slowness
        takes_s *= 1 + self.load.jitter * (2 * self.random.random() - 1)
        if card.true_bytes + card.foreign_bytes > card.total_bytes:
            hand.true_bytes = min(true_bytes, film.kit.base_bytes)
            self._at(self.now_s + takes_s * 0.1, self._oom, hand, hand.run)
        elif self.random.random() < self.load.death_rate:
            self._at(self.now_s + takes_s * self.random.random(), self._end_by_death, hand, hand.run)
        else:
            self._at(self.now_s + takes_s, self._done, hand, hand.run)

    def _done(self, hand: Hand, run: int) -> None:
        if hand.number not in self.hands or hand.run != run:
            return
        film = hand.film
        assert film is not None
        hand.staged = film.name if hand.kind is RENDER else hand.staged
        self._take_off(hand)
        film.rests = 0
        if film.missing or film.running:
            return
        film.kind = {ANALYSE: RENDER, RENDER: FINISH}.get(film.kind) if film.kind else None
        if film.kind is None:
            self._close(film)
            return
        film.missing = list(range(len(film.segment_s))) if film.kind is RENDER else [0]
        if film.kind is RENDER and film.face:
            for other in self.open.values():  # tracked once for all; who analyses already goes on
                if other.face == film.face:
                    other.facts = None
            self.tracked.add(film.face)

    def _close(self, film: Film) -> None:
        film.is_over = True
        film.missing = []
        del self.open[film.name]
        self._left -= 1

    def _take_off(self, hand: Hand, *, is_given_back: bool = False) -> None:
        """The worker has its task no more; what was charged beforehand is made true."""
        film = hand.film
        assert film is not None
        if is_given_back:
            film.missing = sorted({*film.missing, hand.index})
        film.running -= 1
        film.facts = None
        took_s = self.now_s - hand.begun_s
        correction_s = took_s - hand.charged_s
        if correction_s < 0:
            for who in (film.share.root, film.share):
                self.given_back[who] = self.given_back.get(who, 0.0) - correction_s
        self.charge(film, correction_s)
        hand.film, hand.kind, hand.is_alone = None, None, False
        hand.run += 1
        hand.tasks += 1
        hand.idle_since_s = self.now_s
        self._at(self.now_s + self.rules.keep_warm_s + 0.001, self._wake, hand, hand.run)

    def charge(self, film: Film, seconds: float) -> None:
        self.brain.charge(self.service, film.share, seconds)
        if self.is_all_busy:
            given = self.figures.given_s
            given[film.share.root] = given.get(film.share.root, 0.0) + seconds

    def _oom(self, hand: Hand, run: int) -> None:
        """Smaller, then in a fresh worker, then later and alone, on the CPU if there is one."""
        if hand.number not in self.hands or hand.run != run:
            return
        self.figures.ooms += 1
        film, is_fresh = hand.film, hand.tasks == 0
        assert film is not None
        film.batch_most = max(1, hand.batch // 2)
        was_least = hand.batch == 1
        if not was_least:
            self._take_off(hand, is_given_back=True)
            return
        self._die(hand, rest=is_fresh)
        if is_fresh:
            film.is_alone, film.learned = True, max(1.0, film.misjudged)
            film.may_use_refuge = film.rests > 1 and any(card.is_refuge for card in self.load.cards)

    def _end_by_death(self, hand: Hand, run: int) -> None:
        if hand.number in self.hands and hand.run == run:
            self.figures.deaths += 1
            self._die(hand, rest=hand.is_loading)

    def _die(self, hand: Hand, *, rest: bool) -> None:
        """End a worker at once; with `rest` its job lies for a while, and all who work on it are ended, too."""
        film = hand.film
        if film is not None:
            self._take_off(hand, is_given_back=True)
        self._leave(hand, after_s=0.2)
        if film is None or not rest or film.rest_until_s > self.now_s:
            return
        film.rest_until_s = self.now_s + min(300.0, 5.0 * 2.0 ** min(film.rests, 10))
        film.rests += 1
        film.is_begun = False
        film.attempts -= 1
        film.facts = None
        for other in list(self.hands.values()):
            if other.film is film:
                self._die(other, rest=False)
        self._at(film.rest_until_s, self._wake)

    def _leave(self, hand: Hand, after_s: float) -> None:
        if not hand.is_leaving:
            hand.is_leaving = True
            self._at(self.now_s + after_s, self._gone, hand)

    def _gone(self, hand: Hand) -> None:
        del self.hands[hand.number]
        del hand.card.hands[hand.number]

    # What it is told to do ------------------------------------------------------------------------------------------

    def hire(self, kit: Kit, card: Card) -> Hand:
        self._count += 1
        hand = Hand(number=self._count, kit=kit, card=card, claim_bytes=0, true_bytes=kit.base_bytes // 2)
        self.hands[hand.number] = card.hands[hand.number] = hand
        self.figures.new_workers += 1
        return hand

    def give(self, hand: Hand, film: Film, task: Task) -> None:
        """Hand the task over; a new worker loads its engine first, and may die of that."""
        index = task.segment.index if task.segment else 0
        film.missing = [number for number in film.missing if number != index]
        film.running += 1
        if not film.is_begun:
            film.is_begun = True
            film.attempts += 1
        film.facts = film.watch = None
        hand.film, hand.kind, hand.index, hand.batch = film, task.kind, index, task.batch_size
        hand.is_alone = film.is_alone
        hand.begun_s, hand.charged_s = self.now_s, film.task_s
        self.charge(film, film.task_s)
        self.figures.starts += 1
        if not hand.is_loading:
            self._work(hand)
        elif self.random.random() < self.load.death_rate:
            self._at(self.now_s + hand.kit.load_s / 2, self._end_by_death, hand, hand.run)
        else:
            self._at(self.now_s + hand.kit.load_s, self._ready, hand, hand.run)

    def dismiss(self, hand: Hand) -> None:
        self._leave(hand, after_s=0.5 + self.random.random())

    def give_up(self, film: Film) -> None:
        self._close(film)

    # What is decided ------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        self.figures.rounds += 1
        if self.figures.rounds > MOST_ROUNDS:
            self.break_("every job ends", f"{self._left} jobs are left after {MOST_ROUNDS} rounds")
        self.brain.settle(self.service, {film.share for film in self.open.values()})
        jobs = [self._facts(film) for film in self.open.values()]
        for film in self.open.values():
            open_to_it = (card for card in self.load.cards if may_go(film, card))
            film.is_too_large = all(need_bytes(film, card, 1) > card.budget_bytes for card in open_to_it)
        before = dict(self.service.roots), dict(self.service.folders)
        facts = jobs, self._worker_facts(), self._device_facts()
        decisions: tuple[Decision, ...] = ()
        try:
            decisions = self.brain.assign(*facts, self._fit_of, self.service, self.now_s, self.rules)
        except CRASHES as error:
            raise Broken("no crash", self.load.seed, self.now_s, repr(error)) from error
        if (self.service.roots, self.service.folders) != before:
            self.break_("pure", "assign has changed the ledger of fairness")
        round_ = Round(self, decisions)
        round_.carry_out()
        round_.look_back()

    def _facts(self, film: Film) -> JobFacts:
        if film.facts is None:
            film.facts = JobFacts(
                job_id=film.name,
                is_begun=film.is_begun,
                turn=film.turn,
                attempts=film.attempts,
                rest_until_s=film.rest_until_s,
                engine=film.kit.choice,
                todo=tuple(task_of(film, index) for index in film.missing[: self._places]),
                share=film.share,
                priority_s=film.priority_s,
                task_s=film.task_s if film.kind else 0.0,
                pixels=film.pixels,
                batch_most=film.batch_most,
                needs_device_alone=film.is_alone,
                may_use_refuge=film.may_use_refuge,
                is_prepared=film.kind is RENDER and not film.running and len(film.missing) == len(film.segment_s),
                face_key=self.face_key(film),
            )
        return film.facts

    def face_key(self, film: Film) -> str:
        """The picture's key, while its face has not been tracked."""
        return film.face if film.kind is ANALYSE and film.face not in self.tracked else ""

    def is_face_in_work(self, film: Film) -> bool:
        face = self.face_key(film)
        return bool(face) and any(
            hand.film and hand.kind is ANALYSE and hand.film.face == face for hand in self.hands.values()
        )

    def _worker_facts(self) -> list[WorkerFacts]:
        return [
            WorkerFacts(
                worker=hand.number,
                engine=hand.kit.choice,
                device=hand.card.label,
                is_free=hand.is_free,
                held_bytes=hand.claim_bytes,
                job_id=hand.film.name if hand.film else "",
                task=hand.kind,
                staged=hand.staged,
                is_alone=hand.is_alone,
                is_worn=hand.tasks >= self.load.wear_tasks,
                idle_s=self.now_s - hand.idle_since_s if hand.is_free else 0.0,
            )
            for hand in self.hands.values()
        ]

    def _device_facts(self) -> list[DeviceFacts]:
        return [
            DeviceFacts(
                label=card.label,
                budget_bytes=card.budget_bytes,
                most_workers=card.most_workers,
                is_lost=card.is_lost,
                is_refuge=card.is_refuge,
                carries_one=card.carries_one,
            )
            for card in self.load.cards
        ]

    def _fit_of(self, job: JobFacts, label: str, free_bytes: int) -> Fit | None:
        film, card = self.films[job.job_id], self.cards[label]
        for batch in batches(job.batch_most):
            claim_bytes = need_bytes(film, card, batch)
            if claim_bytes <= free_bytes:
                return Fit(batch, claim_bytes)
        return None
