"""Devicetrees in an image, against systemd's own list of which one is whose."""

import json

import pytest

NAMES = {"qcom,x1e80100-crd": "x1e80100-crd.dtb", "lenovo,thinkpad-x13s": "sc8280xp-lenovo-thinkpad-x13s.dtb"}
"""Compatible strings in systemd's hardware ids, and the files that Debian has for them."""


@pytest.fixture
def image(workshop, part, fuki):
    """An image with two devicetrees, and the compatible strings that systemd has for them."""
    collection = part("hwids-aa64")
    assert set(NAMES) <= {json.loads(file.read_text()).get("compatible") for file in collection.glob("*.json")}
    trees = [next(part("dtbs-aa64").rglob(name)) for name in NAMES.values()]
    recipe = (workshop / "fuki.toml").read_text()
    (workshop / "fuki.toml").write_text(
        f"{recipe}dtbauto = {[str(tree) for tree in trees]!r}\nhwids = '{collection}'\n"
    )
    fuki("build", "-o", "image.efi")
    return dict(zip(NAMES, trees, strict=True))


def test_a_devicetree_is_taken_out_by_its_compatible_string(image, fuki, workshop):
    for compatible, tree in image.items():
        fuki("inspect", "image.efi", "--extract", f".dtbauto:{compatible}", "-o", "out.dtb")
        assert (workshop / "out.dtb").read_bytes() == tree.read_bytes()


def test_a_devicetree_is_taken_out_by_its_number(image, fuki, workshop):
    for number, tree in enumerate(image.values(), 1):
        fuki("inspect", "image.efi", "--extract", f"dtbauto:{number}", "-o", "out.dtb")
        assert (workshop / "out.dtb").read_bytes() == tree.read_bytes()


def test_the_table_tells_which_of_its_devicetrees_are_in_the_image(image, fuki):
    devices = json.loads(fuki("inspect", "image.efi", "--json").stdout)["devices"]
    assert {device["compatible"] for device in devices if device["present"]} == set(image)
    assert any(not device["present"] for device in devices)
