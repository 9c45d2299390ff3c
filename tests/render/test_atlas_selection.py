import numpy as np
import pytest

from heygemd.render.arrays import is_mapped
from heygemd.render.atlas.fitness import Fitness, Wanted
from heygemd.render.atlas.selection import FADE_SHARE, Selection, select, speaks
from heygemd.render.atlas.traits import Traits
from heygemd.render.atlas.ways import OWN, find_ways
from tests.render.gallery_rig import some_traits
from tests.render.selection_rig import cheapest_way, motion_of, track_like, wanting, way_cost


class Story:
    """A clip of which every frame is kept, and its selections."""

    def __init__(self, traits: Traits, source_frames: int | None = None) -> None:
        self.traits = traits
        count = source_frames or int(traits.frames[-1]) + 1
        own = {name: np.full(count, np.nan) for name in ("opening", "width", "yaw_deg", "pitch_deg", "roll_deg")}
        for name, column in own.items():
            column[:] = 0.05 if name == "opening" else 0.5 if name == "width" else 0.0
            column[traits.frames] = getattr(traits, name)
        self.motion, self.track = motion_of(count, **own), track_like(count)

    def fitness(self, wanted: Wanted) -> Fitness:
        return Fitness(wanted=wanted, motion=self.motion, track=self.track, traits=self.traits)

    def way(self, wanted: Wanted, **how: object) -> list[int]:
        """The cheapest way, as it is before it is faded."""
        path = np.zeros(len(wanted.opening), np.int32)
        find_ways(self.fitness(wanted), **how).trace(path)
        return path.tolist()

    def shown(self, wanted: Wanted, mouths: np.ndarray) -> np.ndarray:
        """Source frames that mouths are of."""
        return np.where(mouths == OWN, wanted.source_frames, self.traits.frames[mouths])

    def select(self, wanted: Wanted, **how: object) -> Selection:
        return select(wanted, self.motion, self.track, self.traits, **how)


def speech(count: int, seed: int = 1) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(0, 0.05, count).cumsum()
    return np.abs(np.sin(steps * 6)) * 0.2


@pytest.fixture(scope="module")
def clip() -> Story:
    """Eight seconds of speech."""
    count = 200
    return Story(some_traits(range(count), opening=speech(count), width=np.full(count, 0.5)))


def shown_opening(story: Story, wanted: Wanted, mouths: np.ndarray) -> np.ndarray:
    own = story.motion.opening[wanted.source_frames]
    return np.where(mouths == OWN, own, story.traits.opening[mouths])


@pytest.mark.parametrize("seed", range(16))
def test_no_other_way_is_cheaper(seed):
    """Each of 78,125 ways is added up."""
    rng = np.random.default_rng(seed)
    # After 12 a gap, over which nothing follows; the own mouths of 14 and 15 are not kept.
    views = np.clip(128 + rng.normal(0, 5, (4, 24, 24, 3)), 0, 255).astype(np.uint8)
    level = {name: rng.normal(0, 2, 4) for name in ("yaw_deg", "pitch_deg", "roll_deg")}
    kept, openings = [10, 11, 12, 16], np.array([0, 0.07, 0.14, 0.3]) + rng.normal(0, 0.01, 4)
    traits = some_traits(kept, seed=seed, opening=openings, width=np.full(4, 0.5), thumbnail=views, **level)
    story = Story(traits)
    film = {
        "source_frames": rng.integers(10, 17, 7),
        "shots": np.cumsum(rng.random(7) > 0.9),
        "fps": 25.0 + seed % 2 * 25,
    }
    wish = np.abs(0.1 + 0.12 * np.sin(np.arange(7) * rng.uniform(0.5, 2)) + rng.normal(0, 0.02, 7))
    wanted = wanting(wish, **film)
    fitness = story.fitness(wanted)
    found = way_cost(story.way(wanted), wanted, fitness)
    assert found == pytest.approx(cheapest_way(wanted, fitness), abs=1e-3)


@pytest.mark.parametrize("fps", [25.0, 50.0])
def test_a_way_planted_in_the_gallery_is_found(clip, fps):
    """Two stretches of the clip, one after the other: nothing else fits as well."""
    planted = np.concatenate([np.arange(120, 150), np.arange(30, 60)])
    wanted = wanting(clip.traits.opening[planted], source_frames=np.zeros(60), fps=fps)
    still = Story(some_traits(range(200), opening=clip.traits.opening, width=clip.traits.width, **NO_POSE))
    found = still.select(wanted).first
    assert (found == planted).mean() > 0.9


