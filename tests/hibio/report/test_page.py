"""The report page, read as a strict reader would: whole, safe, self-contained, honest."""

import base64
import dataclasses
import hashlib
import re

import numpy as np
import pytest

from hibio.report import page
from hibio.report.exhibits import Exhibits, GroupMap, MapRow
from hibio.report.verdicts import RULE
from tests.hibio.report.conftest import HOSTILE, row
from tests.hibio.report.walk import Walk


@pytest.fixture(scope="module")
def text(rows, exhibits, about) -> str:
  return page.html(rows, exhibits, about)


@pytest.fixture(scope="module")
def walk(text) -> Walk:
  return Walk(text)


def test_every_tag_is_closed_where_it_was_opened(walk):
  assert walk.problems == []


def test_ids_are_unique_and_every_link_leads_to_one(walk):
  ids = [attributes["id"] for _, attributes in walk.elements if "id" in attributes]
  assert len(ids) == len(set(ids))
  links = [attributes["href"] for attributes in walk.of("a")]
  assert len(links) > 10
  assert {link.removeprefix("#") for link in links} <= set(ids)


def test_alarms_of_the_training_run_are_told(walk):
  assert "cone_gene from step 120" in walk.text


def test_nothing_is_asked_of_the_network(text, walk):
  for _, attributes in walk.elements:
    for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
      value = attributes.get(name) or "#"
      assert value.startswith(("#", "data:image/")), (name, value[:60])
    assert not re.search(r"url\(", attributes.get("style") or "")
  assert all(url.startswith("data:image/") for url in re.findall(r"url\(([^)]*)\)", text))
  assert "@import" not in text
  assert not walk.of("link")


def test_the_page_itself_forbids_requests_and_foreign_scripts(walk):
  policy = next(
    attributes["content"]
    for attributes in walk.of("meta")
    if attributes.get("http-equiv") == "Content-Security-Policy"
  )
  digest = base64.b64encode(hashlib.sha256(walk.scripts[0].encode()).digest()).decode()
  assert policy == (
    f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
  )


def test_hostile_names_stay_text(text, walk):
  assert len(walk.of("script")) == len(walk.scripts) == 1
  assert "alert" not in walk.scripts[0]
  assert not any(name.startswith("on") for _, found in walk.elements for name in found)
  # In the title, the heading, the nav, maps, legend, hits, confusion, a protocol and a note.
  assert walk.text.count(HOSTILE) >= 9
  assert "<script>alert" not in text


def test_every_picture_and_plot_has_words(walk):
  assert len(walk.of("img")) >= 10
  assert all(attributes.get("alt") for attributes in walk.of("img"))
  marked = [found for _, found in walk.elements if found.get("role") in ("img", "region")]
  assert len(marked) > 5
  assert all(found.get("aria-label") for found in marked)


def test_header_cells_say_what_they_head(walk):
  assert len(walk.of("th")) > 20
  assert all(
    found.get("scope") in ("col", "row", "colgroup", "rowgroup") for found in walk.of("th")
  )


def test_what_scrolls_can_be_reached_by_keyboard(walk):
  scrolling = [found for _, found in walk.elements if found.get("class") == "scroll"]
  assert scrolling
  assert all(found.get("tabindex") == "0" for found in scrolling)


@pytest.mark.parametrize("task", ["retrieval", "annotation", "domains"])
def test_each_task_shows_model_untrained_baseline_and_chance_in_the_summary(rows, about, task):
  own = [one for one in rows if one.task == task and one.protocol != HOSTILE]
  found = Walk(page.html(own, Exhibits(), about))
  summary = found.text[found.text.index("Summary") : found.text.rindex("How to read this")]
  for figure in ("0.612 ± 0.012", "0.223", "0.335", "colour", "0.051", "▲ better"):
    assert figure in summary, figure
  assert RULE in found.text
  plot = next(one for one in found.of("svg") if one.get("class") == "dots")
  assert plot["aria-label"] == "model 0.612, untrained 0.223, baseline 0.335, chance 0.051"


