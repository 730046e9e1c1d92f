from hibio.training import metrics
from hibio.training.journal import Journal
from hibio.training.timing import Stopwatch
from tests.hibio.training import toy


def test_a_look_that_was_put_off_counts_for_alarms_as_in_a_run_that_never_stopped(tmp_path):
  look, rest = {"held_out/loss/spot": 2.0, "held_out/chance/spot": 1.0}, {"weight/spot": 1.0}
  for step, line in ((2, look | rest), (3, look | rest), (4, rest)):
    metrics.MetricsWriter(tmp_path, step - 1).write(step, line)
  journal = Journal(tmp_path, toy.config(), 4, True, Stopwatch(), lambda: None)
  assert journal.owes_look()
  journal.complete(look)
  rings = {"alarms": ["held_out_not_below_chance"]}
  assert metrics.read(tmp_path)[-1] == {"step": 4} | look | rest | rings
  again = Journal(tmp_path, toy.config(), 4, True, Stopwatch(), lambda: None)
  assert not again.owes_look()
  assert again.alarms == {"held_out_not_below_chance": 4}
