"""Sections side by side: the same corpus, the same message, and nobody left behind."""

import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_pipelines import synthetic
from data_pipelines.preparation.manifest import WORK
from data_pipelines.preparation.workers import workers
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from data_pipelines.readers import open_sections
from tests.data_pipelines import annotated, hand_made, raw_folders


def content(corpus):
  """Every file of a corpus but what a later run needs, as bytes."""
  return {
    path.relative_to(corpus): path.read_bytes()
    for path in sorted(corpus.rglob("*"))
    if path.is_file() and WORK not in path.parts
  }


def test_a_corpus_is_the_same_to_the_last_byte_with_any_number_of_processes(tmp_path, sources):
  options = PrepareOptions(gene_sets=(hand_made.gene_sets(tmp_path),), test_donors=("A",))
  for jobs in (1, 2):
    prepare([tmp_path], tmp_path / str(jobs), options, jobs)
  one, two = (content(tmp_path / jobs) for jobs in "12")
  assert one == two


def test_bad_input_found_by_a_process_is_the_same_one_line(tmp_path, sources):
  said = []
  for jobs in (1, 2):
    with pytest.raises(BadInputError) as problem:
      prepare([tmp_path], tmp_path / str(jobs), PrepareOptions(min_counts=1_000_000), jobs)
    said.append(str(problem.value))
  assert said[0] == said[1]
  assert "counts: found no spot left" in said[0]


def test_what_sections_of_platforms_are_read_by_can_be_sent_to_another_process(tmp_path):
  raw_folders.visium(tmp_path / "V" / "outs")
  raw_folders.legacy_st(tmp_path / "arrays", ["A1"])
  section = annotated.section("H")
  annotated.adata(section, image=annotated.picture(section)).write_h5ad(tmp_path / "H.h5ad")
  sources = open_sections(tmp_path)
  assert {source.reader for source in sources} == {"visium", "legacy_st", "anndata"}
  for source in sources:
    moved = pickle.loads(pickle.dumps(source)).read()
    again = pickle.loads(pickle.dumps(moved))
    assert (again.counts != source.read().counts).nnz == 0
    if again.image is not None:
      np.testing.assert_array_equal(again.image.pixels(), moved.image.pixels())


def test_results_come_in_the_order_of_the_calls_whoever_is_done_first():
  with workers(2) as each:
    calls = ((f"sleep {0.5 * (n == 0)}; echo {n}",) for n in range(5))
    assert list(each(subprocess.getoutput, calls)) == list("01234")


def test_a_process_that_dies_is_one_clear_line():
  with pytest.raises(BadInputError, match="--jobs: a process: found killed"), workers(2) as each:
    list(each(os._exit, [(1,)]))


@pytest.mark.slow
@pytest.mark.parametrize(
  ("number", "status"), [(signal.SIGINT, 75), (signal.SIGTERM, 75), (signal.SIGKILL, -9)]
)
def test_who_stops_the_command_stops_every_process_and_can_go_on(tmp_path, number, status):
  raw = synthetic.write("small", tmp_path / "raw", 0)
  command = [
    sys.executable, "-m", "data_pipelines.prepare", "--jobs=2", f"--input={raw}",
    f"--output={tmp_path / 'corpus'}",
  ]  # fmt: skip
  with subprocess.Popen(
    command, stderr=subprocess.PIPE, text=True, start_new_session=True
  ) as running:
    while "patches 1/6" not in running.stderr.readline():
      assert running.poll() is None
    os.killpg(running.pid, number) if number == signal.SIGINT else running.send_signal(number)
    assert running.wait(timeout=30) == status
  deadline = time.monotonic() + 30
  while _alive(running.pid):
    assert time.monotonic() < deadline
    time.sleep(0.1)
  assert not (tmp_path / "corpus" / "manifest.json").exists()
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  assert "sections are finished already" in done.stderr


def _alive(group):
  try:
    os.killpg(group, 0)
  except ProcessLookupError:
    return False
  return True