NO_POSE = {name: np.zeros(200) for name in ("yaw_deg", "pitch_deg", "roll_deg")}


def test_the_chosen_mouths_are_far_nearer_to_what_is_wanted_than_the_own(clip):
    wanted = wanting(np.roll(speech(200), 40))
    chosen = clip.select(wanted).first
    near = np.abs(shown_opening(clip, wanted, chosen) - wanted.opening).mean()
    assert near < 0.3 * np.abs(clip.motion.opening - wanted.opening).mean()


def test_looking_at_fewer_mouths_changes_little(clip):
    wanted = wanting(np.roll(speech(200), 40))
    fitness = clip.fitness(wanted)
    everything, few = (clip.way(wanted, near=n) for n in (len(clip.traits), 40))
    best, found = (way_cost(path, wanted, fitness) for path in (everything, few))
    assert best - 0.01 <= found <= 1.05 * best


def test_on_an_easy_film_it_changes_nothing(clip):
    wanted = wanting(clip.traits.opening[100:160], source_frames=np.arange(100, 160))
    assert np.array_equal(clip.select(wanted, near=200).first, clip.select(wanted, near=10).first)


def test_what_the_person_says_anyway_is_said_by_the_own_mouth(clip):
    wanted = wanting(clip.traits.opening)
    chosen = clip.select(wanted)
    assert np.array_equal(clip.shown(wanted, chosen.first), np.arange(200))
    assert not chosen.share.any()


def test_the_same_film_is_chosen_the_same_every_time_mapped_or_not(clip, tmp_path):
    wanted = wanting(np.roll(speech(200), 40))
    first, again = clip.select(wanted), clip.select(wanted, folder=tmp_path)
    for name, values in first.to_arrays().items():
        assert np.array_equal(values, again.to_arrays()[name])
    assert is_mapped(again.first)


def test_shares_are_of_two_different_mouths_and_the_first_counts_most(clip):
    chosen = clip.select(wanting(np.roll(speech(200), 40)))
    faded = chosen.share > 0
    assert faded.any()
    assert set(np.unique(chosen.share)) == {np.float32(0), np.float32(FADE_SHARE)}
    assert (chosen.first[faded] != chosen.second[faded]).all()
    assert (chosen.first[~faded] == chosen.second[~faded]).all()
    assert FADE_SHARE < 0.5


def test_a_jump_is_faded_over_one_frame_on_each_side_and_both_mouths_go_on():
    traits = shut_and_open(0.2)
    story = Story(traits, source_frames=100)
    chosen = story.select(wanting([0.0] * 5 + [0.2] * 5, source_frames=np.arange(80, 90)))
    before, after = int(chosen.first[4]), int(chosen.first[5])
    assert np.flatnonzero(chosen.share).tolist() == [4, 5]
    assert chosen.second[4] == (after if after == 30 else after - 1)
    assert chosen.second[5] == (before if before == 29 else before + 1)


def shut_and_open(opening: float) -> Traits:
    """Thirty shut mouths, and after a while thirty open ones."""
    level = {name: np.zeros(60) for name in ("yaw_deg", "pitch_deg", "roll_deg")}
    openings = np.r_[np.zeros(30), np.full(30, opening)]
    return some_traits([*range(30), *range(40, 70)], opening=openings, width=np.full(60, 0.5), **level)


def test_a_held_vowel_does_not_tremble_between_two_frames():
    """What is wanted lies between two neighbours."""
    openings = np.linspace(0, 0.4, 11)
    level = {name: np.zeros(11) for name in ("yaw_deg", "pitch_deg", "roll_deg")}
    story = Story(some_traits(range(11), opening=openings, width=np.full(11, 0.5), **level), source_frames=100)
    chosen = story.select(wanting([0.18] * 20, source_frames=np.arange(70, 90))).first
    assert (np.diff(chosen) != 0).sum() <= 2


def test_an_own_mouth_is_faded_by_its_number_where_it_is_kept():
    own = {"opening": 0.2, "width": 0.5}
    for kept, expected in (([*range(30), *range(80, 90)], 30), (list(range(40)), OWN)):
        level = {name: np.zeros(40) for name in ("yaw_deg", "pitch_deg", "roll_deg")}
        openings = np.r_[np.zeros(30), np.full(10, 0.2)]
        traits = some_traits(kept, opening=openings, width=np.full(40, 0.5), **level)
        track = track_like(100)
        wanted = wanting([0.2] * 5 + [0.0] * 5, source_frames=np.arange(76, 86), effect=[0.9] * 5 + [1] * 5)
        chosen = select(wanted, motion_of(100, **own), track, traits)
        assert (chosen.first[:4] == OWN).all()
        assert chosen.first[4] == (expected if expected == 30 and 80 in kept else OWN)
        assert chosen.share[4] > 0


