"""A firmware table without a source: what stands at its path tells."""

import json

from fuki_build.testing import invoke, succeed

PLAIN = '\n[[fuki.firmware]]\npath = "{path}"\n{more}chids = ["01e09b32-de05-56ca-b9d1-9486ad5f381d"]\n'


def firmware(workshop):
    return json.loads(succeed(workshop, "plan", "--json").out)["images"][0]["firmware"]


def test_a_directory_is_one_whose_name_is_the_id(workshop, part):
    directory = workshop / "ovmf-qemu"
    directory.mkdir()
    (directory / "OVMF.fd").write_bytes(part("ovmf-generic").read_bytes())
    with (workshop / "fuki.toml").open("a") as recipe:
        recipe.write(PLAIN.format(path="ovmf-qemu", more=""))
    assert [image["fwid"] for image in firmware(workshop)] == ["ovmf-qemu"]


def test_a_file_is_one_which_needs_an_id(workshop, part):
    (workshop / "OVMF.fd").write_bytes(part("ovmf-generic").read_bytes())
    text = (workshop / "fuki.toml").read_text()
    (workshop / "fuki.toml").write_text(text + PLAIN.format(path="OVMF.fd", more=""))
    assert "this firmware has no id" in invoke(workshop, "plan").err
    (workshop / "fuki.toml").write_text(text + PLAIN.format(path="OVMF.fd", more='id = "own"\n'))
    assert [image["fwid"] for image in firmware(workshop)] == ["own"]


def test_what_is_not_there_is_told_as_a_file(workshop):
    with (workshop / "fuki.toml").open("a") as recipe:
        recipe.write(PLAIN.format(path="nowhere", more='id = "own"\n'))
    assert "nowhere: No such file or directory" in invoke(workshop, "plan").err


def test_a_number_where_a_text_belongs_is_shown_in_quotes(workshop):
    text = (workshop / "fuki.toml").read_text()
    for value, quoted in (("1", '"1"'), ("41.3", '"41.3"'), ("true", '"true"'), ("2026-11-28", '"2026-11-28"')):
        (workshop / "fuki.toml").write_text(text.replace('version = "41.3"', f"version = {value}"))
        for verb in ("plan", "check", "build"):
            error = invoke(workshop, verb).err
            assert error.startswith("fuki: error: fuki.version: expected a string")
            assert f"did you mean {quoted}, in quotes?" in error
