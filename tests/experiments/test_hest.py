"""HEST-1k from its folder to embeddings, with the commands of the guide."""

import anndata
import numpy as np
import pytest

from tests.data_pipelines import hest_folder
from tests.experiments.conftest import call, run


@pytest.mark.slow
def test_a_folder_of_hest_goes_through_inspect_prepare_pretrain_and_embed(tmp_path):
  made = hest_folder.write(tmp_path / "hest", extra=("TENX3", "TENX4"))
  genes = "\t".join(made["TENX1"].var_names[:20])
  (tmp_path / "sets.gmt").write_text(f"LEFT\t\t{genes}\n")
  corpus, workdir, out = tmp_path / "corpus", tmp_path / "run", tmp_path / "out.h5ad"
  for command in (
    ("data_pipelines.inspect", f"--input={tmp_path / 'hest'}"),
    ("data_pipelines.prepare", f"--input={tmp_path / 'hest'}", f"--output={corpus}",
     f"--gene_sets={tmp_path / 'sets.gmt'}", "--window_spots=16", "--jobs=1",
     "--test_donors=TENX3", "--validation_donors=TENX4", "--region_um=300,600"),
    ("experiments.pretrain", "--config=experiments/hibio.py:test", f"--config.corpus={corpus}",
     f"--config.workdir={workdir}"),
    ("experiments.embed", f"--checkpoint={workdir}", f"--input={tmp_path / 'hest'}",
     f"--output={out}"),
  ):  # fmt: skip
    done = (run if command[0] == "experiments.pretrain" else call)(*command)
    assert done.returncode == 0, done.stderr[-2000:]
  embedded = anndata.read_h5ad(out)
  assert embedded.obs["library_id"].value_counts().to_dict() == {
    "MEND1": 36, "TENX1": 36, "TENX2": 18, "TENX3": 36, "TENX4": 36
  }  # fmt: skip
  assert (embedded.obs["hibio_sees"] == "both").all()
  assert np.isfinite(embedded.obsm["X_hibio"]).all()
  assert (np.linalg.norm(embedded.obsm["X_hibio_image"], axis=1) > 0).all()
