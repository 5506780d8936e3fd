"""Machines as QEMU's options; tests/boot boots them."""

import pytest
from fuki_build import Machine
from fuki_build.errors import FukiError

from fuki_qemu import smbios


def test_commas_are_doubled_and_missing_strings_are_empty():
    machine = Machine(name="vm", manufacturer="VMware, Inc.", product="VMware20,1")
    assert list(smbios.options(machine)) == [
        *("-smbios", "type=1,manufacturer=VMware,, Inc.,product=VMware20,,1,family=,sku="),
        *("-smbios", "type=2,manufacturer=,product="),
    ]


def test_the_bios_is_told_where_the_machine_has_one_with_its_release_in_decimal():
    machine = Machine(
        name="vm", manufacturer="A", bios_vendor="B", bios_version="1.0", bios_major="0a", bios_minor="10"
    )
    assert list(smbios.options(machine))[:2] == ["-smbios", "type=0,vendor=B,version=1.0,release=10.16"]


def test_a_machine_that_is_known_by_ids_alone_cannot_be_imitated():
    with pytest.raises(FukiError, match="hardware ids only") as caught:
        list(smbios.options(Machine(name="ids")))
    assert caught.value.hint
