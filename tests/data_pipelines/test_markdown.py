import re

from data_pipelines.markdown import cell, table


def test_what_others_wrote_is_no_markup_no_link_and_no_other_cell():
  hostile = "<script>alert(1)</script> <!-- | [x](javascript:alert(1)) ![y][z]\n# \x1b[2J"
  shown = cell(hostile)
  assert shown.isprintable()
  assert not re.search(r"<[a-z/!]|(?<!\\)\][(\[]", shown)
  assert shown.replace("\\|", "").count("|") == 0
  assert cell("p < 0.05, r > 0.3 & n = 4 [2]") == "p < 0.05, r > 0.3 & n = 4 [2]"


def test_a_table_has_a_line_a_row():
  assert table(("a", "b"), [(1, "x\ny")]) == "| a | b |\n| --- | --- |\n| 1 | x y |\n"
