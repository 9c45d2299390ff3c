"""An event keeps its number for ever: catalogs that are installed and saved searches hang on it."""

from heygemd.message_ids import message_id


def test_numbers_stay_as_they_were_published() -> None:
    assert message_id("job.moved") == "95394cc281ed51d187869fdcbcbd55b9"
    assert message_id("daemon.tick_failed") == "d1c67b9c45bc5e33ae17da80436ca8d4"
