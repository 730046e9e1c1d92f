"""Results open and draw in scanpy and squidpy as they are, with no step in between."""

import importlib.util

import anndata
import pytest

from hibio import tissue
from tests.data_pipelines import hand_made

MISSING = [name for name in ("scanpy", "squidpy") if importlib.util.find_spec(name) is None]

pytestmark = [
  pytest.mark.scverse,
  pytest.mark.skipif(
    bool(MISSING),
    reason=f"{' and '.join(MISSING)} not installed (pip install 'hibio-st[scverse]'): "
    "NOT checked that others' tools draw our results",
  ),
  pytest.mark.filterwarnings("ignore"),  # theirs
]


@pytest.fixture(scope="module")
def drawn(model, tmp_path_factory):
  """The file of one section with an image."""
  folder = tmp_path_factory.mktemp("scverse")
  section = hand_made.section("S", "D", image=hand_made.picture(folder, "S"))
  model.embed(tissue.of_sections([section])).write_h5ad(folder / "S.h5ad")
  return anndata.read_h5ad(folder / "S.h5ad")


def shown(axes):
  """Number of images and of spots on an axis."""
  # Circles are paths of one collection; every entry of a legend is a collection of its own.
  return len(axes.images), max(len(circles.get_paths()) for circles in axes.collections)


def test_scanpy_draws_domains_on_the_tissue_and_finds_neighbours(drawn):
  import scanpy

  scanpy.pp.neighbors(drawn, use_rep="X_hibio")
  assert drawn.obsp["connectivities"].nnz > 0
  for color in ("hibio_domain_1", "hibio_sees", drawn.var_names[0]):
    (axes,) = scanpy.pl.spatial(drawn, color=color, show=False)
    assert shown(axes) == (1, drawn.n_obs)


def test_squidpy_draws_domains_and_predicted_genes_on_the_tissue(model, drawn):
  import squidpy

  predicted = model.predict_expression(drawn)
  for adata, color in ((drawn, "hibio_domain_2"), (predicted, drawn.var_names[0])):
    axes = squidpy.pl.spatial_scatter(adata, color=color, return_ax=True)
    assert shown(axes) == (1, drawn.n_obs)
