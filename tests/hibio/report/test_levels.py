"""What is shown of the levels is what was measured of them."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from hibio.evaluation import anchors, keywords
from hibio.evaluation.regions import sizes
from hibio.evaluation.setting import Setting
from hibio.report import collect, levels, section_figures
from hibio.report.exhibits import Exhibits


@pytest.fixture(scope="module")
def setting(evaluation) -> Setting:
  return evaluation.setting


@pytest.fixture(scope="module")
def shown(setting) -> Exhibits:
  return collect.exhibits(setting, ("keywords", "anchors", "regions"))


def test_only_the_tasks_that_were_asked_are_shown(shown):
  kinds = (*shown.map_rows, *shown.charts, *shown.listings, *shown.absent)
  assert {one.task for one in kinds} == {"keywords", "anchors", "regions"}
  assert not shown.retrievals


def test_keyword_genes_are_mapped_beside_housekeeping_genes(shown, setting):
  maps = next(row for row in shown.map_rows if row.task == "keywords").maps
  symbols = setting.corpus.panel.symbols
  known = [setting.housekeeping.genes[symbols.index(one.title.partition(" ")[0])] for one in maps]
  assert known == [False, False, True, True]
  assert [one.title.partition(" ")[2] for one in maps] == 2 * ["(keyword)"] + 2 * ["(housekeeping)"]


def test_every_gene_that_a_method_picks_first_has_a_dot_in_its_column(setting):
  section, found = next(iter(keywords.lists(setting).items()))
  figure = levels.gene_lists_chart(setting, found)
  axis = figure.axes[0]
  names = [label.get_text().removesuffix(" (h)") for label in axis.get_yticklabels()]
  columns = [label.get_text() for label in axis.get_xticklabels()]
  dots = {(columns[round(x)], names[round(y)]) for x, y in axis.collections[0].get_offsets()}
  symbols = setting.corpus.panel.symbols
  first = {(m, symbols[g]) for m, one in found.of.items() for g in one.genes[: levels.TOP]}
  assert first <= dots
  every = {(m, symbols[g]) for m, one in found.of.items() for g in one.genes}
  assert dots <= every


def test_listed_sets_are_in_the_order_of_how_spatial_they_are(shown, setting):
  listing = next(one for one in shown.listings if one.task == "anchors")
  *sets, random = listing.lines
  spatial = [float(line[1]) for line in sets]
  assert spatial == sorted(spatial, reverse=True)
  assert random[0] == "random sets, mean"
  found = anchors.scores(setting, setting.method("hibio"), anchors.asked_sets(setting)[0])
  place = found.sets.names.index(sets[0][0])
  want = found.seen_from["image"][anchors.ANCHORS].correlation[0, place]
  assert float(sets[0][listing.header.index("r, H&E")]) == pytest.approx(want, abs=6e-4)


def test_curves_of_sizes_end_at_the_largest_region(setting):
  feature = setting.tree_of(setting.method("hibio"))
  figure = levels.region_sizes_chart(setting, [feature])
  for level, axis in enumerate(figure.axes):
    largest = sizes(setting.regions(feature)[level, setting.is_scored]).max()
    curve = axis.lines[0]
    assert curve.get_xdata().max() == largest
    assert curve.get_ydata().max() == 1.0


def test_refreshes_of_training_are_listed(shown):
  listing = next(one for one in shown.listings if one.task == "regions")
  assert [line[0] for line in listing.lines] == ["6", "9", "12"]


def test_the_sections_that_are_asked_for_are_drawn(setting):
  every = [name for name, _ in setting.cohort.sections()]
  everyone = dataclasses.replace(setting, donors=tuple(set(setting.donor_of.values())))
  shown = collect.exhibits(everyone, ("regions",), sections=every[-1:])
  assert [tissue.section_id for tissue in shown.tissues] == every[-1:]


def test_every_map_and_chart_is_written_with_spots_in_colour(shown, tmp_path):
  section_figures.write(shown, tmp_path)
  written = sorted(path.name for path in tmp_path.iterdir())
  assert len(written) == len(shown.map_rows) + len(shown.charts)
  assert "regions-nested-regions.png" in written
  for name in written:
    with Image.open(tmp_path / name) as image:
      pixels = np.asarray(image.convert("HSV"))
    assert (pixels[..., 1] > 100).mean() > 0.01, name
