import pytest

from data_pipelines.problems import BadInputError
from hibio.evaluation import housekeeping


def test_a_list_of_housekeeping_genes_is_read_with_or_without_a_header(evaluation, tmp_path):
  panel = evaluation.setting.corpus.panel
  path = tmp_path / "list.txt"
  path.write_text("\n".join([*panel.symbols[:3], "NOT_THERE"]))
  assert housekeeping.of_file(path, panel).genes.sum() == 3
  path.write_text("Ensembl ID;Gene name\n" + "\n".join(f"x;{name}" for name in panel.symbols[:4]))
  assert housekeeping.of_file(path, panel).genes.sum() == 4
  path.write_text("nothing\n")
  with pytest.raises(BadInputError, match="on the panel"):
    housekeeping.of_file(path, panel)


@pytest.mark.parametrize(
  ("name", "known"), [("RPL13A", True), ("MT-CO1", True), ("mt-Nd1", True), ("RPE", False)]
)
def test_ribosomal_and_mitochondrial_genes_are_known_by_name(name, known):
  assert bool(housekeeping.PATTERN.match(name)) == known
