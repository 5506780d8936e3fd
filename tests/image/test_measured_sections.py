"""Which sections systemd-stub measures of those that an image has, and in which order."""

from tests.support.selections import DEVICETREE, FIRMWARE, OTHER, devicetree, efi_firmware, own, plain, run, table


class TestMeasured:
    ORDER = (
        ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey",
        ".profile", ".dtbauto", ".hwids", ".efifw",
    )  # fmt: skip

    def test_sections_are_measured_in_the_stubs_order_whatever_the_files(self):
        sections = [plain(name) for name in self.ORDER if name not in (".dtbauto", ".hwids", ".efifw")]
        sections += [
            efi_firmware("x"),
            devicetree("d"),
            table((FIRMWARE, own(9), "x"), (DEVICETREE, own(9), "d")),
            plain(".pcrsig"),
            plain(".text"),
            plain(".extra"),
        ]
        measured = run(*reversed(sections))
        assert tuple(section.name for section in measured.measured) == self.ORDER

    def test_only_what_is_selected_is_measured_of_sections_that_repeat(self):
        wanted, tree = efi_firmware("wanted"), devicetree("wanted")
        measured = run(
            efi_firmware("a"),
            wanted,
            efi_firmware("z"),
            devicetree("a"),
            tree,
            table((FIRMWARE, own(9), "wanted"), (DEVICETREE, own(9), "wanted")),
        )
        assert [section for section in measured.measured if section.name != ".hwids"] == [tree, wanted]

    def test_the_table_is_measured_where_it_selects_nothing_too(self):
        measured = run(efi_firmware("x"), table((FIRMWARE, own(9), "x")), machine=OTHER)
        assert [section.name for section in measured.measured] == [".hwids"]

    def test_a_profiles_section_is_measured_instead_of_the_bases(self):
        base, own_cmdline, other = plain(".cmdline"), plain(".cmdline", 1), plain(".cmdline", 0)
        measured = run(base, plain(".profile", 0), other, plain(".profile", 1), own_cmdline, profile=1)
        assert [section for section in measured.measured if section.name == ".cmdline"] == [own_cmdline]

    def test_the_bases_firmware_is_measured_with_a_profile_whose_table_stands_over_the_bases(self):
        base_table, own_table = table((FIRMWARE, own(9), "base")), table((FIRMWARE, own(9, OTHER), "own"), profile=0)
        base, brought = efi_firmware("base"), efi_firmware("own", 0)
        measured = run(base, base_table, plain(".profile", 0), own_table, brought, profile=0)
        assert [section for section in measured.measured if section.name in (".hwids", ".efifw")] == [own_table, base]
