import pytest

from fuki_build.testing import recipe, succeed

PROFILE = '[[fuki.profile]]\nid = "debug"\ncmdline = "{}"'


@pytest.fixture
def check(directory):
    """`check(cmdline)` builds an image, and gives what is found in it."""

    def check(cmdline, more=""):
        (directory / "fuki.toml").write_text(recipe(more, plugins=["acme"], cmdline=cmdline, uname="6.12.0"))
        succeed(directory, "build", "-o", "image.efi")
        return succeed(directory, "--plugin", "acme", "check", "image.efi").err

    return check


@pytest.mark.parametrize("cmdline", ["quiet", "console=tty0", "console=ttyS01"])
def test_an_image_that_nobody_sees_is_found(check, cmdline):
    assert "warning: .cmdline: nobody sees the image start [acme-console]" in check(cmdline)


@pytest.mark.parametrize("cmdline", ["console=ttyS0", "quiet console=ttyS0,115200n8 ro"])
def test_one_that_writes_to_the_console_is_left_alone(check, cmdline):
    assert "acme-console" not in check(cmdline)


def test_each_profile_counts_with_the_command_line_that_it_has(check):
    problems = check("console=ttyS0", PROFILE.format("debug"))
    assert "nobody sees profile 1 start" in problems
    assert "profile 0" not in problems
