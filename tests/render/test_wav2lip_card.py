"""Copies and arithmetic on a card lie in lanes of their own, and memory is used again only when it is free."""

import numpy as np
import pytest
import torch

from heygemd.render.wav2lip.card import LARGEST_BATCH, Card
from heygemd.render.wav2lip.generator import Generator
from tests.render.wav2lip_rig import some_faces

CPU = torch.device("cpu")


class FakeCuda:
    """Streams that do everything at once, and remember the order in which it was asked for."""

    def __init__(self):
        self.said = []
        self.streams = []
        self.current = FakeStream(self, "default")

    def Stream(self, device):
        name = ("upload", "compute", "download")[len(self.streams)]
        self.streams.append(FakeStream(self, name))
        return self.streams[-1]

    def Event(self):
        return FakeEvent(self)

    def current_stream(self, device):
        return self.current

    def stream(self, stream):
        return stream


class FakeStream:
    def __init__(self, cuda, name):
        self.cuda, self.name = cuda, name

    def __enter__(self):
        self.before, self.cuda.current = self.cuda.current, self

    def __exit__(self, *_):
        self.cuda.current = self.before

    def wait_event(self, event):
        assert event.recorded_in, "waits for what nobody will tell"
        self.cuda.said.append((self.name, "waits for", event.recorded_in))

    def wait_stream(self, other):
        pass


class FakeEvent:
    def __init__(self, cuda):
        self.cuda, self.recorded_in = cuda, ""

    def record(self, stream):
        assert stream is self.cuda.current
        self.recorded_in = stream.name
        self.cuda.said.append((stream.name, "is done", ""))

    def synchronize(self):
        self.cuda.said.append(("here", "waits for", self.recorded_in))


class FakeNetwork:
    """Brightens by what it hears; must run in the lane for arithmetic."""

    dtype = torch.float16

    def __init__(self, cuda):
        self.cuda, self.sizes = cuda, []

    def paint(self, windows, faces):
        assert self.cuda.current.name == "compute"
        self.sizes.append(len(faces))
        return faces[:, 48:] + windows[:, :1, :1, None]


@pytest.fixture
def cuda():
    return FakeCuda()


@pytest.fixture
def network(cuda):
    return FakeNetwork(cuda)


@pytest.fixture
def card(cuda, network):
    return Card(network, CPU, cuda=cuda)


def expected(windows, faces):
    return faces[:, 48:] + windows[:, :1, :1, None]


def test_a_batch_goes_up_is_painted_and_comes_down_in_lanes_that_wait_for_each_other(card, cuda):
    wait = card.begin(*some_faces(2), size=2)
    assert cuda.said == [
        ("upload", "is done", ""),
        ("compute", "waits for", "upload"),
        ("compute", "is done", ""),
        ("download", "waits for", "compute"),
        ("download", "is done", ""),
    ]
    wait()
    assert cuda.said[5:] == [("here", "waits for", "download")]


@pytest.mark.parametrize("count", [1, 5, 64, 65, 130])
def test_any_number_of_faces_comes_back_in_order_and_batches_are_padded(card, network, count):
    windows, faces = some_faces(count)
    painted = Generator(card).paint(windows, faces, batch_frames=count)
    assert np.array_equal(painted, expected(windows, faces))
    assert set(network.sizes) == {min(1 << (count - 1).bit_length(), LARGEST_BATCH)}


def test_padding_is_black_and_not_what_lay_there_before(card, network):
    seen = []
    paint = network.paint
    network.paint = lambda windows, faces: seen.append(faces.clone()) or paint(windows, faces)
    card.begin(*some_faces(4), size=4)()
    card.begin(*some_faces(1), size=4)()
    assert seen[0][1:].any()
    assert not seen[1][1:].any()


def test_batches_in_flight_have_memory_of_their_own(card):
    begun = [(some_faces(2, seed=seed), seed) for seed in range(5)]
    waits = [card.begin(*faces, size=2) for faces, _ in begun]
    for wait, (faces, _) in reversed(list(zip(waits, begun, strict=True))):
        assert np.array_equal(wait(), expected(*faces))


def test_memory_is_used_again_and_what_came_down_stays(card):
    first = card.begin(*some_faces(2, seed=1), size=2)()
    (berth,) = card._free
    kept = first.copy()
    second = card.begin(*some_faces(2, seed=2), size=2)
    assert card._free == []
    second()
    assert card._free == [berth]
    assert np.array_equal(first, kept)


def test_memory_of_another_batch_size_is_given_back(card):
    card.begin(*some_faces(2), size=64)()
    card.begin(*some_faces(2), size=2)()
    assert [berth.size for berth in card._free] == [2]


def test_a_batch_that_fails_takes_its_memory_out_of_use(card, network):
    paint, network.paint = network.paint, None
    with pytest.raises(TypeError):
        card.begin(*some_faces(2), size=2)
    network.paint = paint
    assert card._free == []
    assert len(card.begin(*some_faces(2), size=2)()) == 2


def test_its_precision_is_named_as_torch_names_it(card):
    assert card.precision == "float16"
