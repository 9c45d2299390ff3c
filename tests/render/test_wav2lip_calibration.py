"""The cheapest of those that are near enough computes the network; noise does not decide, a wrong one never wins."""

import numpy as np
import pytest
import torch

from heygemd.errors import SetupError
from heygemd.render.wav2lip.calibration import Candidate, Rounded, Yardstick, calibrated
from heygemd.render.wav2lip.forward import forward
from heygemd.render.wav2lip.processor import by_torch
from heygemd.render.wav2lip.torchnetwork import network_input
from tests.render.wav2lip_rig import folded

COUNT = 2


@pytest.fixture(scope="module")
def network():
    return folded()


@pytest.fixture(scope="module")
def exact(network):
    """What plain float32 paints of the yardstick's faces."""
    yardstick = Yardstick(network, COUNT)
    return by_torch(network, "float32")(yardstick.windows, yardstick.faces)


class Bench:
    """Candidates that take as much CPU time as they are told, by a clock of their own."""

    def __init__(self, exact):
        self.exact, self.now_s = exact, 0.0
        self.painted, self.built = [], []

    def clock(self):
        return self.now_s

    def candidate(self, name, *seconds, dtype="float32", off=0.0, fails=None, unless=""):
        """One whose turns take `seconds`, the last of them for ever, and whose picture is so many levels off."""
        turns = list(seconds)

        def paint(windows, faces):
            self.painted.append(name)
            self.now_s += turns.pop(0) if len(turns) > 1 else turns[0]
            return self.exact + np.float32(off)

        def build(network):
            self.built.append(name)
            if fails is not None:
                raise fails
            return paint

        return Candidate(name=name, precision=name, dtype=dtype, build=build, unless=unless)

    def chosen(self, network, *candidates):
        return calibrated(network, candidates, count=COUNT, clock=self.clock).candidate.name


@pytest.fixture
def bench(exact):
    return Bench(exact)


def test_the_cheapest_is_chosen(bench, network):
    assert bench.chosen(network, bench.candidate("a", 1.0), bench.candidate("b", 0.7), bench.candidate("c", 0.9)) == "b"


def test_of_nearly_equal_ones_the_first_in_the_list_is_chosen(bench, network):
    """So that chance does not decide, and two workers do not choose two."""
    assert bench.chosen(network, bench.candidate("a", 1.0), bench.candidate("b", 0.92)) == "a"


def test_one_slow_turn_does_not_decide(bench, network):
    disturbed = bench.candidate("b", 5.0, 0.7, 9.0, 0.7)  # the first turn warms up and never counts
    assert bench.chosen(network, bench.candidate("a", 1.0), disturbed) == "b"


def test_turns_are_taken_in_turn(bench, network):
    bench.chosen(network, bench.candidate("a", 1.0), bench.candidate("b", 1.0))
    assert "".join(bench.painted) == "aa" + "bb" + "abab"


def test_what_is_hopeless_gets_no_more_turns_and_neither_does_its_number_format(bench, network):
    candidates = [
        bench.candidate("quick", 1.0, dtype="bfloat16"),
        bench.candidate("slow", 1.6),
        bench.candidate("slow in another place", 0.1),
    ]
    assert bench.chosen(network, *candidates) == "quick"
    assert bench.painted == ["quick"] * 2 + ["slow"] * 2
    assert "slow in another place" not in bench.built


def test_one_found_hopeless_later_gets_no_more_turns_either(bench, network):
    bench.chosen(network, bench.candidate("slow", 1.6), bench.candidate("quick", 1.0, dtype="bfloat16"))
    assert bench.painted == ["slow"] * 2 + ["quick"] * 2


@pytest.mark.parametrize("off", [0.06, -3.0, np.nan, np.inf])
def test_one_that_paints_something_else_is_left_out_however_quick(bench, network, off):
    wrong = bench.candidate("b", 0.1, off=off)
    assert bench.chosen(network, bench.candidate("a", 1.0), wrong) == "a"
    assert bench.painted.count("b") == 1


def test_bfloat16_may_be_off_by_what_it_costs_with_these_weights_and_half_as_much_more(bench, network):
    allowed = Yardstick(network, COUNT).allowed_levels("bfloat16")
    assert 1 < allowed < 4
    near = bench.candidate("near", 0.5, dtype="bfloat16", off=0.99 * allowed)
    far = bench.candidate("far", 0.1, dtype="bfloat16", off=1.01 * allowed)
    assert bench.chosen(network, bench.candidate("exact", 1.0), near, far) == "near"


def test_weights_for_which_a_format_is_too_short_are_not_computed_in_it(network, monkeypatch):
    monkeypatch.setattr("heygemd.render.wav2lip.calibration.MOST_LEVELS", 0.5)
    assert Yardstick(network, COUNT).allowed_levels("bfloat16") == 0.5
    huge = network.changed(lambda one: type(one)(row=one.row, weight=one.weight * 30, bias=one.bias))
    assert Yardstick(huge, COUNT).allowed_levels("float16") == 0.0  # 65504 is the largest number there is


def test_one_that_cannot_be_built_or_does_not_run_is_left_out(bench, network):
    faults = [SetupError("E401", "not here"), RuntimeError("no kernel"), TypeError("other arguments")]
    broken = [bench.candidate(str(i), 0.1, fails=fault) for i, fault in enumerate(faults)]
    assert bench.chosen(network, *broken, bench.candidate("a", 1.0)) == "a"


def test_a_shortage_of_memory_is_no_verdict(bench, network):
    with pytest.raises(MemoryError):
        bench.chosen(network, bench.candidate("a", 1.0, fails=MemoryError()), bench.candidate("b", 1.0))
    short = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
    )
    with pytest.raises(RuntimeError):
        bench.chosen(network, bench.candidate("a", 1.0, fails=short), bench.candidate("b", 1.0))


def test_when_none_is_left_the_setup_is_at_fault(bench, network):
    with pytest.raises(SetupError) as refused:
        bench.chosen(network, bench.candidate("a", 1.0, off=9))
    assert refused.value.code == "E401"


def test_a_stand_in_is_tried_only_when_what_it_stands_for_failed(bench, network):
    plain = bench.candidate("plain", 0.1, unless="packed")
    assert bench.chosen(network, bench.candidate("packed", 1.0), plain) == "packed"
    assert bench.chosen(network, bench.candidate("packed", 1.0, off=9), plain) == "plain"


def test_rounding_every_layer_is_what_torch_does_in_bfloat16(network):
    """The yardstick of a short format is no guess: torch's own bfloat16 has that error, within a few per cent."""
    yardstick = Yardstick(network, COUNT)
    rounded = yardstick.mean_levels(yardstick._painted(Rounded(torch.bfloat16)))
    assert by_torch(network, "bfloat16") is not None
    painted = by_torch(network, "bfloat16")(yardstick.windows, yardstick.faces)
    assert yardstick.mean_levels(painted) == pytest.approx(rounded, rel=0.25)


def test_the_yardstick_itself_is_plain_float32(network, exact):
    yardstick = Yardstick(network, COUNT)
    assert yardstick.mean_levels(exact) < 0.01
    windows, faces = torch.from_numpy(yardstick.windows), torch.from_numpy(yardstick.faces)
    with torch.inference_mode():
        full = forward(network, Rounded(torch.float32), *network_input(windows, faces), first_row=0)
    assert yardstick.mean_levels((full[:, :, 48:] * 255).permute(0, 2, 3, 1).numpy()) < 0.01
