"""A run of an earlier version is read as it was trained."""

import dataclasses

from hibio import configs, pretrained


def test_what_a_run_could_not_choose_yet_is_what_it_did():
  now = configs.to_dict(configs.ModelConfig(**configs.SIZES["tiny"]))
  since = ("gene_profile", "gene_neighbourhood", "gene_input", "image_stem")
  earlier = {key: value for key, value in now.items() if key not in since}
  earlier["keywords"] = {k: v for k, v in now["keywords"].items() if k != "spatial_power"}
  read = configs.from_dict(configs.ModelConfig, pretrained.as_trained(earlier))
  assert not read.gene_profile
  assert not read.gene_neighbourhood
  assert read.image_stem == "pieces"
  assert read.keywords.spatial_power == 0
  assert read.gene_input == "values"


def test_what_a_run_chose_stays_as_it_is():
  chosen = configs.ModelConfig(
    **configs.SIZES["tiny"],
    gene_profile=True,
    keywords=configs.KeywordConfig(spatial_power=0.5),
  )
  values = dataclasses.asdict(chosen)
  assert configs.from_dict(configs.ModelConfig, pretrained.as_trained(values)) == chosen
