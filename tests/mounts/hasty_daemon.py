"""`heygemd` with shorter pauses between its tries: a test of a bad day should not last one."""


def be_hasty() -> None:
    """Run the command line with shorter pauses."""
    from heygemd.cli import app
    from heygemd.daemon import backdesk, frontdesk, handover, latecomers
    from heygemd.scheduler import verdict

    pauses_s = (
        (handover, "PAUSE_S", 1.0),
        (latecomers, "EVERY_S", 1.0),
        (frontdesk, "ALARM_EVERY_S", 1.0),
        (backdesk, "STATUS_IDLE_S", 1.0),
        (backdesk, "STATUS_ACTIVE_S", 1.0),
        (verdict, "REST_LONGEST_S", 1.0),
    )
    for module, name, seconds in pauses_s:
        assert getattr(module, name) > seconds, f"{module.__name__}.{name} is not what it was"
        setattr(module, name, seconds)
    app()


if __name__ == "__main__":
    be_hasty()