def test_a_model_under_the_baseline_is_called_worse(about):
  rows = [row("domains", "hibio/gene", 0.3), row("domains", "pca/gene", 0.7)]
  text = Walk(page.html(rows, Exhibits(), about)).text
  assert "▼ worse" in text
  assert "▲" not in text


def test_a_reason_in_the_summary_may_wrap_and_is_no_figure(about):
  rows = [
    row("domains", "hibio/gene", None, note="no labels; of A"),
    row("domains", "pca/gene", 0.7),
  ]
  found = Walk(page.html(rows, Exhibits(), about))
  assert [one["class"] for one in found.of("td") if "data-name" in one][0] == "figure none"
  assert "n/a (no labels)" in found.text


def test_a_missing_value_stands_with_its_reason(walk, text):
  assert "n/a" in walk.text
  assert "no section measures these genes" in walk.text
  mark = re.search(r'>n/a<span.*?<a href="#([^"]+)"', text, re.DOTALL)[1]
  assert re.search(f'id="{mark}">no section measures these genes', text)


def test_a_section_without_an_image_says_so_in_its_place(exhibits, about):
  found = Walk(page.html([], dataclasses.replace(exhibits, absent=()), about))
  assert found.text.count("no image") == len(exhibits.map_rows)  # one of two sections has none
  labels = [one.get("aria-label", "") for _, one in found.elements]
  assert sum(label.endswith("which has no image") for label in labels) == len(exhibits.map_rows)


def test_a_scale_starts_at_zero_unless_a_figure_lies_clearly_below(about):
  for chance, start in ((-0.001, "0"), (-0.3, "-0.3")):
    rows = [row("domains", "hibio/gene", 0.8, chance=chance)]
    text = page.html(rows, Exhibits(), about)
    assert re.search(r'<text x="0" y="37">([^<]*)', text)[1] == start


def test_what_is_not_shown_says_why(walk):
  assert "Pathways is not shown: the corpus was prepared without gene sets" in walk.text


def test_the_leak_banner_appears_only_when_told(rows, about, walk):
  assert "LEAK " not in walk.text.replace("LEAKY", "")
  assert not [found for _, found in walk.elements if found.get("role") == "alert"]
  leaky = dataclasses.replace(about, leaks=("donor D4 was trained on",))
  found = Walk(page.html(rows, Exhibits(), leaky))
  assert [one["class"] for _, one in found.elements if one.get("role") == "alert"] == ["leak"]
  assert "donor D4 was trained on" in found.text


def test_the_origin_is_told(walk):
  for words in ("step 400", "1.23 million", "D4, D5", "0123456789abcdef", "jax 0.10.2"):
    assert words in walk.text
  assert "python -m experiments.evaluate" in walk.text


def test_a_page_without_rows_and_exhibits_still_stands(about):
  found = Walk(page.html([], Exhibits(), about))
  assert found.problems == []
  assert "There are no results." in found.text


def test_a_map_of_a_thousand_spots_costs_under_forty_kilobytes(exhibits, about):
  rng = np.random.default_rng(0)
  grid = np.stack(np.meshgrid(np.arange(32), np.arange(31)), -1).reshape(-1, 2)
  tissue = dataclasses.replace(exhibits.tissues[0], positions_um=100.0 * grid)
  groups = {"S1": rng.integers(0, 6, len(grid)).astype(str)}
  one = GroupMap("label", groups, classes=tuple("012345"))
  sizes = [
    len(page.html([], Exhibits((tissue,), (MapRow("domains", "", "", [one] * count),)), about))
    for count in (1, 3)
  ]
  assert (sizes[1] - sizes[0]) / 2 < 40_000


def test_a_written_page_is_whole(rows, exhibits, about, tmp_path, text):
  path = page.write(rows, exhibits, about, tmp_path / "report.html")
  assert path.read_text() == text
  assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_map_that_misses_a_spot_is_refused(exhibits):
  short = MapRow("domains", "Domains", "", [GroupMap("leaf", {"S1": np.array(["a"])})])
  with pytest.raises(ValueError, match="1 entries, 48 spots"):
    dataclasses.replace(exhibits, map_rows=(short,))
