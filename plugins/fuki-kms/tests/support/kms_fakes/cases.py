"""Tests that hold for several clouds, with cases of each."""

import hashlib
from collections.abc import Mapping, Sequence

import pytest

DIGESTS = {name: hashlib.new(name, b"an image").digest() for name in ("sha256", "sha384", "sha512")}


def for_each(names: str, cases: Mapping[str, Sequence[object]]) -> pytest.MarkDecorator:
    """Cases of each cloud, for the fixture `cloud` and arguments of these names; a case of several is a tuple."""
    rows = [
        pytest.param(cloud, *(case if isinstance(case, tuple) else (case,)))
        for cloud, rows in cases.items()
        for case in rows
    ]
    return pytest.mark.parametrize(f"cloud, {names}", rows, indirect=["cloud"])
