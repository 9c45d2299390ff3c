"""What the policy promises, checked on every answer of it: each admission, and everything that was left undone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heygemd.planning.plan import TaskKind
from heygemd.scheduler.facts import (
    Decision,
    Dismiss,
    GiveUp,
    NewWorker,
    Share,
    Start,
    Wait,
)
from tests.scheduler.workloads import ANALYSE, EPS, MIB, RENDER, Card, Film, Hand, Watch, fits, idle_of, need_bytes

if TYPE_CHECKING:
    from tests.scheduler.simulator import Simulator

REUSE_GRACE_S = 30.0
"""A worker of another engine may be used rather than replaced for a job that is ahead by less."""


class Broken(AssertionError):
    """A promise was not kept. `promise` is its short name, the message says where and when."""

    def __init__(self, promise: str, seed: int, now_s: float, what: str) -> None:
        super().__init__(f"{promise}: {what} (seed {seed}, {now_s:.1f} s)")
        self.promise, self.seed, self.now_s, self.what = promise, seed, now_s, what


@dataclass(slots=True)
class Figures:
    """What happened."""

    rounds: int = 0
    starts: int = 0
    new_workers: int = 0
    switches: int = 0
    ooms: int = 0
    deaths: int = 0
    ends_s: float = 0.0
    overtaken_s: float = 0.0
    """Most seconds given to other folders while a film stood first in its own, and could have had the place."""
    of_bound: float = 0.0
    """The same over its bound, at most."""
    given_s: dict[str, float] = field(default_factory=dict)
    """Estimated seconds by root, up to the moment when the first root has nothing left to begin."""


@dataclass(slots=True)
class Given:
    """One Start of a round, and how things stood just before it."""

    film: Film
    hand: Hand
    is_new: bool
    was_claim_bytes: int
    kind: TaskKind
    roots: dict[str, float]
    folders: dict[Share, float]
    is_lookahead: bool
    """The only analysis, beside something that is being rendered: it may be taken before its time."""

    def ahead_s(self, film: Film, least: Mapping[str | Share, float]) -> float:
        """By how much `film`, which got nothing, was ahead; `least` are the lowest priorities there."""
        mine, other = film.share, self.film.share
        if mine == other:
            return self.film.turn - film.turn
        if mine.root != other.root:
            behind_s = self.roots.get(other.root, 0.0) - self.roots.get(mine.root, 0.0)
            return behind_s - self.film.priority_s + least[mine.root]
        behind_s = self.folders.get(other, 0.0) - self.folders.get(mine, 0.0)
        return behind_s - self.film.priority_s + least[mine]


class Round:
    """One answer of the policy: carried out step by step, each admission checked; then what was left undone."""

    def __init__(self, world: "Simulator", decisions: Sequence[Decision]) -> None:
        self.world, self.decisions = world, decisions
        self.given: list[Given] = []
        self.dismissed: list[tuple[Hand, bool]] = []
        """Worker, and whether its card was over its budget before."""
        self.over = {card.label for card in world.load.cards if card.held_bytes > card.budget_bytes}

    def keep(self, is_kept: bool, promise: str, what: str) -> None:
        if not is_kept:
            self.world.break_(promise, what)

    def carry_out(self) -> None:
        for decision in self.decisions:
            match decision:
                case Start():
                    self._start(decision)
                case Dismiss():
                    self._dismiss(decision.worker)
                case GiveUp():
                    self._give_up(decision)
                case _:
                    self.keep(isinstance(decision, Wait), "decision", f"{decision} makes no sense here")

    def _give_up(self, decision: GiveUp) -> None:
        film = self.world.open.get(decision.job_id)
        self.keep(film is not None, "no job lost", f"{decision.job_id} is not there to be given up")
        assert film is not None
        is_hopeless = not film.is_begun and film.attempts >= self.world.rules.max_attempts
        self.keep(is_hopeless and decision.code == "E501", "no job lost", f"{film.name} was given up: {decision}")
        self.world.give_up(film)

    def _dismiss(self, worker: int) -> None:
        hand = self.world.hands.get(worker)
        self.keep(hand is not None and hand.is_free, "dismissal", f"worker {worker} is not idle")
        assert hand is not None
        self.dismissed.append((hand, hand.card.label in self.over))
        self.world.dismiss(hand)

    def _start(self, start: Start) -> None:
        task, world = start.task, self.world
        film = world.open.get(task.job_id)
        self.keep(film is not None, "no task twice", f"{task.job_id} is not there")
        assert film is not None
        name = f"{film.name} {task.kind} {task.segment.index if task.segment else ''} on {task.device}"
        index = task.segment.index if task.segment else 0
        self.keep(task.kind is film.kind and index in film.missing, "no task twice", f"{name} is not to be done")
        self.keep(film.rest_until_s <= world.now_s, "rest", f"{name}, but it rests")
        is_spent = not film.is_begun and film.attempts >= world.rules.max_attempts
        self.keep(not is_spent, "attempts", f"{name}: it was begun {film.attempts} times already")
        card = world.cards[task.device]
        self.keep(not card.is_lost, "lost device", name)
        self.keep(film.may_use_refuge or not card.is_refuge, "refuge", name)
        self.keep(not world.is_face_in_work(film), "one face once", f"{name}: {film.face} is being tracked")
        hand = self._hand(start, film, card, name)
        was_bytes = hand.claim_bytes
        least_bytes = need_bytes(film, card, task.batch_size)
        is_honest = 1 <= task.batch_size <= film.batch_most and start.claim_bytes >= least_bytes
        self.keep(is_honest, "claim", f"{name}: batch {task.batch_size} with {start.claim_bytes}, not {least_bytes}")
        hand.claim_bytes = max(was_bytes, start.claim_bytes)
        is_last = card.carries_one and len(card.hands) == 1
        is_tried = is_last and (film.is_too_large or hand.claim_bytes == was_bytes)
        size = f"{card.held_bytes / MIB:.0f} of {card.budget_bytes / MIB:.0f} MiB"
        self.keep(card.held_bytes <= card.budget_bytes or is_tried, "over budget", f"{name} makes it {size}")
        crowd = len(card.hands) > 1 and (film.is_alone or any(h.is_alone for h in card.hands.values()))
        self.keep(not crowd, "alone", f"{name}: somebody there needs the device alone")
        service = world.service
        others = [other.kind for other in world.hands.values()]
        given = Given(
            film, hand, hand.is_loading, was_bytes, task.kind, dict(service.roots), dict(service.folders),
            task.kind is ANALYSE and ANALYSE not in others and RENDER in others,
        )  # fmt: skip
        self.given.append(given)
        world.give(hand, film, task)

    def _hand(self, start: Start, film: Film, card: Card, name: str) -> Hand:
        if isinstance(start.worker, NewWorker):
            is_right = start.worker.device == card.label and start.worker.engine == film.kit.choice
            self.keep(is_right, "right engine", f"{name} in a new worker of {start.worker}")
            self.keep(len(card.hands) < card.most_workers, "places", f"{name}: {len(card.hands)} workers are there")
            return self.world.hire(film.kit, card)
        hand = self.world.hands.get(start.worker)
        self.keep(hand is not None and hand.is_free, "one task a worker", f"{name} to worker {start.worker}")
        assert hand is not None
        is_right = hand.card is card and hand.kit.choice == film.kit.choice
        self.keep(is_right, "right engine", f"{name} to worker {hand.number} of {hand.kit.choice}")
        self.keep(hand.tasks < self.world.load.wear_tasks, "worn", f"{name} to worker {hand.number}")
        return hand

    # What was left undone -------------------------------------------------------------------------------------------

    def look_back(self) -> None:
        world = self.world
        losers = [film for film in world.open.values() if film.missing and self._may_begin(film)]
        self._check_idle()
        self._check_conserving(losers)
        self._check_switching(losers)
        for hand, was_over in self.dismissed:
            self._check_dismissal(hand, was_over, losers)
        for given in self.given:
            self._check_reuse(given, losers)
        self._check_order(losers)
        if {film.share.root for film in losers} != self.world.roots:
            world.is_all_busy = False

    def _may_begin(self, film: Film) -> bool:
        world = self.world
        if film.rest_until_s > world.now_s:
            return False
        is_spent = not film.is_begun and film.attempts >= world.rules.max_attempts
        self.keep(not is_spent, "attempts", f"{film.name} was begun {film.attempts} times and is not given up")
        return not world.is_face_in_work(film)

    def _check_idle(self) -> None:
        world = self.world
        for card in world.load.cards:
            idle = [hand for hand in card.hands.values() if hand.is_free]
            staying = [hand.claim_bytes for hand in card.hands.values() if not hand.is_leaving]
            is_over = bool(idle) and sum(staying) > card.budget_bytes and not (card.carries_one and len(staying) == 1)
            self.keep(not is_over, "shrunk budget", f"workers stay idle on {card.label} beyond it")
            for hand in idle:
                self.keep(hand.tasks < world.load.wear_tasks, "worn", f"worker {hand.number} stays")
                idle_s = world.now_s - hand.idle_since_s
                self.keep(idle_s <= world.rules.keep_warm_s + EPS, "keep warm", f"worker {hand.number}: {idle_s:.1f} s")

    def _check_conserving(self, losers: Sequence[Film]) -> None:
        """Nobody waits beside an idle worker or a free place that would do.

        A device may be kept for one film each that needs more of it than is free there: else small films could keep
        a large one out for ever.
        """
        open_to: dict[str, list[Film]] = {}
        for film in losers:
            for card in self.world.load.cards:
                if fits(film, card) or any(fits(film, card, into=hand) for hand in idle_of(film, card)):
                    open_to.setdefault(card.label, []).append(film)
        if not open_to:
            return
        keepers = {
            label: [film for film in losers if self._may_keep(film, self.world.cards[label], waiting)]
            for label, waiting in open_to.items()
        }
        taken: dict[Film, str] = {}
        for label, waiting in open_to.items():
            names = ", ".join(film.name for film in waiting)
            self.keep(
                _match(label, keepers, taken, set()),
                "work conserving",
                f"{names} wait, though there is room on {label}",
            )

    def _may_keep(self, film: Film, card: Card, waiting: Sequence[Film]) -> bool:
        """Would the film get the device when it is emptied, and are those whom it keeps out not before it?"""
        is_first = all(other.share != film.share or film.turn <= other.turn for other in waiting)
        return film not in waiting and is_first and fits(film, card, gone=card.hands.values())

    def _check_switching(self, losers: Sequence[Film]) -> None:
        """Nobody waits for a place that idle workers hold, unless one is being made already."""
        for film in losers:
            cards = []
            for card in self.world.load.cards:
                gone = [hand for hand in card.hands.values() if not hand.film]
                if fits(film, card, gone=gone):
                    cards.append(card)
            if any(hand.is_leaving for card in cards for hand in card.hands.values()):
                continue
            for card in cards:
                idle = [hand.number for hand in card.hands.values() if hand.is_free]
                self.keep(not idle, "switching", f"{film.name} waits while {idle} stand idle on {card.label}")

    def _check_dismissal(self, hand: Hand, was_over: bool, losers: Sequence[Film]) -> None:
        world, card = self.world, hand.card
        is_due = was_over or hand.tasks >= world.load.wear_tasks or card.is_lost
        if is_due or world.now_s - hand.idle_since_s >= world.rules.keep_warm_s - EPS:
            return
        wanting = [film for film in losers if fits(film, card, gone=card.hands.values())]
        self.keep(bool(wanting), "needless dismissal", f"worker {hand.number} on {card.label}: nobody comes for it")
        world.figures.switches += 1
        mine = [film for film in wanting if film.kit is hand.kit and fits(film, card, into=hand)]
        if mine and len({film.share for film in world.open.values()}) == 1 and not world.figures.ooms:
            first_s, mine_s = min(film.turn for film in wanting), min(film.turn for film in mine)
            what = f"{hand.number} was dismissed for a film hardly ahead of one that it could have done"
            self.keep(first_s <= mine_s - REUSE_GRACE_S + EPS or first_s == mine_s, "reuse", what)

    def _check_reuse(self, given: Given, losers: Sequence[Film]) -> None:
        """Warm before new, and among the warm the one that has the film ready."""
        film, mine = given.film, given.hand
        for card in self.world.load.cards:
            for hand in idle_of(film, card):
                if not fits(film, card, gone=[mine], into=hand):
                    continue
                if any(self._may_keep(loser, card, ()) for loser in losers):
                    continue
                self.keep(not given.is_new, "reuse", f"{film.name} got a new worker, {hand.number} stays idle")
                is_worse = hand.staged == film.name and mine.staged != film.name and given.kind is RENDER
                self.keep(not is_worse, "staged", f"{film.name} is ready in worker {hand.number}, which stays idle")

    # Order ----------------------------------------------------------------------------------------------------------

    def _check_order(self, losers: Sequence[Film]) -> None:
        """Nobody gets a place that one who is ahead of him could have had."""
        heads = self._heads(losers)
        least: dict[str | Share, float] = {}
        for film in self.world.open.values():
            for who in (film.share, film.share.root):
                least[who] = min(least.get(who, film.priority_s), film.priority_s)
        for given in self.given:
            is_spared = not given.is_new and any(film.kit is not given.film.kit for film in losers)
            for film in losers:
                if film is given.film or film.is_alone:
                    continue
                ahead_s = given.ahead_s(film, least)
                if (ahead_s > EPS or film in heads) and self._could_have_had(film, given):
                    if film in heads:
                        self._count_overtaking(film, given)
                    what = f"{given.film.name} {given.kind} got worker {given.hand.number} on {given.hand.card.label}"
                    grace_s = REUSE_GRACE_S if is_spared else 0.0
                    self.keep(ahead_s <= grace_s + EPS, "order", f"{what}; {film.name} is {ahead_s:.1f} s ahead")

    def _could_have_had(self, film: Film, given: Given) -> bool:
        """Could the film be in that place instead, if need be in a new worker?"""
        card, hand = given.hand.card, given.hand
        if given.is_lookahead and film.kind is not ANALYSE:
            return False
        if given.is_new or hand.kit is film.kit:
            return fits(film, card, gone=[hand], least_bytes=given.was_claim_bytes)
        is_coming = any(other.is_leaving for other in self.world.hands.values())
        return not is_coming and fits(film, card, gone=[hand])

    def _heads(self, losers: Sequence[Film]) -> set[Film]:
        """The first of each folder, if it has nothing yet; it is watched from now on."""
        firsts: dict[Share, Film] = {}
        for film in losers:
            first = firsts.setdefault(film.share, film)
            if (film.turn, film.name) < (first.turn, first.name):
                firsts[film.share] = film
        heads = {film for film in firsts.values() if not film.is_begun and not film.is_alone}
        at_first = self.given[0] if self.given else self.world.service
        for film in losers:
            if film not in heads:
                film.watch = None
            elif film.watch is None:
                served: dict[str | Share, float] = {**at_first.roots, **at_first.folders}
                film.watch = Watch(served, dict(self.world.given_back))
        return heads

    def _count_overtaking(self, film: Film, given: Given) -> None:
        """Hold the wait to its bound, by other folder of the root and by other root.

        While a film stands first in its folder, another gets in places that it could have had at most what it was
        behind in service, what priorities are worth, its largest task, and the grace for a worker that is warm. What is
        given back because an estimate was too long may be given again.
        """
        watch, other = film.watch, given.film
        if watch is None or other.share == film.share or given.is_lookahead:
            return
        is_root = other.share.root != film.share.root
        who: str | Share = other.share.root if is_root else other.share
        watch.by[who] = watch.by.get(who, 0.0) + given.hand.charged_s
        watch.largest_s[who] = max(watch.largest_s.get(who, 0.0), given.hand.charged_s)
        now_s = given.roots.get(film.share.root, 0.0) if is_root else given.folders.get(film.share, 0.0)
        priorities = [one.priority_s for one in self.world.load.films]
        behind_s = max(0.0, now_s - watch.served.get(who, 0.0) + max(priorities) - min(priorities))
        back_s = self.world.given_back.get(who, 0.0) - watch.given_back.get(who, 0.0)
        bound_s = behind_s + watch.largest_s[who] + REUSE_GRACE_S + back_s
        figures = self.world.figures
        figures.overtaken_s = max(figures.overtaken_s, sum(watch.by.values()))
        figures.of_bound = max(figures.of_bound, watch.by[who] / max(bound_s, EPS))
        what = (
            f"{who} was given {watch.by[who]:.0f} s while {film.name} stood first in its folder; bound {bound_s:.0f} s"
        )
        self.keep(watch.by[who] <= bound_s + EPS, "bounded wait", what)


def _match(label: str, keepers: Mapping[str, Sequence[Film]], taken: dict[Film, str], seen: set[Film]) -> bool:
    """Find a film of its own for which each device is kept (an augmenting path)."""
    for film in keepers[label]:
        if film not in seen:
            seen.add(film)
            if film not in taken or _match(taken[film], keepers, taken, seen):
                taken[film] = label
                return True
    return False
