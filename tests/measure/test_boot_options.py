"""Boots as options of the command line describe them."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fuki_build.errors import FormatError, FukiError
from fuki_build.image.digest_plan import measured_in
from fuki_build.measure.boot import Boot, BootMethod
from fuki_build.measure.boot_options import boot_digests, read_boot, read_firmware, read_program
from fuki_build.measure.pcr7 import SecureBootPolicy, SecureBootState
from tests.formats.test_event_log import LOGS
from tests.support.rich import authenticode

BANKS = ("sha256",)


def test_without_options_nothing_is_known_of_a_boot():
    assert read_boot(BANKS) == Boot()


def test_each_option_is_one_circumstance(part):
    menu, beside, other = part("stub-x64"), part("stub-257-x64"), part("stub-aa64")
    boot = read_boot(
        BANKS,
        direct=True,
        options="passed",
        smbios_options="host",
        console="console=tty0",
        shim=True,
        no_boot_secret=True,
        loaders=[menu],
        addons=[beside],
        global_addons=[other],
    )
    assert (boot.method, boot.options, boot.smbios, boot.console) == (
        BootMethod.DIRECT,
        "passed",
        "host",
        "console=tty0",
    )
    assert (boot.shim, boot.secret, boot.secure_boot, boot.policy, boot.partitions) == (True, False, False, None, None)
    for programs, path in ((boot.loaders, menu), (boot.addons, beside), (boot.global_addons, other)):
        (program,) = programs
        assert program.name == path.name
        assert program.assembly.image_hash("sha256").hexdigest() == authenticode(path)


@pytest.mark.parametrize("option", ["loaders", "addons", "global_addons"])
def test_programs_have_the_digest_by_which_db_lists_them_whatever_the_banks(part, option: str):
    given: dict[str, Any] = {option: [part("stub-x64")]}
    boot = read_boot(("sha384",), lists=[f"db={LOGS / 'db.esl'}"], secure_boot="on", **given)
    (program,) = getattr(boot, option)
    assert program.assembly.image_hash("sha256").hexdigest() == authenticode(part("stub-x64"))


@pytest.mark.parametrize("name", ["mehr-é.addon.efi", ".more.addon.efi"])
@pytest.mark.parametrize("option", ["addons", "global_addons"])
def test_an_addon_that_the_stub_does_not_look_at_is_refused(part, tmp_path: Path, option: str, name: str):
    (tmp_path / name).symlink_to(part("addon-stub-x64"))
    given: dict[str, Any] = {option: [tmp_path / name]}
    with pytest.raises(FukiError, match="the stub passes over an addon of this name") as refused:
        read_boot(BANKS, **given)
    assert refused.value.where == str(tmp_path / name)


@pytest.mark.parametrize(
    ("lists", "secure_boot", "is_secure", "state"),
    [
        ((), None, False, None),
        ((), "on", True, None),
        ((), "off", False, None),
        ((f"db={LOGS / 'db.esl'}",), None, False, SecureBootState.OFF),
        ((f"db={LOGS / 'db.esl'}",), "on", True, SecureBootState.ON),
        ((f"db={LOGS / 'db.esl'}",), "absent", False, SecureBootState.ABSENT),
    ],
)
def test_secure_boot_is_as_it_was_said(lists, secure_boot, is_secure: bool, state: SecureBootState | None):
    boot = read_boot(BANKS, lists=lists, secure_boot=secure_boot)
    assert boot.secure_boot is is_secure
    expected = None if state is None else SecureBootPolicy(state, {"db": (LOGS / "db.esl").read_bytes()})
    assert boot.policy == expected


def test_only_where_db_is_asked_sha256_is_among_the_digests():
    """db lists programs by their SHA-256, whatever the banks are."""
    on, off = (SecureBootPolicy(state, {}) for state in (SecureBootState.ON, SecureBootState.OFF))
    assert boot_digests(("sha384",), on).image == measured_in(("sha384",)).image | {"sha256"}
    for policy in (off, None):
        assert boot_digests(("sha384",), policy) == measured_in(("sha384",))


def test_a_disk_without_a_partition_table_has_none(tmp_path: Path):
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    assert read_boot(BANKS, disk=tmp_path / "disk").partitions == b""


def test_the_hosts_firmware_is_read_of_its_file(part):
    boot = read_boot(BANKS, host_firmware=part("ovmf-generic"), volume_unchanged=True)
    assert boot.firmware == read_firmware(part("ovmf-generic"), BANKS, is_unchanged=True)
    assert boot.firmware[-1].digests["sha256"] == sha256(bytes(4)).digest()
    assert not read_boot(BANKS, host_firmware=part("ovmf-2022")).firmware[1].digests


def test_what_cannot_be_read_is_named(tmp_path: Path):
    (tmp_path / "odd").write_bytes(b"odd")
    with pytest.raises(FukiError) as refused:
        read_program(tmp_path / "odd", BANKS)
    assert refused.value.where == str(tmp_path / "odd")
    with pytest.raises(FukiError, match="what it measures of itself cannot be told") as unknown:
        read_boot(BANKS, host_firmware=tmp_path / "odd")
    assert not isinstance(unknown.value, FormatError)
    assert unknown.value.where == str(tmp_path / "odd")
