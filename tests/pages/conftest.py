"""The pages that fuki writes, of ordinary images and of hostile ones, and a browser to look at them."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import parts
import pytest
from playwright.sync_api import Browser, sync_playwright

from fuki_build.formats.uki import efifw, hwids
from fuki_build.formats.uki.hwids import Device, DeviceType
from fuki_build.hardware.chid import stub_chids
from fuki_build.hardware.machine import Machine
from fuki_build.testing import invoke, recipe, secure_boot, succeed
from tests.support.images import layout_of, write
from tests.support.workshop import BASE, lay_out

HOSTILE = (
    """<script>alert(1)</script>"><img src=x onerror=alert(2)> </style></title>{{ 7 * 7 }} &amp; """
    "\N{RIGHT-TO-LEFT OVERRIDE}"
)
"""Markup that breaks out of text, attributes, styles and titles, a template, an entity, and text turned around."""
LONG = "x" * 300
MACHINE = Machine(name="hostile", manufacturer="Hostile", product="Hostile")
IMAGE = """
[[fuki.firmware]]
source = "file"
path = "OVMF.fd"
id = "ovmf"
platforms = ["qemu:q35", "aws:m6a.*"]
[[fuki.profile]]
id = "debug"
title = "Boot with a debug shell"
cmdline = "root=LABEL=root ro debug"
[[fuki.pcr-policy]]
key = "keys/pcr.key"
[fuki.sign]
backend = "local"
key = "keys/db.key"
certificate = "keys/db.pem"
[[fuki.addon]]
name = "serial"
cmdline = "console=ttyS0"
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; as root it runs without a sandbox of its own, which is as well: the pages are the tests'."""
    program = shutil.which("chromium-headless-shell")
    assert program, "tools/install-peers installs Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Files with pages, by what they are of."""
    directory = tmp_path_factory.mktemp("pages")
    _build(directory)
    _build_hostile(directory)
    plugins = ("--plugin", "aws", "--plugin", "virt")
    trusted = ("--certificate", "keys/db.pem", "--no-boot-secret", "--console", "")
    succeed(directory, *plugins, "report", "acme.efi", *trusted, "-o", "report.html")
    succeed(directory, *plugins, "report", "acme.efi.extra.d/serial.addon.efi", "-o", "addon.html")
    succeed(directory, "report", "hostile.efi", "--machine", "hostile.toml", "-o", "hostile-report.html")
    (directory / "plan.html").write_text(succeed(directory, "plan", "--html").out)
    (directory / "hostile-plan.html").write_text(succeed(directory / "hostile", "plan", "--html").out)
    invoke(directory, *plugins, "diff", "acme.efi", "acme.efi", "--html", "same.html")
    for name, old, new in (("diff", "acme.efi", "changed.efi"), ("hostile-diff", "acme.efi", "hostile.efi")):
        compared = (old, new, "--machine", "hostile.toml", "--forbid", ".cmdline", "--html", f"{name}.html")
        assert invoke(directory, *plugins, "diff", *compared).code == 3
    return {path.stem: path for path in sorted(directory.glob("*.html"))}


def _build(directory: Path) -> None:
    """A signed image with firmware, profiles, policies and an addon, and a changed one."""
    succeed(directory, "keys", "generate", "keys", "--pcr", "--name", "Acme")
    text = recipe(IMAGE, plugins=["aws", "virt"], cmdline="root=LABEL=root ro", initrd=["initrd.img"], uname="6.12")
    files = {"initrd.img": parts.initrd({"init": b"#!/bin/sh\n"})}
    lay_out(directory, real={**BASE, "OVMF.fd": "ovmf-generic"}, files=files, recipe=text)
    succeed(directory, "build", "-o", "acme.efi")
    changes = ("--set", ".cmdline=root=LABEL=root rw", "-o", "changed.efi")
    succeed(directory, "edit", "acme.efi", *changes)


def _build_hostile(directory: Path) -> None:
    """An image with hostile strings in every field that takes one, signed by such a name, and such a recipe."""
    chid = frozenset({stub_chids(MACHINE)[9]})
    markup = HOSTILE.encode()
    firmware = efifw.encode_header(HOSTILE, 4) + b"fake"
    compatible = Device(DeviceType.UEFI_FW, HOSTILE, HOSTILE, chid)
    layout = layout_of(
        [
            (".linux", b"kernel", None),
            (".osrel", b'ID=x\nPRETTY_NAME="%s"\n' % markup.replace(b'"', b'\\"'), None),
            (".cmdline", markup + LONG.encode(), None),
            (".uname", markup, None),
            (".sbat", b"sbat,1,SBAT\n%s,1,%s\n" % (markup.replace(b",", b""), LONG.encode()), None),
            (".pcrsig", b'{"sha256":[{"pcrs":[11],"pkfp":"aa","pol":"bb","ref":"<script>alert(3)</script>"}]}', None),
            (".hwids", hwids.encode([compatible]), None),
            (".efifw", firmware, None),
            (".profile", b"ID=%s\nTITLE='%s'\n" % (LONG.encode(), markup.replace(b"'", b"")), 0),
            (".cmdline", b"<b>" + markup, 0),
            ("<b>", b"x", 0),
        ]
    )
    write(directory / "hostile.efi", layout)
    identity = secure_boot.make_identity("<script>alert(4)</script>")
    secure_boot.write_key(directory / "evil.key", identity.key)
    secure_boot.write_certificates(directory / "evil.crt", identity.certificate)
    succeed(directory, "sign", "hostile.efi", "--key", "evil.key", "--certificate", "evil.crt")
    machine = f'[machine]\nname = {_toml(HOSTILE)}\nmanufacturer = "Hostile"\nproduct = "Hostile"\n'
    (directory / "hostile.toml").write_text(machine)

    profile = f'[[fuki.profile]]\nid = "x"\ntitle = {_toml(HOSTILE)}\ncmdline = {_toml(HOSTILE + LONG)}\n'
    release = f"PRETTY_NAME={LONG}<img src=x onerror=alert(5)>\n"
    text = recipe("{% raw %}" + profile + "{% endraw %}", cmdline=LONG, os_release={"text": release})
    text = text.replace("{% raw %}", "").replace("{% endraw %}", "").replace("{{ 7 * 7 }}", "")
    (directory / "hostile").mkdir()
    lay_out(directory / "hostile", real=BASE, recipe=text)


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
