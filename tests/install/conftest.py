"""scripts/install.sh and uninstall.sh on a machine of stand-ins: what they put where, and what they leave alone.

Nothing here needs root, changes the system or reaches a network: `INSTALL_TOP` is a folder of the test, and PATH holds
only what the test put there. docs/install-transcript.md shows the same under a real systemd, apt and pip.
"""

from pathlib import Path

import pytest

from tests.install.rig import SAMBA, SMB_CONF, Machine, make_machine


@pytest.fixture
def machine(tmp_path: Path, repository: Path) -> Machine:
    return make_machine(tmp_path, repository)


@pytest.fixture
def installed(machine: Machine) -> Machine:
    machine.install()
    machine.forget()
    return machine


@pytest.fixture
def with_samba(machine: Machine) -> Machine:
    """Samba is there, with a share of somebody else."""
    for name, body in SAMBA.items():
        machine.put(name, body)
    machine.path(SMB_CONF).parent.mkdir()
    machine.path(SMB_CONF).write_text("[global]\nworkgroup = STUDIO\n\n[music]\npath = /srv/music\n", encoding="utf-8")
    return machine
