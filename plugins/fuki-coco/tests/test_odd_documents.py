"""Documents of anyone are refused in one clear error."""

import json

import pytest
from fuki_build.testing import refused

LAUNCH = {
    "firmware": "ovmf",
    "profile": None,
    "firmware-sha256": "44" * 32,
    "technology": "sev-snp",
    "register": "MEASUREMENT",
    "algorithm": "sha384",
    "digest": "81" * 48,
}


@pytest.mark.parametrize("form", ["rvps", "contrast", "corim"])
@pytest.mark.parametrize("data", [b"", b"[" * 100000, b'{"a":' * 100000, b'{"version":"\xff"}', b"[]", b"{}"])
def test_what_is_no_document_of_launches_is_refused(tmp_path, form, data):
    (tmp_path / "launches").write_bytes(data)
    error = refused(tmp_path, "--plugin", "coco", "reference-values", form, "launches", "-o", "values", code=1)
    assert "launches: this is not what 'fuki launch --json' prints" in error


def test_a_corim_without_a_name_for_the_algorithm_is_refused(tmp_path):
    row = {**LAUNCH, "algorithm": "md5"}
    (tmp_path / "launches").write_text(json.dumps({"version": 1, "launches": [row], "notes": []}))
    error = refused(tmp_path, "--plugin", "coco", "reference-values", "corim", "launches", "-o", "values", code=1)
    assert "'md5'" in error
    assert "sha384" in error


@pytest.mark.parametrize("data", [b"", b"[" * 100000, b'{"version":"\xff"}'])
def test_what_is_no_document_of_digests_is_refused(tmp_path, data):
    (tmp_path / "digests").write_bytes(data)
    error = refused(tmp_path, "--plugin", "coco", "id-block", "attach", "digests", "-o", "block", code=1)
    assert "digests: this is not what 'fuki id-block digests' prints" in error
