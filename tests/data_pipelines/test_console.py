import pytest

from data_pipelines.console import Parts, Progress, announcing, clock, counted


def _times(*seconds):
  moments = iter(seconds)
  return lambda: next(moments)


@pytest.mark.parametrize(
  ("seconds", "text"), [(5.9, "0:05"), (185, "3:05"), (3723, "1:02:03")]
)  # fmt: skip
def test_the_clock_shows_hours_only_where_there_are_some(seconds, text):
  assert clock(seconds) == text


def test_progress_is_told_at_most_every_ten_seconds_with_rate_and_time_left(capsys):
  progress = Progress("retrieval", 400, "queries", now=_times(0.0, 4.0, 10.0, 15.0))
  for _ in range(3):
    progress.add(100)
  said = capsys.readouterr().err.splitlines()
  assert said == ["retrieval 200/400 queries, 20 queries/s, 0:10 left"]


def test_progress_without_pauses_tells_each_item_and_at_the_end_the_rate_over_all(capsys):
  progress = Progress("genes", 3, "sections", every_seconds=0, now=_times(0.0, 10.0, 200.0, 300.0))
  progress.add(note="A: 500 spots")
  progress.add(2)
  assert progress.finish() == 0.01
  assert capsys.readouterr().err.splitlines() == [
    "genes 1/3 sections (A: 500 spots), 0.1 sections/s, 0:20 left",
    "genes 3/3 sections, 0.015 sections/s, 0:00 left",
    "genes 3 sections in 300.0 s, 0.01 a second",
  ]


def test_time_left_follows_the_weights_of_what_is_left(capsys):
  parts = Parts("evaluate", {"a": 1.0, "b": 2.0}, now=_times(0.0, 0.0, 10.0, 10.0, 30.0))
  with parts.part("a", "5 spots"):
    pass
  with parts.part("b"):
    pass
  first, second = capsys.readouterr().err.splitlines()
  assert first == "evaluate 1/2 a (5 spots): 10 s, about 0:20 left"
  assert second == "evaluate 2/2 b: 20 s, about 0:00 left"


def test_the_first_call_of_a_function_is_announced_with_an_estimate_and_what_it_took(capsys):
  double = announcing(lambda number: 2 * number, "compiling the model", "5 s")
  assert (double(1), double(2)) == (2, 4)
  assert capsys.readouterr().err.splitlines() == [
    "compiling the model: usually 5 s", "compiling the model: took 0 s",
  ]  # fmt: skip


def test_one_thing_is_told_in_the_singular():
  told = [counted(n, "gene sets of the panel") for n in (0, 1, 2310)]
  assert told == [
    "0 gene sets of the panel",
    "1 gene set of the panel",
    "2,310 gene sets of the panel",
  ]
