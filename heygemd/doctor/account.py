"""Whose rights count: the daemon's, not those of the person who runs the doctor."""

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

R, W, X = os.R_OK, os.W_OK, os.X_OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user with all the groups that count."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()

    @property
    def is_me(self) -> bool:
        """Tell whether this process has these rights already."""
        return self.uid == os.geteuid()


def myself() -> Account:
    """Return the user of this process."""
    uid = os.geteuid()
    return Account(name=name_of(uid), uid=uid, gid=os.getegid(), groups=frozenset(os.getgroups()))


def find_account(user: str, group: str = "") -> Account | None:
    """Return a user of this machine by name or number; None when there is none."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        gid = entry.pw_gid if not group else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        return None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=gid, groups=frozenset(os.getgrouplist(entry.pw_name, gid)))


def become(account: Account) -> None:
    """Give this process the rights of `account` for good; needs to be root unless it is that one already."""
    if account.is_me:
        return
    os.setgroups(sorted(account.groups | {account.gid}))
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


def may_become(account: Account) -> bool:
    """Tell whether `become` would succeed."""
    return account.is_me or os.geteuid() == 0


def name_of(uid: int) -> str:
    """Name of a user, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Name of a group, or its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def members_of(gid: int) -> tuple[str, ...]:
    """Users that are listed in a group; those whose first group it is are not."""
    try:
        return tuple(sorted(grp.getgrgid(gid).gr_mem))
    except KeyError:
        return ()


def lacks(path: Path, rights: int, account: Account) -> Path | None:
    """Return the first folder on the way, or the path itself, that refuses `account`; None when all is open to it.

    The kernel is asked when this process has (or has taken) its rights; else owner, group and mode are read, which
    knows nothing of access lists. Raises OSError when something on the way does not exist.
    """
    place = path.absolute()
    for folder in reversed(place.parents):
        if not _may(folder, X, account):
            return folder
    return None if _may(place, rights, account) else place


def _may(path: Path, rights: int, account: Account) -> bool:
    if account.is_me:
        path.stat()
        return os.access(path, rights, effective_ids=True)
    facts = path.stat()
    if account.uid == 0:
        return True
    shift = 6 if facts.st_uid == account.uid else 3 if facts.st_gid in account.groups | {account.gid} else 0
    return stat.S_IMODE(facts.st_mode) >> shift & rights == rights
