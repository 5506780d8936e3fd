from uuid import UUID

import pytest

from fuki_build.hardware.chid import FIELDS, STUB_ORDER, Dialect, chid
from fuki_build.hardware.machine import Machine

MSI = Machine(
    name="MSI",
    manufacturer="Micro-Star International Co., Ltd.",
    family="To be filled by O.E.M.",
    sku="To be filled by O.E.M.",
    product="MS-7D70",
    baseboard_manufacturer="Micro-Star International Co., Ltd.",
    baseboard_product="MPG X670E CARBON WIFI (MS-7D70)",
)
AZURE = Machine(
    name="Azure",
    manufacturer="Microsoft Corporation",
    product="Virtual Machine",
    family="Virtual Machine",
    sku="None",
    baseboard_manufacturer="Microsoft Corporation",
    baseboard_product="Virtual Machine",
)
AWS = Machine(name="AWS", manufacturer="Amazon EC2", product="m6a.large", baseboard_manufacturer="Amazon EC2")
GOOGLE = Machine(
    name="Google",
    manufacturer="Google",
    product="Google Compute Engine",
    baseboard_manufacturer="Google",
    baseboard_product="Google Compute Engine",
)
VMWARE = Machine(
    name="VMware",
    manufacturer="VMware, Inc.",
    product="VMware20,1",
    baseboard_manufacturer="Intel Corporation",
    baseboard_product="440BX Desktop Reference Platform",
)


def machine(manufacturer: str, product: str, family: str = "") -> Machine:
    return Machine(name=product, manufacturer=manufacturer, product=product, family=family)


ALIBABA = machine("Alibaba Cloud", "Alibaba Cloud ECS")
DIGITALOCEAN = machine("DigitalOcean", "Droplet", "DigitalOcean_Droplet")
HETZNER = machine("Hetzner", "vServer", "Hetzner_vServer")
OPENSTACK = machine("OpenStack Foundation", "OpenStack Nova", "Virtual Machine")
I440FX = machine("QEMU", "Standard PC (i440FX + PIIX, 1996)")
Q35 = machine("QEMU", "Standard PC (Q35 + ICH9, 2009)")
VIRTUALBOX = machine("innotek GmbH", "VirtualBox", "Virtual Machine")
NUTANIX = machine("Nutanix", "AHV")

# Printed by fwupd and by systemd-analyze chid on that board.
MICROSOFT = [
    (MSI, 3, "01e09b32-de05-56ca-b9d1-9486ad5f381d"),
    (MSI, 9, "c12c1f4a-332d-5d72-aa36-7a3d413b479a"),
    (MSI, 14, "50af5797-a2f2-58b1-9a1a-453bcbb2e025"),
]

