"""Untrained models that know the genes of `hand_made` sections, as if they were trained."""

import dataclasses

import jax
import numpy as np
import pytest

from data_pipelines.genes import GenePanel
from hibio import configs
from hibio.embed import Model
from hibio.model import HiBio
from hibio.pretrained import Pretrained
from hibio.training.description import describe
from hibio.training.tables import save_tables
from tests.data_pipelines import hand_made
from tests.hibio.colours import Colours
from tests.hibio.fake import fake

NAMES = ("LEFT", "RIGHT/OTHER", "REST")
"""One with a character that no key of an HDF5 file may hold."""
PATCH_PX, PATCH_UM, WINDOW_SPOTS = 16, 100.0, 24


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Model:
  return _made(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="session")
def reads_features(tmp_path_factory) -> Model:
  """One that reads what `tests.hibio.colours` makes of a slide."""
  return _made(tmp_path_factory.mktemp("untrained"), Colours().about)


def _made(workdir, encoder=None) -> Model:
  tower = configs.TransformerConfig(width=16, depth=1, num_heads=2)
  config = configs.ModelConfig(
    embedding_width=16,
    patch_px=PATCH_PX,
    token_px=8,
    image=tower,
    gene=tower,
    keywords=configs.KeywordConfig(num_keywords=8),
    context=configs.ContextConfig(num_heads=2),
    image_encoder="features" if encoder else "vit",
  )
  section = hand_made.section("S", "D")
  panel = GenePanel(tuple(section.gene_ids), tuple(section.gene_symbols))
  corpus = {
    "fingerprint": "0",
    "sections": [],
    "gene_sets": {"names": NAMES},
    "splits": {"train": ["D"], "validation": [], "test": []},
    "patch": {"um": PATCH_UM, "px": PATCH_PX},
    "window_spots": WINDOW_SPOTS,
    "features": encoder,
  }
  batch, tables = fake(windows=2, spots=8, genes=len(panel), pathways=len(NAMES), patch_px=PATCH_PX)
  if encoder:
    values = np.zeros((*batch.spot_mask.shape, 2 * encoder["width"]), np.float32)
    batch = batch.replace(features=values, patches=batch.patches[:, :, :0, :0])
  membership = np.zeros((len(NAMES), len(panel)), bool)
  for number in range(len(NAMES)):
    membership[number, 10 * number : 10 * number + 10] = True
  tables = tables.replace(membership=membership)
  save_tables(workdir, NAMES, tables)
  module = HiBio(config, len(panel))
  described = describe(
    {
      "model": dataclasses.asdict(config),
      "objectives": {},
      "training": {"region_um": [283.0, 490.0], "seed": 0},
    },
    panel,
    corpus,
  )
  params = _drawn(module, batch, tables)
  return Model(Pretrained(workdir, module, params, described | {"step": 5}))


def _drawn(module, batch, tables):
  """Parameters drawn with NumPy: `init` takes longer to compile than all tests to run."""
  shapes = jax.eval_shape(
    lambda: module.init(jax.random.key(0), batch, tables.statistics, tables.membership)
  )["params"]
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    about = 1.0 if path[-1].key == "scale" else 0.0
    spread = 0.1 if leaf.ndim < 2 else leaf.shape[0] ** -0.5
    return rng.normal(about, spread, leaf.shape).astype(leaf.dtype)

  return jax.tree_util.tree_map_with_path(draw, shapes)
