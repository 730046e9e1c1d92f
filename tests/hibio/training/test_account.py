from hibio.training import account


def _start(at, lost, ended="", **seconds):
  entry = {"step": at, "lost": {"steps": 0, "seconds": lost}, "seconds": seconds}
  return entry | ({"ended": ended} if ended else {})


def test_steps_that_were_lost_are_no_goodput_and_all_time_is_accounted_for():
  history = [
    _start(0, 0.0, step=10.0, compile=5.0, all=15.0),  # killed 4 s after its last save
    _start(20, 4.0, "failed (OSError)", step=8.0, data=2.0, all=10.0),  # of which 3 s are lost
    _start(30, 3.0, "finished", step=20.0, all=20.0),
  ]
  found = account.of(history)
  assert found.parts == {"step": 35.0, "compile": 5.0, "data": 2.0, "lost work": 7.0}
  assert found.seconds == 15 + 4 + 10 + 20
  assert found.goodput == 35 / 49


def test_before_the_first_save_nothing_is_known():
  assert account.of([{"step": 0, "lost": {"steps": 0, "seconds": 0.0}}]).goodput == 0
