"""What the simulation says that a machine selects is what a real stub selects there.

The guest's SMBIOS strings are those of a cloud. The stub measures the firmware that it selects into PCR 11, so the
register tells which one that was; a software TPM keeps it, and the guest's first program prints it. What the event log
says beside is what was predicted, and nothing is left over.
"""

from pathlib import Path

import pytest

from fuki_build.formats import event_log
from fuki_build.hardware.machine import Machine
from fuki_build.image.assemble import assemble
from fuki_build.image.inspect import inspect
from fuki_build.measure.boot import Boot, Way
from fuki_build.measure.contents import Contents
from fuki_build.measure.explain import explain, registers
from fuki_build.measure.predict import cases, predict
from fuki_build.measure.registers import BANKS
from tests.support.guests import CALM, boot, probe, smbios

PLATFORMS = {"aws": "aws:m6a.*", "azure": "azure", "gcp": "gcp", "openstack": "openstack", "vmware": "vmware"}
"""The firmware ids of the image, and the platforms that are to select them."""

MACHINES = {
    "aws": Machine("m6a", manufacturer="Amazon EC2", product="m6a.large", baseboard_manufacturer="Amazon EC2"),
    "azure": Machine(
        "azure",
        manufacturer="Microsoft Corporation",
        product="Virtual Machine",
        family="Virtual Machine",
        sku="None",
        baseboard_manufacturer="Microsoft Corporation",
        baseboard_product="Virtual Machine",
    ),
    "gcp": Machine(
        "gcp",
        manufacturer="Google",
        product="Google Compute Engine",
        baseboard_manufacturer="Google",
        baseboard_product="Google Compute Engine",
    ),
    "openstack": Machine(
        "openstack", manufacturer="OpenStack Foundation", product="OpenStack Nova", family="Virtual Machine"
    ),
    "vmware": Machine(
        "vmware",
        manufacturer="VMware, Inc.",
        product="VMware20,1",
        baseboard_manufacturer="Intel Corporation",
        baseboard_product="440BX Desktop Reference Platform",
    ),
    None: Machine("another size", manufacturer="Amazon EC2", product="m5.large", baseboard_manufacturer="Amazon EC2"),
}
"""A machine for each firmware, and one that is to select none."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, part) -> Path:
    from fuki_build import pipeline

    directory = tmp_path_factory.mktemp("selection")
    for fwid in PLATFORMS:
        (directory / fwid).mkdir()
        (directory / fwid / "OVMF.fd").symlink_to(part("ovmf-generic"))
    (directory / "initrd").write_bytes(probe())
    recipe = f"""
[fuki]
name = "selection"
plugins = ["aws", "azure", "gcp", "virt"]
[fuki.image]
stub = "{part("stub-x64")}"
linux = "{part("kernel-x64")}"
initrd = "initrd"
cmdline = "console=ttyS0 quiet panic=-1 {CALM}"
os-release = {{ text = "ID=selection" }}
"""
    for fwid, platform in PLATFORMS.items():
        recipe += f'[[fuki.firmware]]\nsource = "directory"\npath = "{fwid}"\nplatforms = ["{platform}"]\n'
    (directory / "fuki.toml").write_text(recipe)
    with pipeline.plan(directory) as planned:
        pipeline.build(planned, only=["uki"])
    return directory / "selection.efi"


@pytest.mark.parametrize("fwid", MACHINES)
def test_a_real_stub_selects_and_measures_what_the_simulation_says(fwid, image, part, tmp_path):
    layout = inspect(image)
    contents = Contents(layout, assemble(layout, algorithms=BANKS, measured=True), tuple(BANKS))
    how = Boot(way=Way.DIRECT)
    (prediction,) = predict(contents, cases(layout, [MACHINES[fwid]], [None]), how)
    assert prediction.case.firmware == fwid
    measured = boot(tmp_path, "-bios", part("ovmf-generic"), "-kernel", image, *smbios(MACHINES[fwid]))
    for pcr in (4, 9, 11, 12):
        for bank in BANKS:
            assert prediction.value(pcr, bank) == measured.registers[bank, pcr]
    log = event_log.decode(measured.log)
    for (bank, pcr), value in measured.registers.items():
        assert registers(log, bank).get(pcr, bytes(BANKS[bank])) == value
    explanation = explain(log, contents, cases(layout, None, [None]))
    assert explanation.complete
    assert explanation.prediction is not None
    assert explanation.prediction.case.firmware == fwid
    assert explanation.boot is not None
    assert (explanation.boot.way, explanation.boot.options) == (Way.DIRECT, None)
