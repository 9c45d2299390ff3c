"""Manifests, guided by coverage: `python -m tests.fuzz.coverage`, with atheris (not part of the environment).

The words of libFuzzer follow, `-max_total_time=600` and the like.
"""

import sys

import atheris

with atheris.instrument_imports(include=["heygemd.intake.manifests"]):
    from tests.fuzz.manifests import GOOD, survives


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    atheris.Setup(sys.argv, survives, custom_mutator=_mutated)
    atheris.Fuzz()


def _mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Half by libFuzzer, half by words that manifests know; the first ones come from good manifests."""
    from random import Random

    from tests.fuzz.texts import mutated_text

    luck = Random(seed)
    good = luck.choice(list(GOOD.values()))
    if len(data) < 8:
        return good
    return mutated_text(data, good, luck)[:max_size] if seed % 2 else atheris.Mutate(data, max_size)


if __name__ == "__main__":
    main()
