"""The file of shoppers is read, or the command says what is wrong with it."""

from __future__ import annotations

import pytest

from fuserank.errors import ConfigurationError
from fuserank.storefront.shoppers import Shopper, read_shoppers


def test_a_file_of_shoppers_is_read(tmp_path):
    (tmp_path / "shoppers.json").write_text('[{"user_id": "7", "events": 12, "habits": ["Cat Food"]}]')
    assert read_shoppers(tmp_path / "shoppers.json") == (Shopper("7", 12, ("Cat Food",)),)
    assert read_shoppers(None) == ()


@pytest.mark.parametrize("text", ["", "{}", '[{"user_id": 7}]', '[{"user_id": "7", "events": 1, "x": 1}]'])
def test_another_file_is_an_error_that_names_it(tmp_path, text):
    path = tmp_path / "shoppers.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"--shoppers: found .*shoppers\.json.*allowed: a file that"):
        read_shoppers(path)
    with pytest.raises(ConfigurationError):
        read_shoppers(tmp_path / "missing.json")