def test_nothing_is_faded_over_a_cut_of_the_film():
    traits = shut_and_open(0.2)
    film = {"source_frames": np.arange(80, 90), "shots": [0] * 5 + [1] * 5}
    chosen = Story(traits, source_frames=100).select(wanting([0.0] * 5 + [0.2] * 5, **film))
    assert traits.opening[chosen.first].tolist() == [0.0] * 5 + [0.2] * 5
    assert not chosen.share.any()


def test_a_cut_frees_the_choice():
    """A single frame that wants another mouth is not worth two jumps, but between two cuts it costs none."""
    wanted = np.full(9, 0.0)
    wanted[4] = 0.05
    traits = shut_and_open(0.05)
    story = Story(traits, source_frames=100)
    film = {"source_frames": np.arange(80, 89)}
    joined = story.select(wanting(wanted, **film)).first
    cut = story.select(wanting(wanted, **film, shots=[0, 0, 0, 0, 1, 2, 2, 2, 2])).first
    assert traits.opening[joined[4]] == 0
    assert traits.opening[cut[4]] == 0.05


def test_frames_that_fade_into_untouched_ones_keep_their_own_mouth(clip):
    effect = np.ones(200)
    effect[50:90] = 0.75
    effect[60:80] = 0
    wish = np.roll(speech(200), 40)
    assert (clip.select(wanting(wish)).first[50:90] != OWN).mean() > 0.7
    wanted = wanting(wish, effect=effect)
    chosen = clip.select(wanted)
    assert np.array_equal(clip.shown(wanted, chosen.first)[50:90], np.arange(50, 90))
    assert (chosen.first[:40] != OWN).mean() > 0.5
    assert not chosen.share[60:80].any()


def test_a_film_of_more_frames_a_second_jumps_no_more_often_in_a_second():
    """The same two clips, of 25 and of 50 frames a second, and the same wishes."""
    jumps = []
    for fps in (25, 50):
        count = 8 * fps
        curve = np.interp(np.arange(count) / fps, np.arange(200) / 25, speech(200))
        views = some_traits(range(200)).thumbnail[np.arange(count) * 25 // fps]
        pose = {name: np.zeros(count) for name in ("yaw_deg", "pitch_deg", "roll_deg")}
        traits = some_traits(range(count), opening=curve, width=np.full(count, 0.5), thumbnail=views, **pose)
        chosen = Story(traits).select(wanting(np.roll(curve, fps), fps=fps))
        jumps.append((chosen.share > 0).sum() / 2)
    assert jumps[1] <= 1.3 * jumps[0] + 1


def test_of_a_person_who_never_speaks_the_own_mouth_is_kept():
    silent = some_traits(range(50), opening=np.full(50, 0.01))
    assert not speaks(silent)
    chosen = Story(silent).select(wanting(speech(50)))
    assert (chosen.first == OWN).all()
    assert not chosen.share.any()


def test_one_smile_in_a_silent_clip_is_no_speech():
    openings = np.full(200, 0.01)
    openings[90:97] = 0.12
    assert not speaks(some_traits(range(200), opening=openings))


def test_a_still_and_a_clip_without_a_face_keep_their_own_mouth():
    assert (Story(some_traits([0])).select(wanting(speech(9), source_frames=np.zeros(9))).first == OWN).all()
    assert (Story(some_traits([]), source_frames=9).select(wanting(speech(9))).first == OWN).all()


def test_a_long_film_is_chosen_in_blocks_as_a_short_one(clip):
    """What lies beyond a cut changes nothing, wherever the blocks of the computation end."""
    wish = np.tile(np.roll(speech(200), 40), 2)
    film = {"source_frames": np.tile(np.arange(200), 2), "shots": np.repeat([0, 1], 200)}
    both, alone = clip.select(wanting(wish, **film)), clip.select(wanting(wish[:200]))
    assert np.array_equal(both.first[:200], alone.first)
    assert np.array_equal(both.first[200:], alone.first)


def test_a_selection_survives_being_saved(clip):
    chosen = clip.select(wanting(speech(50)))
    again = Selection.from_arrays(chosen.to_arrays())
    assert np.array_equal(again.second, chosen.second)
