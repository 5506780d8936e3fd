from fuki_acme.machines import Acme

from fuki_build.testing import assert_platform, listed_ids

IDS = {9: "d35bb4c3-53db-5c17-8f74-b7d3f70dd01b"}


def test_acme_has_the_ids_that_were_seen_there():
    assert_platform(Acme(), {"Acme VM": IDS}, selectors=["Acme*"])


def test_acme_is_listed_under_manufacturer_and_product():
    assert listed_ids("acme", plugins=["acme"]) == {IDS[9]: "Acme VM"}
