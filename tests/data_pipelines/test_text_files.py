"""Tables of text that are larger than life, or none."""

import pytest

from data_pipelines.problems import BadInputError
from data_pipelines.readers.joins import read_labels
from data_pipelines.text_files import as_numbers, names_shown, read_numbers, read_table

DIGITS = "9" * 5_000_000


@pytest.mark.parametrize(
  "text",
  [
    f"barcode,label\nA,{DIGITS}\n",
    f"barcode,label\nA,x\nB,{DIGITS}\n",
    f"barcode,{DIGITS}\nA,x\n",
    f'barcode,label\nA,x\nB,"{"9," * 100_000}"\n',
  ],
)
def test_a_cell_of_millions_of_digits_is_one_short_line(tmp_path, text):
  path = tmp_path / "labels.csv"
  path.write_text(text)
  with pytest.raises(BadInputError, match="cells: found .*expected cells of at most 10,000") as bad:
    read_table(path)
  assert len(str(bad.value)) < 500


def test_a_number_of_thousands_of_digits_takes_no_room_in_the_others():
  numbers = as_numbers(["1", "9" * 9_000] * 10_000)
  assert numbers[0] == 1.0
  assert numbers[1] != numbers[1]


def test_two_hundred_thousand_columns_are_refused_unread(tmp_path):
  path = tmp_path / "labels.csv"
  path.write_text(f"barcode,{','.join(map('c{}'.format, range(200_000)))}\nA{',1' * 200_000}\n")
  with pytest.raises(BadInputError, match="columns: found 200,001, expected at most 2,000"):
    read_labels(path)


@pytest.mark.parametrize(
  "secret",
  [
    "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/bin/sh\n",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n",
    "AWS_KEY=AKIA123\nAWS_SECRET=wJalrXUtnFEMI\n",
  ],
)
def test_what_is_no_table_is_not_quoted(tmp_path, secret):
  path = tmp_path / "labels.csv"
  path.write_text(secret)
  for read in (read_labels, lambda path: read_numbers(read_table(path), ["x"], path)):
    with pytest.raises(BadInputError) as bad:
      read(path)
    words = [word for word in secret.replace("\n", " ").split() if len(word) > 5]
    assert not any(word in str(bad.value) for word in words)


def test_columns_of_a_table_are_named():
  assert (
    names_shown(["barcode", "pixel_x", "layer (L1-L6)"]) == "only barcode, pixel_x, layer (L1-L6)"
  )
