"""The pair that is claimed, and where it lies when nothing was."""


def drop_pair(rig) -> None:
    rig.drop("anna.mp4", b"picture")
    rig.drop("anna.wav", b"sound")


AT_HOME = {"inbox/anna.mp4": b"picture", "inbox/anna.wav": b"sound"}
