"""A real worker on the processor that believes to have a card beside it: only its encoder can be told from one's."""

from heygemd.media.encoders import EncoderPlace
from heygemd.render.encoder_choice import EncoderChoice
from heygemd.render.worker import Worker, main


def build(**parts):
    """Make a worker with a card."""
    return Worker(**parts | {"encoders": EncoderChoice(place=EncoderPlace(cores=1, card=0))})


if __name__ == "__main__":
    main(build=build)
