from experiments.steps import Steps


def test_time_left_follows_the_weights_of_what_is_left(capsys):
  now = iter([0.0, 0.0, 10.0, 10.0, 30.0])
  steps = Steps("evaluate", {"a": 1.0, "b": 2.0}, clock=lambda: next(now))
  with steps.part("a", "5 spots"):
    pass
  with steps.part("b"):
    pass
  first, second = capsys.readouterr().err.splitlines()
  assert first == "evaluate 1/2 a (5 spots): 10 s, about 0:20 left"
  assert second == "evaluate 2/2 b: 20 s, about 0:00 left"
