"""Files that a lab hands to the evaluation: marker genes of classes, and donors not to score."""

import gzip
from pathlib import Path

import pytest

from data_pipelines.gene_sets import read_gmt
from data_pipelines.genes import GenePanel
from data_pipelines.problems import BadInputError
from data_pipelines.text_files import read_table
from hibio.evaluation import gene_sets, leakage
from hibio.evaluation.leakage import Excluded

HER2ST = Path(__file__).resolve().parents[3] / "experiments" / "datasets" / "her2st_markers.gmt"


def test_small_and_overlapping_marker_sets_are_kept_and_their_coverage_is_said(tmp_path, capsys):
  path = tmp_path / "markers.gmt"
  path.write_text("one\t\ta\tb\ntwo\t\ta\tb\tz\nnone\t\ty\n")
  found = gene_sets.markers(path, GenePanel(tuple("ABC"), tuple("abc")))
  assert found.names == ("one", "two")
  assert found.membership.tolist() == [[True, True, False]] * 2
  assert "marker genes on the panel: one 2/2, two 2/3, none 0/1" in capsys.readouterr().err


def test_the_her2st_markers_cover_every_label_of_the_pathologist_with_genes_of_its_sections(
  real_data,
):
  labels = set()
  for table in (real_data / "her2st" / "pathologist").glob("*.tsv"):
    labels |= set(read_table(table)["label"])
  sets = read_gmt(HER2ST)
  assert labels - {"undetermined"} <= set(sets)
  with gzip.open(real_data / "her2st" / "counts" / "A1.tsv.gz", "rt") as file:
    genes_of_a1 = set(file.readline().split())
  missing = {gene for genes in sets.values() for gene in genes} - genes_of_a1
  assert len(missing) <= 4


def test_the_exclusion_list_is_read_with_and_without_versions(tmp_path):
  path = tmp_path / "exclude.tsv"
  path.write_text("study\tdonor\tversion\nher2st\tA\t1.1.0\nher2st\tB\t\n")
  assert leakage.read(path) == [Excluded("her2st", "A", "1.1.0"), Excluded("her2st", "B")]


@pytest.mark.parametrize(
  ("text", "field"),
  [
    ("study\tpatient\tversion\nher2st\tA\t\n", "column donor"),
    ("study\tdonor\tversion\nher2st\tA\t\n\tB\t1\n", "line 3"),
    ("", "file"),
  ],
)
def test_an_exclusion_list_that_cannot_be_read_is_refused(tmp_path, text, field):
  path = tmp_path / "exclude.tsv"
  path.write_text(text)
  with pytest.raises(BadInputError) as bad:
    leakage.read(path)
  assert bad.value.field == field
