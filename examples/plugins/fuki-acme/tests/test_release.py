from fuki_build.testing import recipe, succeed

OUTPUTS = """
[[fuki.firmware]]
path = "firmware.fd"
id = "guest"
platforms = ["acme"]

[[fuki.output]]
format = "uki"
path = "image.efi"

[[fuki.output]]
format = "template"
template = "acme-release.md.j2"
path = "release.md"
"""


def test_the_page_tells_which_machine_gets_which_firmware(directory):
    text = recipe(OUTPUTS, plugins=["acme"], version="7", cmdline="console=ttyS0", uname="6.12.0")
    (directory / "fuki.toml").write_text(text)
    succeed(directory, "build")
    page = (directory / "release.md").read_text()
    assert page.startswith("# acme 7 on Acme Cloud\n")
    assert "| Acme VM | guest |" in page
