"""What a section of the medium preset is like; each property stops one kind of false success."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from data_pipelines.synthetic import PRESETS
from data_pipelines.synthetic.anatomy import LEAVES, Lattice, anatomy
from data_pipelines.synthetic.morphology import _spaced
from data_pipelines.synthetic.presets import stream
from data_pipelines.synthetic.programs import LEAF_PROGRAMS, PROGRAMS, batch_effect, draw_genes
from data_pipelines.synthetic.sections import draw_section
from data_pipelines.synthetic.stain import Artefacts, colour, draw_stain

MEDIUM = PRESETS["medium"]


@pytest.fixture(scope="module")
def genes():
  return draw_genes(MEDIUM, 0)


@pytest.fixture(scope="module")
def section(genes):
  return draw_section(MEDIUM, genes, 0, 3)


@pytest.fixture(scope="module")
def counts(section):
  return section.counts[: len(section.truth)]


@pytest.fixture(scope="module")
def patches(section):
  half = int(56 / section.um_per_px)
  centres = np.rint(section.truth[["x_um", "y_um"]].to_numpy() / section.um_per_px).astype(int)
  return np.stack([section.pixels[y - half : y + half, x - half : x + half] for x, y in centres])


def correlation(a, b):
  return np.corrcoef(a, b)[0, 1]


def program_share(section, counts, genes, program):
  member = (genes.program == PROGRAMS.index(program))[section.measured]
  steady = genes.housekeeping[section.measured]
  return np.log((1 + counts[:, member].sum(1)) / counts[:, steady].sum(1))


def test_housekeeping_genes_hold_about_half_of_the_counts(section, counts, genes):
  share = counts[:, genes.housekeeping[section.measured]].sum() / counts.sum()
  assert 0.4 < share < 0.6


def test_most_counts_are_zero_and_spots_hold_thousands(counts):
  assert 0.65 < (counts == 0).mean() < 0.9
  assert 1000 < np.median(counts.sum(1)) < 5000


def test_counts_of_one_leaf_vary_more_than_poisson_and_depth_explain(section, counts, genes):
  leaf = (section.truth["leaf"] == "stroma_loose").to_numpy()
  unplanned = (genes.program < 0)[section.measured]
  here = counts[leaf][:, unplanned]
  depth = here.sum(1)
  mean = depth[:, None] * here.sum(0)[None] / depth.sum()
  frequent = mean.mean(0) > 1
  here, mean = here[:, frequent], mean[:, frequent]
  excess = ((here - mean) ** 2 / mean).mean(0)  # 1 for Poisson
  assert np.median(excess) > 1.25


def test_deep_spots_are_those_with_many_nuclei_but_not_only_those(section, counts):
  assert 0.3 < correlation(np.log(counts.sum(1)), section.truth["nuclei_in_patch"]) < 0.6


def test_the_density_field_shows_in_nuclei_and_in_its_program_within_every_leaf(
  section, counts, genes
):
  truth = section.truth
  program = program_share(section, counts, genes, "PROLIFERATION")
  for leaf in LEAVES:
    here = (truth["leaf"] == leaf).to_numpy()
    assert correlation(truth["field/density"][here], truth["nuclei_in_patch"][here]) > 0.5
    assert correlation(truth["field/density"][here], program[here]) > 0.5


def test_the_tone_field_shows_in_eosin_and_in_its_program(section, counts, genes, patches):
  # Eosin takes away green; the median ignores the nuclei.
  green = np.median(patches[..., 1], axis=(1, 2))
  clean = ~(section.truth["fold"] | section.truth["pen"]).to_numpy()
  assert correlation(section.truth["field/tone"][clean], -green[clean]) > 0.65
  program = program_share(section, counts, genes, "MATRIX")
  assert correlation(section.truth["field/tone"], program) > 0.5


def test_the_hidden_program_follows_a_field_that_the_image_does_not_show(
  section, counts, genes, patches
):
  field = section.truth["field/silent"]
  assert correlation(field, program_share(section, counts, genes, "HIDDEN")) > 0.5
  seen = np.concatenate([patches.mean((1, 2)), patches.std((1, 2))], 1)
  # Two smooth fields of one section can agree by chance, which is why the bar is not lower.
  assert max(abs(correlation(field, seen[:, n])) for n in range(6)) < 0.45


def test_the_texture_field_shows_as_pale_holes_and_in_no_program(section, patches):
  truth = section.truth
  pale = (patches[..., 1] > np.median(patches[..., 1], axis=(1, 2), keepdims=True) + 40).mean(
    (1, 2)
  )
  off_tissue = section.lattice.centres_um[~section.in_tissue]
  inside = ~(truth["fold"] | truth["pen"]).to_numpy()
  inside &= cKDTree(off_tissue).query(truth[["x_um", "y_um"]])[0] > 130.0  # no glass in the patch
  # Where the eosin is coarse, its pale parts drown the holes.
  for leaf in ("epithelium_glandular", "epithelium_solid"):
    here = inside & (truth["leaf"] == leaf).to_numpy()
    assert spearmanr(truth["field/texture"][here], pale[here]).statistic > 0.3
  expressed = [abs(correlation(truth["field/texture"], truth[f"activity/{p}"])) for p in PROGRAMS]
  assert max(expressed) < 0.45


def test_mean_colour_hardly_differs_between_leaves(section, patches):
  colours = patches.mean((1, 2))
  groups = [colours[(section.truth["leaf"] == leaf).to_numpy()] for leaf in LEAVES]
  between = np.stack([group.mean(0) for group in groups]).var(0)
  assert (between / colours.var(0)).max() < 0.3


def test_neighbouring_spots_mostly_share_their_leaf_and_all_leaves_are_there(section):
  leaf = section.truth["leaf"].to_numpy()
  pairs = cKDTree(section.truth[["x_um", "y_um"]]).query_pairs(110.0, output_type="ndarray")
  assert (leaf[pairs[:, 0]] == leaf[pairs[:, 1]]).mean() > 0.75
  assert min((leaf == name).mean() for name in LEAVES) > 0.05


def test_some_programs_span_sibling_leaves_and_some_span_compartments():
  spans = [{leaf.split("_")[0] for leaf in leaves} for leaves in LEAF_PROGRAMS.values()]
  sizes = [len(leaves) for leaves in LEAF_PROGRAMS.values()]
  assert sum(size == 2 and len(span) == 1 for size, span in zip(sizes, spans, strict=True)) == 3
  assert sum(len(span) == 2 for span in spans) == 2


def test_spots_on_a_border_mix_their_leaves(section):
  shares = section.truth[[f"share/{leaf}" for leaf in LEAVES]].to_numpy()
  np.testing.assert_allclose(shares.sum(1), 1)
  assert 0.05 < (shares.max(1) < 0.9).mean() < 0.5


def test_sections_of_a_donor_share_more_of_their_batch_effect_and_their_stain(genes):
  def batch(donor, section):
    return batch_effect(MEDIUM, len(genes.ids), 0, donor, section)

  def shade(donor, section):
    stain = draw_stain(MEDIUM, 0, donor, section)
    return np.concatenate([stain.vectors.ravel(), np.log(stain.strength)])

  assert correlation(batch("D1", "D1S1"), batch("D1", "D1S2")) > 0.4
  assert abs(correlation(batch("D1", "D1S1"), batch("D2", "D2S1"))) < 0.15
  donors = [f"D{n}" for n in range(30)]
  within = [np.abs(shade(d, f"{d}S1") - shade(d, f"{d}S2")).mean() for d in donors]
  across = [
    np.abs(shade(a, f"{a}S1") - shade(b, f"{b}S1")).mean()
    for a, b in zip(donors, donors[1:], strict=False)
  ]
  assert np.mean(within) < 0.9 * np.mean(across)


def test_sections_of_a_donor_are_alike_in_anatomy_and_not_the_same():
  lattice = Lattice.of(*MEDIUM.lattice)

  def leaf(donor, section):
    return anatomy(MEDIUM, lattice, 0, donor, section).leaf(lattice.centres_um)

  first, second, other = leaf("D1", "D1S1"), leaf("D1", "D1S2"), leaf("D2", "D2S1")
  assert 0.3 < (first == second).mean() < 0.95
  assert (first == other).mean() < (first == second).mean()


def test_folds_and_pen_cover_some_spots_of_the_set_but_few(genes):
  """Drawn over the first donors; the truth marks the spots below."""
  small = [draw_section(PRESETS["tiny"], draw_genes(PRESETS["tiny"], 0), 0, n) for n in range(3)]
  marked = np.concatenate([(s.truth["fold"] | s.truth["pen"]).to_numpy() for s in small])
  assert 0 < marked.mean() < 0.3


def test_light_falls_with_stain_and_unstained_glass_stays_white():
  stain = draw_stain(MEDIUM, 0, "D1", "D1S1")
  amount = np.array([[0.0, 0.1, 0.3, 0.9]])
  nothing = np.zeros_like(amount)
  for pair in ((amount, nothing), (nothing, amount)):
    pixels = colour(*pair, stain, Artefacts(None, None), 3.0, stream(0, "noise"))
    light = pixels.astype(float).sum(-1)[0]
    assert pixels[0, 0].min() > 235
    assert (np.diff(light) < 0).all()


def test_spaced_points_keep_their_distance_and_leave_no_room():
  rng = stream(0, "points")
  points = rng.random((2000, 2)) * 100
  kept = points[_spaced(points, np.full(2000, 5.0), rng)]
  assert cKDTree(kept).query(kept, k=2)[0][:, 1].min() >= 5.0
  assert cKDTree(kept).query(points)[0].max() < 5.0


def test_the_lattice_is_hexagonal_with_a_pitch_of_100_um():
  lattice = Lattice.of(8, 16)
  distance, _ = cKDTree(lattice.centres_um).query(lattice.centres_um, k=7)
  np.testing.assert_allclose(distance[:, 1], 100.0)
  assert np.isclose(distance, 100.0).sum(1).max() == 6
  assert (lattice.row % 2 == lattice.column % 2).all()
