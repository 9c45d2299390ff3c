from heygemd.jobs.choice import OptionChoice
from heygemd.jobs.job import EngineName, LengthPolicy, RenderOptions


def test_what_nobody_chose_stays_as_it_was():
    options = RenderOptions(engine=EngineName.ATLAS, crf=30)
    assert OptionChoice().over(options) == options


def test_a_choice_is_laid_over_the_options():
    chosen = OptionChoice(length=LengthPolicy.LOOP, audio_offset_ms=0, crf=0)
    options = RenderOptions(engine=EngineName.ATLAS, audio_offset_ms=40, crf=30)
    assert chosen.over(options) == RenderOptions(engine=EngineName.ATLAS, length=LengthPolicy.LOOP, crf=0)


def test_the_nearer_of_two_choices_wins_where_it_says_something():
    near, far = OptionChoice(crf=10), OptionChoice(crf=20, preset="slow")
    assert near.over_choice(far) == OptionChoice(crf=10, preset="slow")
