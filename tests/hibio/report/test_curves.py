import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import same_color

from hibio.report import curves


def _ticks(figure):
  return [
    line
    for axis in figure.axes
    for line in axis.lines
    if same_color(line.get_color(), curves.ALARM) and len(line.get_xdata())
  ]


@pytest.mark.parametrize("rings", [True, False])
def test_a_red_tick_stands_where_an_alarm_rings_and_nowhere_else(rings):
  lines = [{"step": step, "stage": "spot", "loss/spot": 1.0 / step} for step in (1, 2, 3, 4)]
  if rings:
    lines[2] |= {"alarms": ["cone_gene"]}
    lines[3] |= {"alarms": ["cone_gene", "collapse_gene"]}
  figure = curves.training_figure(lines)
  assert len(_ticks(figure)) == (len(figure.axes) if rings else 0)
  assert all(list(tick.get_xdata()) == [3, 4] for tick in _ticks(figure))
  said = figure.get_suptitle()
  assert said == ("alarms: cone_gene (step 3), collapse_gene (step 4)" if rings else "")
  plt.close(figure)
