"""`heygemd`, hasty between its tries and patient with a machine that is busy: a slow start is no fault of the share."""


def be_patient() -> None:
    """Run the command line; a root has a minute to answer at the start."""
    from heygemd.daemon import latecomers
    from tests.mounts.hasty_daemon import be_hasty

    latecomers.START_LIMIT_S = 60.0
    be_hasty()


if __name__ == "__main__":
    be_patient()
