"""Files that lie in the inbox by themselves: pairs that are ready, and lone files that waited too long."""

from collections.abc import Collection, Iterable
from heapq import nsmallest

from heygemd.intake import names
from heygemd.intake.folderconfig import FolderConfigs, FolderRules
from heygemd.intake.names import Kind
from heygemd.intake.offer import Offer
from heygemd.intake.pairing import Candidate, Group, Pair, group
from heygemd.intake.scan import Place
from heygemd.intake.settle import SettleRule
from heygemd.intake.submission import Member, Role, Submission
from heygemd.intake.watch import Watch


class Loose:
    """The pairs of one inbox; sorts anew only what may have changed."""

    def __init__(self, watch: Watch, configs: FolderConfigs) -> None:
        self._watch, self._configs = watch, configs
        self.markers: frozenset[Place] = frozenset()
        """The `.ready` files of the present look."""
        self._groups: list[Group] = []
        self._sorted_for: tuple[object, ...] | None = None

    def groups(self, reserved: Collection[Place], held: frozenset[str]) -> list[Group]:
        """Sort the loose files into groups. `reserved` belong to batches, folders in `held` to somebody else."""
        state = (self._watch.revision, frozenset(reserved), held)
        if state != self._sorted_for:
            self._groups = group(
                Candidate(
                    folder=folder, name=name, key=names.key_of(name), kind=kind, is_settled=watched.is_settled,
                    hindrance=watched.hindrance,
                )
                for (folder, name), watched in self._watch.files.items()
                if (kind := names.kind_of(name)) is not None
                and (folder, name) not in reserved
                and not is_below(folder, held)
            )  # fmt: skip
            self._sorted_for = state
        return self._groups

    def oldest(self, pairs: Iterable[Pair], most: int) -> list[Offer]:
        """Offer the pairs that have waited longest; those that may not be read come after all others."""
        return [self.offer(pair) for pair in nsmallest(most, pairs, key=self._turn)]

    def _turn(self, pair: Pair) -> tuple[bool, float, str, str]:
        places = ((pair.folder, pair.picture), (pair.folder, pair.sound))
        is_unreadable = not self._watch.unreadable.isdisjoint(places)
        return is_unreadable, max(self._watch.files[place].first_s for place in places), pair.folder, pair.sound

    def offer(self, pair: Pair) -> Offer:
        """Offer a pair that is complete."""
        members = tuple(
            self._member(pair.folder, name, role, is_shared=name in pair.shared)
            for name, role in ((pair.picture, Role.VIDEO), (pair.sound, Role.AUDIO))
        )
        named_by = pair.picture if pair.sound in pair.shared else pair.sound
        return self._offer(members, pair.folder, names.stem_of(named_by), error=None)

    def orphan(self, lone: Group) -> Offer | None:
        """Offer a lone file to be failed with E102; None when it is gone or not settled."""
        name = lone.lone
        watched = self._watch.files.get((lone.folder, name)) if name else None
        if name is None or watched is None or not watched.is_settled:
            return None
        is_sound = names.kind_of(name) is Kind.AUDIO
        missing = "picture" if is_sound else "sound"
        member = self._member(lone.folder, name, Role.AUDIO if is_sound else Role.VIDEO)
        error = ("E102", f"no {missing} with the name of {name} has come")
        return self._offer((member,), lone.folder, names.stem_of(name), error=error)

    def _member(self, folder: str, name: str, role: Role, *, is_shared: bool = False) -> Member:
        evidence = self._watch.files[folder, name].evidence
        return Member(role=role, folder=folder, name=name, is_shared=is_shared, evidence=evidence)

    def _offer(
        self, members: tuple[Member, ...], folder: str, film_name: str, *, error: tuple[str, str] | None
    ) -> Offer:
        rules: FolderRules = self._configs.rules(folder)
        places = [member.place for member in members]
        submission = Submission(
            members=members,
            film_folder=folder,
            film_name=film_name,
            options=rules.options,
            priority=rules.priority,
            lane=rules.lane,
            keep_days=rules.keep_days,
            markers=markers_of(members, self.markers),
            error=error,
        )
        since_s = max(self._watch.files[place].first_s for place in places)
        return Offer(submission=submission, rule=strictest(self._watch, places), since_s=since_s)


def markers_of(members: Collection[Member], markers: Collection[Place]) -> tuple[Place, ...]:
    """Return the `.ready` files that speak of these members: `talk.mp4.ready` of one file, `talk.ready` of its key."""
    return tuple(
        (folder, name)
        for folder, name in sorted(markers)
        if any(
            folder == member.folder
            and not member.is_shared
            and names.key_of(name) in (names.key_of(member.name), names.key_of(f"{member.name}."))
            for member in members
        )
    )


def strictest(watch: Watch, places: Collection[Place]) -> SettleRule:
    """Return the rule of that file which must be quiet for longest."""
    return max((watch.rule_for(place) for place in places), key=lambda rule: (rule.settle_unsure_s, rule.settle_s))


def is_below(folder: str, tops: Collection[str]) -> bool:
    """Tell whether `folder` is one of `tops` or lies below one."""
    while True:
        if folder in tops:
            return True
        if not folder:
            return False
        folder = folder.rpartition("/")[0]
