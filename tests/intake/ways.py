"""What the tests of the ways into the inbox ask of it."""

LONG = 30


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def made(rig):
    return {"/".join(filter(None, (job.folder, job.name))): job for job in rig.stored.values()}
