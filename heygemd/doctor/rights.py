"""May the service do this there? Asked of the kernel in the service's name where that is possible."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from heygemd.doctor.account import Account, lacks, may_become
from heygemd.doctor.patience import bounded

T = TypeVar("T")

LIMIT_S = 10.0


def as_account(account: Account, call: Callable[[], T]) -> T:
    """Return what a call returns with the rights of `account`; with our own where we may not take them.

    Raises StillWaitingError, BrokenCallError.
    """
    if account.is_me or not may_become(account):
        return call()
    return bounded(call, limit_s=LIMIT_S, account=account)


def refusals(wanted: Sequence[tuple[Path, int]], account: Account) -> dict[Path, Path]:
    """Return each path that `account` may not use as wanted, with what refuses it: itself, or a folder on the way.

    Paths that do not exist are left out.
    """

    def ask() -> dict[Path, Path]:
        found: dict[Path, Path] = {}
        for path, rights in wanted:
            try:
                refused = lacks(path, rights, account)
            except OSError:
                continue
            if refused is not None:
                found[path] = refused
        return found

    return as_account(account, ask)
