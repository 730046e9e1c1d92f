from hibio.training.timing import Stopwatch


def test_a_part_stands_still_while_one_within_it_runs():
  seconds = iter([0.0, 1.0, 3.0, 7.0, 9.0, 10.0])
  clock = Stopwatch(lambda: next(seconds))
  with clock.part("evaluate"), clock.part("compile"):
    pass
  assert clock.shares() == {"other": 2.0, "evaluate": 4.0, "compile": 4.0, "all": 10.0}


def test_a_lap_counts_from_the_one_before():
  seconds = iter([0.0, 1.0, 3.0, 4.0, 5.0, 9.0, 9.5])
  clock = Stopwatch(lambda: next(seconds))
  with clock.part("step"):
    pass
  first = clock.lap()
  with clock.part("step"):
    pass
  lap = clock.lap(first)
  assert (lap.seconds, lap.of("step"), lap.of("step", "other")) == (5.5, 4.0, 5.5)
