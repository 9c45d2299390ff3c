"""Folding changes the form of the network and not its pictures; what is cut away above the mouth is not missed."""

import pytest
import torch

from heygemd.render.wav2lip import forward as forward_module
from heygemd.render.wav2lip.folding import fold
from heygemd.render.wav2lip.forward import first_rows, forward
from heygemd.render.wav2lip.network import FACE_PX, LOWER_ROW
from heygemd.render.wav2lip.shapes import given_shapes, multiplications
from heygemd.render.wav2lip.torchnetwork import Plain, network_input
from tests.render.wav2lip_rig import folded, published, some_faces

ROUNDING = 1e-12
"""Of float64, after fifty layers."""


@pytest.fixture(scope="module")
def network():
    return folded(torch.float64)


@torch.inference_mode()
def painted(network, first_row, pair=None):
    windows, faces = (torch.from_numpy(values).double() for values in some_faces(1))
    mel, usual = network_input(windows, faces)
    return forward(network, Plain(), mel, usual if pair is None else pair, first_row=first_row)


@pytest.fixture(scope="module")
def whole(network):
    return painted(network, 0)


def test_folded_convolutions_paint_what_the_published_module_paints(whole):
    module = published().double()
    windows, faces = (torch.from_numpy(values).double() for values in some_faces(1))
    with torch.inference_mode():
        expected = module(*network_input(windows, faces))
    published().float()
    assert expected.std() > 0.05  # else anything would equal anything
    assert (whole - expected).abs().max() < ROUNDING


@pytest.mark.parametrize("first_row", [1, 17, LOWER_ROW, 71, FACE_PX - 1])
def test_rows_are_the_same_whether_those_above_are_painted_or_not(network, whole, first_row):
    part = painted(network, first_row)
    assert part.shape[2] == FACE_PX - first_row
    assert (part - whole[:, :, first_row:]).abs().max() < ROUNDING


def adversaries():
    """Pictures that make much of what lies above the mouth, and of the border between."""
    rows, columns = torch.meshgrid(torch.arange(FACE_PX), torch.arange(FACE_PX), indexing="ij")
    chequered = ((rows + columns) % 2).double()
    return {
        "only the upper half": (rows < LOWER_ROW).double(),
        "a bright line above the border": 1e3 * (rows == LOWER_ROW - 1).double(),
        "a chequered forehead": 1e3 * chequered * (rows < LOWER_ROW),
        "huge everywhere": 1e4 * chequered,
    }


@pytest.mark.parametrize("name", adversaries())
def test_no_picture_makes_a_difference(network, name):
    pair = adversaries()[name].expand(1, 6, FACE_PX, FACE_PX).contiguous()
    whole = painted(network, 0, pair)[:, :, LOWER_ROW:]
    assert (painted(network, LOWER_ROW, pair) - whole).abs().max() < ROUNDING * pair.max()
    assert (whole - painted(network, LOWER_ROW)).abs().max() > 1e-3  # what lies above matters


@pytest.mark.parametrize("stage", [3, 4, 5, 6, 7])
def test_one_row_less_would_be_missed(network, whole, monkeypatch, stage):
    """The rows are counted exactly: with any stage cut one row later, the mouth changes."""
    starts = list(first_rows(LOWER_ROW))
    starts[stage] += 1
    monkeypatch.setattr(forward_module, "first_rows", lambda wanted: tuple(starts))
    assert (painted(network, LOWER_ROW) - whole[:, :, LOWER_ROW:]).abs().max() > 1e-6


def test_rows_that_are_needed_follow_from_the_tables():
    assert first_rows(LOWER_ROW) == (0, 0, 0, 1, 4, 10, 22, 47)
    assert first_rows(0) == (0,) * 8
    assert first_rows(FACE_PX - 1) == (0, 0, 1, 4, 10, 22, 46, 94)


def test_a_third_of_the_work_is_saved(network):
    """3.97 billion multiplications are published; 2.73 are left."""
    whole, half = multiplications(network, first_row=0), multiplications(network)
    assert whole == pytest.approx(3.97e9, rel=0.003)
    assert half / whole == pytest.approx(0.69, abs=0.01)


def test_shapes_are_those_of_the_published_sizes(network):
    given = given_shapes(network, 2, first_row=0)
    assert [given[chain[0]][2:] for chain in network.face_encoder] == [
        (96, 96), (96, 96), (48, 48), (24, 24), (12, 12), (6, 6), (3, 3),
    ]  # fmt: skip
    assert given[network.last] == (2, 32, 96, 96)
    assert given_shapes(network, 2)[network.last] == (2, 32, 48, 96)


def test_folding_takes_the_tensors_so_that_there_are_never_two_copies():
    tensors = dict(published().state_dict())
    fold(tensors)
    assert tensors == {}