# The clouds' ids, from kernel logs and dmidecode dumps of their machines.
STUB = [
    (AWS, 11, "c7352a90-6932-5bb7-b916-d272f6e71955"),
    (AWS, 7, "c7352a90-6932-5bb7-b916-d272f6e71955"),
    (AWS, 10, "12ad5008-312e-5fd0-b525-b8889480c115"),
    (AWS, 6, "12ad5008-312e-5fd0-b525-b8889480c115"),
    (AZURE, 3, "f6d11450-9814-5ca6-afc5-aa9f79eda934"),
    (AZURE, 9, "6d4071db-0b8f-520b-806c-81e804431336"),
    (AZURE, 11, "6d4071db-0b8f-520b-806c-81e804431336"),
    (AZURE, 8, "27793478-b19b-57b6-9b0b-17fd52bb3e83"),
    (AZURE, 10, "27793478-b19b-57b6-9b0b-17fd52bb3e83"),
    (GOOGLE, 8, "3b3363c2-fcf4-5b8f-82ec-f4e3943032b5"),
    (GOOGLE, 9, "fa23da35-436a-5d5d-add2-bd549606b553"),
    (ALIBABA, 9, "bc36b45b-3f45-5362-9a47-fcee32d528ac"),
    (DIGITALOCEAN, 9, "9934a0ba-7bbb-5ea4-9b91-8e7d42426aae"),
    (HETZNER, 9, "b6abc8be-7993-5083-a422-c508e57fa0ae"),
    (OPENSTACK, 9, "3d70122a-9f43-5bcc-b223-240b79ec14e6"),
    (I440FX, 9, "a141acf9-eb8a-52b7-b7c8-e94b402a1590"),
    (Q35, 9, "817fca52-ae83-52f5-8642-9497f79d49d0"),
    (Q35, 11, "7f5dbe14-cfc8-595a-95fd-0fda870d7b52"),
    (I440FX, 11, "7f5dbe14-cfc8-595a-95fd-0fda870d7b52"),
    (VMWARE, 9, "4a8a248d-9e6b-5216-b83e-6cdf9bde8d0d"),
    (VMWARE, 8, "332453e7-0d0e-5119-bb54-4f8991d6d513"),
    (VIRTUALBOX, 9, "d115e295-974b-5e75-9adc-d977e762cf4b"),
    (NUTANIX, 9, "8f920a44-7f14-56c1-a11a-b9cb2f26f6d7"),
]


def label(value: object) -> str | None:
    return value.name if isinstance(value, Machine) else None


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(("board", "kind", "expected"), MICROSOFT, ids=label)
def test_an_id_of_a_real_board_is_the_known_one_in_both_dialects(
    board: Machine, kind: int, expected: str, dialect: Dialect
):
    assert chid(board, kind, dialect) == UUID(expected)


@pytest.mark.parametrize(("cloud", "kind", "expected"), STUB, ids=label)
def test_an_id_of_a_cloud_is_the_known_one(cloud: Machine, kind: int, expected: str):
    assert chid(cloud, kind, Dialect.STUB) == UUID(expected)


@pytest.mark.parametrize("kind", [3, 4, 5, 6, 7, 10, 11, 13])
def test_microsofts_dialect_has_no_id_where_a_field_is_missing(kind: int):
    assert chid(AWS, kind, Dialect.MICROSOFT) is None


def test_microsofts_dialect_has_an_id_where_all_fields_are_there():
    assert chid(Q35, 9, Dialect.MICROSOFT) == UUID("817fca52-ae83-52f5-8642-9497f79d49d0")


@pytest.mark.parametrize("spelling", ["  QEMU", "QEMU  ", "  000QEMU ", "0QEMU"])
def test_the_stub_strips_leading_spaces_then_zeros_then_trailing_spaces(spelling: str):
    stripped = machine(spelling, "Standard PC (Q35 + ICH9, 2009)")
    assert chid(stripped, 9, Dialect.STUB) == UUID("817fca52-ae83-52f5-8642-9497f79d49d0")


def test_the_stub_keeps_spaces_that_follow_leading_zeros():
    spaced = machine("0 QEMU", "Standard PC (Q35 + ICH9, 2009)")
    assert chid(spaced, 9, Dialect.STUB) != UUID("817fca52-ae83-52f5-8642-9497f79d49d0")


def test_the_stub_tries_types_in_its_own_order():
    assert STUB_ORDER == (17, 16, 15, 3, 6, 8, 10, 4, 5, 7, 9, 11)


@pytest.mark.parametrize(("extension", "base"), [(15, 5), (16, 11), (17, 7)])
def test_an_extension_is_a_type_and_the_display_panel(extension: int, base: int):
    assert FIELDS[extension] == (*FIELDS[base], "panel_id")


@pytest.mark.parametrize("kind", range(15))
def test_every_type_without_a_panel_has_an_id_in_the_stubs_dialect(kind: int):
    computed = chid(MSI, kind, Dialect.STUB)
    assert computed is not None
    assert (computed.version, computed.variant) == (5, "specified in RFC 4122")
