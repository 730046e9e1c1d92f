"""Tables of text, spots by genes: separators, pieces, and cells that are no counts."""

import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from data_pipelines.readers import count_table

COUNTS = np.arange(12).reshape(4, 3)


def write(path, sep=",", header="", form="{}", counts=COUNTS):
  lines = [sep.join([header, "A", "B", "C"])]
  lines += [sep.join([f"s{n}", *map(form.format, row)]) for n, row in enumerate(counts)]
  path.write_text("\n".join(lines) + "\n")
  return path


@pytest.mark.parametrize("sep", ["\t", ",", ";"])
@pytest.mark.parametrize("form", ["{}", "{}.0", '"{}"'])
def test_a_table_reads_the_same_whatever_separates_it(tmp_path, sep, form):
  raw = count_table.read_counts(write(tmp_path / "c.csv", sep, form=form))
  np.testing.assert_array_equal(raw.counts.toarray(), COUNTS)
  assert raw.spot_ids.tolist() == ["s0", "s1", "s2", "s3"]
  assert raw.gene_ids.tolist() == ["A", "B", "C"]


def test_pieces_are_the_table(tmp_path):
  parts = list(count_table.pieces(write(tmp_path / "c.csv"), entries=4))
  assert len(parts) == 2
  np.testing.assert_array_equal(np.vstack([p.counts.toarray() for p in parts]), COUNTS)


def test_two_columns_of_names_are_joined(tmp_path):
  path = tmp_path / "c.csv"
  path.write_text('"fov","cell_ID","A","B"\n10,1,0,2\n10,2,1,0\n')
  (raw,) = count_table.pieces(path, names=2)
  assert raw.spot_ids.tolist() == ["10_1", "10_2"]
  np.testing.assert_array_equal(raw.counts.toarray(), [[0, 2], [1, 0]])


@pytest.mark.parametrize("line", ["s0,1,2,", "s0,1,2,x", "s0,1,2", "s0,1,,2", "s0,1,2,nan"])
def test_a_cell_that_is_no_count_is_named_by_its_line(tmp_path, line):
  path = tmp_path / "c.csv"
  path.write_text(f",A,B,C\ns1,1,2,3\n{line}\n")
  with pytest.raises(BadInputError) as problem:
    count_table.read_counts(path)
  assert problem.value.field.startswith("line 3")
