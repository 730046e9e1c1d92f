import numpy as np

from data_pipelines.readers import read_sections
from experiments.benchmarks import bins


def test_the_slide_that_is_timed_is_one_that_readers_take(tmp_path):
  bins.write(tmp_path, side=24, genes=2000, counts=60)
  (section,) = read_sections(tmp_path)
  assert section.num_spots == 24 * 24
  assert section.um_per_px == bins.UM_PER_PX / bins.HIRES  # of the picture that is there
  assert 40 < np.mean(section.counts.sum(axis=1)) < 80
