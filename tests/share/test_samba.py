"""What the lease probe sees of a writer who sits behind a real Samba server; see the table in `samba.py`."""

import time

import pytest
from smbprotocol.open import RequestedOplockLevel

from heygemd.intake.settle import Writer
from heygemd.intake.writers import find_writer
from tests.share.samba import Share, start_samba
from tests.share.wire import Wire, durable_request, lease_request

pytestmark = pytest.mark.samba

SIZE_BYTES = 1_000_000
BATCH = RequestedOplockLevel.SMB2_OPLOCK_LEVEL_BATCH
LEASE = RequestedOplockLevel.SMB2_OPLOCK_LEVEL_LEASE
SHARES = {
    "shipped": "",
    "nooplocks": "oplocks = no\nlevel2 oplocks = no",
    "kernel": "kernel oplocks = yes",
    "sendfile": "use sendfile = yes\naio read size = 0\naio write size = 0",
    "allocate": "strict allocate = yes",
    "durable": "kernel oplocks = no\nkernel share modes = no\nposix locking = no\ndurable handles = yes",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samba")
    for name in SHARES:
        (folder / name).mkdir()
    shares = [Share(name=name, path=folder / name, extra=extra) for name, extra in SHARES.items()]
    samba = start_samba(folder / "server", shares)
    yield samba
    samba.stop()


@pytest.fixture
def on_share(server, request):
    """A connection to the share named by the test, and a function that asks about a file there."""
    name = request.param
    wire = Wire(server.port, name)
    yield wire, lambda path: find_writer(server.folder.parent / name / path, is_local=True)
    wire.close()


on_every_share = pytest.mark.parametrize("on_share", SHARES, indirect=True)


def soon(condition):
    """Wait for the server to notice."""
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


@on_every_share
def test_an_open_writer_is_seen_until_it_closes(on_share):
    wire, ask = on_share
    file = wire.open("plain.bin")
    assert ask("plain.bin") is Writer.BUSY
    file.set_size(SIZE_BYTES)
    assert ask("plain.bin") is Writer.BUSY
    file.write(b"x" * 1000, 0)
    assert ask("plain.bin") is Writer.BUSY
    file.close()
    assert ask("plain.bin") is Writer.FREE


@pytest.mark.parametrize("on_share", [name for name in SHARES if name != "kernel"], indirect=True)
@pytest.mark.parametrize("how", ["batch oplock", "lease"])
def test_a_writer_with_a_cache_of_its_own_is_seen_and_not_disturbed(on_share, how):
    wire, ask = on_share
    contexts, oplock = ([lease_request()], LEASE) if how == "lease" else (None, BATCH)
    file = wire.open("cached.bin", oplock=oplock, contexts=contexts)
    for number in range(5):
        assert ask("cached.bin") is Writer.BUSY
        file.write(b"y" * 100, 100 * number)
    file.close()
    assert ask("cached.bin") is Writer.FREE


@pytest.mark.parametrize("on_share", [name for name in SHARES if name != "kernel"], indirect=True)
def test_a_reader_is_no_writer(on_share):
    wire, ask = on_share
    wire.open("watched.bin").close()
    reader = wire.open("watched.bin", is_new=False, is_reader=True, oplock=BATCH)
    assert ask("watched.bin") is Writer.FREE
    reader.close()


@on_every_share
def test_a_writer_that_is_cut_off_is_no_writer_any_more(on_share):
    wire, ask = on_share
    file = wire.open("cut.bin")
    file.set_size(SIZE_BYTES)
    file.write(b"z" * 1000, 0)
    assert ask("cut.bin") is Writer.BUSY
    wire.cut()
    soon(lambda: ask("cut.bin") is Writer.FREE)


@pytest.mark.parametrize("on_share", ["durable"], indirect=True)
def test_a_durable_handle_waits_for_its_client_but_holds_no_file(on_share):
    wire, ask = on_share
    file = wire.open("durable.bin", oplock=BATCH, contexts=[durable_request()])
    assert file.granted == ["SMB2CreateDurableHandleResponseV2"]
    file.write(b"z" * 1000, 0)
    assert ask("durable.bin") is Writer.BUSY
    wire.cut()
    soon(lambda: ask("durable.bin") is Writer.FREE)


@pytest.mark.parametrize("on_share", ["shipped", "allocate"], indirect=True)
def test_size_first_leaves_holes_unless_the_share_allocates(on_share, server):
    wire, _ = on_share
    file = wire.open("sized.bin")
    file.set_size(SIZE_BYTES)
    file.close()
    found = (server.folder.parent / wire.share / "sized.bin").stat()
    assert found.st_size == SIZE_BYTES
    assert (found.st_blocks * 512 >= SIZE_BYTES) == (wire.share == "allocate")
