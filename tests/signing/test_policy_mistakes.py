"""What is wrong with a table of a policy over PCR 11, or with its key, is told with its place."""

import pytest

from fuki_build.testing import refused, secure_boot
from tests.support.pcr_policies import POLICY, RECIPE


class TestMistakes:
    @pytest.mark.parametrize(
        ("more", "place", "problem", "code"),
        [
            ('banks = ["md5"]', "banks", "there is no bank 'md5'", 2),
            ("banks = []", "banks", "there are no banks", 2),
            ("phases = []", "phases", "there are no phases", 2),
            ('phases = ["a", ":"]', "phases[1]", "has no word", 2),
            ('profiles = ["debug"]', "profiles[0]", "there is no profile 'debug'", 2),
            ('backend = "sbsign"', "backend", "no signing backend 'sbsign'", 2),
            ('public-key = "os-release"', "public-key", "not a public key", 2),
            ('public-key = "nope"', "public-key", "No such file", 4),
            ("phase = []", "phase", "did you mean 'phases'", 2),
        ],
    )
    def test_a_mistake_is_told_with_its_place(self, pcr, more, place, problem, code):
        (pcr / "fuki.toml").write_text(RECIPE + POLICY + more + "\n")
        error = refused(pcr, "build", code=code)
        assert f"fuki.pcr-policy[0].{place}: " in error
        assert problem in error

    def test_an_elliptic_curve_key_is_refused(self, pcr):
        secure_boot.write_key(pcr / "pcr.key", secure_boot.make_key("p256"))
        (pcr / "fuki.toml").write_text(RECIPE + POLICY)
        assert "systemd knows only RSA keys" in refused(pcr, "build", code=4)

    def test_a_key_that_is_not_the_planned_one_is_refused(self, pcr):
        secure_boot.write_key(pcr / "pcr.key", secure_boot.make_key())
        (pcr / "fuki.toml").write_text(RECIPE + POLICY + 'public-key = "pcr.pub"\n')
        assert "not made by the key that was planned" in refused(pcr, "build", code=4)

    def test_policies_that_are_given_and_made_are_refused(self, pcr):
        (pcr / "fuki.toml").write_text(RECIPE + '[fuki.image.sections]\n".pcrsig" = "os-release"\n' + POLICY)
        assert ".pcrsig" in refused(pcr, "build")
