"""The simulation of systemd-stub's search in images with profiles (chid.c and pe.c, 262.1)."""

from tests.support.selections import FIRMWARE, OTHER, efi_firmware, own, plain, run, selected, table


class TestProfiles:
    def test_a_profile_that_brings_nothing_uses_what_the_base_selects(self):
        sections = (efi_firmware("base"), table((FIRMWARE, own(9), "base")), plain(".profile", 0), plain(".profile", 1))
        for profile in (0, 1):
            measured = run(*sections, profile=profile)
            assert selected(measured) == ("base", 9)
            assert measured.firmware is not None
            assert measured.firmware.profile is None

    def test_a_profiles_own_firmware_stands_over_the_bases(self):
        sections = (
            efi_firmware("base"),
            table((FIRMWARE, own(3), "base")),
            plain(".profile", 0),
            plain(".profile", 1),
            efi_firmware("own", 1),
            table((FIRMWARE, own(11), "own"), profile=1),
        )
        assert selected(run(*sections, profile=0)) == ("base", 3)
        assert selected(run(*sections, profile=1)) == ("own", 11)

    def test_another_profiles_firmware_does_not_count(self):
        sections = (
            plain(".profile", 0),
            plain(".profile", 1),
            efi_firmware("own", 1),
            table((FIRMWARE, own(9), "own"), profile=1),
        )
        assert run(*sections, profile=0).firmware is None

    def test_a_profiles_firmware_is_not_found_through_the_bases_table(self):
        sections = (
            table((FIRMWARE, own(9), "own")),
            plain(".profile", 0),
            efi_firmware("own", 0),
        )
        hit = run(*sections, profile=0).firmware
        assert hit is not None
        assert hit.section is None

    def test_the_bases_firmware_is_not_found_through_a_profiles_table(self):
        sections = (efi_firmware("x"), plain(".profile", 0), table((FIRMWARE, own(9), "x"), profile=0))
        hit = run(*sections, profile=0).firmware
        assert hit is not None
        assert hit.section is None

    def test_what_the_base_selects_stays_where_the_profile_has_nothing_for_the_machine(self):
        sections = (
            efi_firmware("base"),
            table((FIRMWARE, own(9), "base")),
            plain(".profile", 0),
            efi_firmware("own", 0),
            table((FIRMWARE, own(9, OTHER), "own"), profile=0),
        )
        assert selected(run(*sections, profile=0)) == ("base", 9)
        assert selected(run(*sections, profile=0, machine=OTHER)) == ("own", 9)

    def test_what_the_base_selects_stays_where_the_profiles_record_leads_nowhere(self):
        sections = (
            efi_firmware("base"),
            table((FIRMWARE, own(9), "base")),
            plain(".profile", 0),
            table((FIRMWARE, own(9), "gone"), profile=0),
        )
        measured = run(*sections, profile=0)
        assert selected(measured) == ("base", 9)
        assert [section.name for section in measured.measured] == [".profile", ".hwids", ".efifw"]
