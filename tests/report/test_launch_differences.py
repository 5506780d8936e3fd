"""What `fuki diff` tells of launches, held against sev-snp-measure."""

from pathlib import Path

from fuki_build.testing import refused, succeed
from fuki_build.testing.documents import printed
from fuki_build.testing.launch import peer_digest
from tests.support.compared_images import NEW, OLD


def test_launches_that_differ_are_those_that_the_peer_of_sev_snp_measures_differently(updated: Path):
    arguments = ("diff", OLD, NEW, "--technology", "sev-snp", "--vcpu-model", "EPYC-Milan", "--forbid", "launch")
    document = printed(updated, *arguments, "--json", plugins=("coco",), code=3)
    (row,) = document["launches"]
    assert (row["fwid"], row["technology"], row["register"]) == ("one", "sev-snp", "MEASUREMENT")
    for side, firmware in (("old", "generic.fd"), ("new", "amdsev.fd")):
        expected = peer_digest("sev-snp", updated / side / firmware, "qemu", 1, "EPYC-Milan", 1)
        assert row[side] == expected


def test_a_command_line_changes_launches_only_where_the_hypervisor_boots_it(updated: Path, tmp_path: Path):
    changed = tmp_path / "changed.efi"
    succeed(updated, "edit", NEW, "--set", ".cmdline=quiet", "-o", changed)
    assert printed(updated, "diff", NEW, changed, "--json")["launches"] is None
    launch = ("--technology", "sev-snp", "--vcpu-model", "EPYC-Milan", "--json")
    assert printed(updated, "diff", NEW, changed, *launch, plugins=("coco",))["launches"] == []

    rows = printed(updated, "diff", NEW, changed, *launch, "--direct-boot", "sections", plugins=("coco",))["launches"]
    (row,) = [row for row in rows if ", main, " in row["case"]]
    kernel, initrd = (str(updated / "new" / name) for name in ("vmlinuz", "initrd.img"))
    for side, cmdline in (("old", "root=LABEL=root rw quiet"), ("new", "quiet")):
        expected = peer_digest(
            "sev-snp", updated / "new/amdsev.fd", "qemu", 1, "EPYC-Milan", 1, kernel, initrd, cmdline
        )
        assert row[side] == expected


def test_launches_need_a_plugin_that_knows_them(fleet: Path):
    assert "load one" in refused(fleet, "diff", OLD, OLD, "--forbid", "launch")
