"""Sections by Apache Beam: the same corpus, and the same one line of bad input."""

import dataclasses
import importlib.util

import pytest

from data_pipelines import synthetic
from data_pipelines.preparation.manifest import WORK
from data_pipelines.prepare import PrepareOptions, prepare
from data_pipelines.problems import BadInputError
from tests.data_pipelines import hand_made

HERE = importlib.util.find_spec("apache_beam") is not None
needs_beam = pytest.mark.skipif(not HERE, reason="no Apache Beam (the extra beam): NOT checked")
LOCAL = "--runner=DirectRunner"


def content(corpus):
  """Every file of a corpus but what a later run needs, as bytes."""
  return {
    path.relative_to(corpus): path.read_bytes()
    for path in sorted(corpus.rglob("*"))
    if path.is_file() and WORK not in path.parts
  }


@needs_beam
def test_a_corpus_by_beam_is_the_same_to_the_last_byte(tmp_path):
  raw = synthetic.write("tiny", tmp_path / "raw", 0)
  options = PrepareOptions(gene_sets=(raw / "programs.gmt",))
  prepare([raw], tmp_path / "one", options)
  prepare([raw], tmp_path / "two", dataclasses.replace(options, beam=LOCAL))
  assert content(tmp_path / "one") == content(tmp_path / "two")
  assert not list((tmp_path / "two" / WORK).glob("beam-*"))


@needs_beam
def test_bad_input_met_by_beam_is_the_same_one_line(tmp_path, sources):
  said = []
  for name, beam in (("one", ""), ("two", LOCAL)):
    with pytest.raises(BadInputError) as problem:
      prepare([tmp_path], tmp_path / name, PrepareOptions(min_counts=1_000_000, beam=beam))
    said.append(str(problem.value))
  assert said[0] == said[1]


@pytest.mark.skipif(HERE, reason="Apache Beam is there")
def test_without_beam_the_extra_is_named(tmp_path, monkeypatch):
  hand_made.hand_over(monkeypatch, [hand_made.Source(hand_made.section("A1", "A"))])
  with pytest.raises(BadInputError, match=r"--beam: package: .*pip install .*\[beam\]"):
    prepare([tmp_path], tmp_path / "corpus", PrepareOptions(beam=LOCAL))
