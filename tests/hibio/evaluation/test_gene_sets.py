from __future__ import annotations

import numpy as np
import pytest

from data_pipelines.problems import BadInputError
from hibio.evaluation import gene_sets


def test_sets_that_share_over_half_of_their_genes_with_a_known_one_are_left_out():
  known = np.zeros((2, 12), bool)
  known[0, :4], known[1, 6:] = True, True
  sets = np.zeros((4, 12), bool)
  sets[0, :4] = True  # the same
  sets[1, :6] = True  # 4 of 6
  sets[2, 2:6] = True  # 2 of 6
  sets[3, 4:8] = True  # 2 of 8
  np.testing.assert_array_equal(gene_sets.unlike(sets, known), [False, False, True, True])
  assert gene_sets.unlike(sets, known[:0]).all()


def test_held_out_sets_that_resemble_trained_ones_are_left_out_and_counted(evaluation, tmp_path):
  corpus = evaluation.setting.corpus
  symbols = corpus.panel.symbols
  trained = [symbols[gene] for gene in np.flatnonzero(corpus.membership[0])]
  new = [symbol for symbol in symbols if symbol.startswith("SYN")][:8]
  path = tmp_path / "sets.gmt"
  path.write_text("\n".join("\t".join(line) for line in (["OLD", "", *trained], ["NEW", "", *new])))
  sets = gene_sets.held_out(path, corpus)
  assert sets.names == ("NEW",)
  assert sets.notes[-1].endswith(": 1")
  path.write_text("\t".join(["OLD", "", *trained]))
  with pytest.raises(BadInputError, match="unlike those of training"):
    gene_sets.held_out(path, corpus)
