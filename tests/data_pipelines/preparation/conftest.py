import pytest

from tests.data_pipelines import hand_made


@pytest.fixture
def sources(tmp_path, monkeypatch):
  """Three sections of two donors, one with an image, in place of what folders hold."""
  made = [
    hand_made.Source(hand_made.section("A1", "A", rows=5, image=hand_made.picture(tmp_path, "A1"))),
    hand_made.Source(hand_made.section("B1", "B", rows=5)),
    hand_made.Source(hand_made.section("B2", "B", rows=6)),
  ]
  hand_made.hand_over(monkeypatch, made)
  return made
