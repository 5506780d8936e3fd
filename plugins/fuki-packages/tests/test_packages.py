"""Packages of images: dpkg and rpm install, upgrade and remove them in a root directory of the test's own."""

import subprocess
import sys
from pathlib import Path

import parts
import pytest
from fuki_build.testing import recipe, refused, succeed

IMAGES = "boot/efi/EFI/Linux"
DEB = '[[fuki.output]]\nformat = "deb"\npath = "acme.deb"\nmaintainer = "Acme <ops@acme.example>"\n'
RPM = '[[fuki.output]]\nformat = "rpm"\npath = "acme.rpm"\nlicense = "GPL-2.0-only"\n'
UKI = '[[fuki.output]]\nformat = "uki"\npath = "acme.efi"\n'
ADDON = (
    '[[fuki.addon]]\nname = "serial"\ncmdline = "console=ttyS0"\n[[fuki.output]]\nformat = "addon"\npath = "addons"\n'
)


def lay_out(directory: Path, more: str, version: str | None = "1", name: str = "acme") -> Path:
    directory.mkdir(exist_ok=True, parents=True)
    for file, part in (("stub", "stub-x64"), ("vmlinuz", "kernel-x64")):
        if not (directory / file).exists():
            (directory / file).symlink_to(parts.get(part))
    release = {"text": f"ID=acme\nIMAGE_VERSION={version}\n"}
    text = recipe(more, plugins=["packages"], name=name, version=version, os_release=release, uname="6.12")
    (directory / "fuki.toml").write_text(text)
    return directory


def built(directory: Path, more: str, version: str = "1") -> Path:
    lay_out(directory, more, version)
    succeed(directory, "build")
    return directory


def run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Dpkg:
    """dpkg with a database and a root directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        for name in ("updates", "info", "triggers"):
            (self.root / "var/lib/dpkg" / name).mkdir(parents=True)
        for name in ("status", "available"):
            (self.root / "var/lib/dpkg" / name).touch()
        self._command = ("dpkg", f"--root={self.root}", "--force-not-root", "--force-script-chrootless")

    def install(self, directory: Path) -> None:
        run(*self._command, "--force-architecture", "--install", directory / "acme.deb")

    def remove(self, package: str) -> None:
        run(*self._command, "--purge", package)

    def complaints(self, package: str) -> str:
        return run(*self._command, "--verify", package)

    @property
    def installed(self) -> dict[str, str]:
        query = ("dpkg-query", f"--admindir={self.root}/var/lib/dpkg", "-W", "-f", "${Package} ${Version}\n")
        return dict(line.split() for line in run(*query).splitlines())


class Rpm:
    """rpm with a database and a root directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.root.mkdir()
        self._command = ("rpm", "--root", self.root, "--dbpath", "/var/lib/rpm")

    def install(self, directory: Path) -> None:
        run(*self._command, "--upgrade", "--nosignature", "--ignorearch", directory / "acme.rpm")

    def remove(self, package: str) -> None:
        run(*self._command, "--erase", package)

    def complaints(self, package: str) -> str:
        return run(*self._command, "--verify", "--nouser", "--nogroup", package)

    @property
    def installed(self) -> dict[str, str]:
        query = ("--query", "--all", "--queryformat", "%{NAME} %{VERSION}\n")
        return dict(line.split() for line in run(*self._command, *query).splitlines())


KINDS: dict[str, tuple[type[Dpkg] | type[Rpm], str]] = {"deb": (Dpkg, DEB), "rpm": (Rpm, RPM)}


def images(root: Path) -> dict[str, bytes]:
    place = root / IMAGES
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_installed_upgraded_and_removed(tmp_path: Path, kind: str):
    tool, output = KINDS[kind]
    manager = tool(tmp_path)
    first = built(tmp_path / "1", output + UKI + ADDON)
    second = built(tmp_path / "2", output + UKI, "2")

    manager.install(first)
    assert manager.installed == {"acme": "1"}
    assert images(manager.root) == {
        "acme_1.efi": (first / "acme.efi").read_bytes(),
        "acme_1.efi.extra.d/serial.addon.efi": (first / "addons/serial.addon.efi").read_bytes(),
    }
    assert manager.complaints("acme") == ""

    manager.install(second)
    assert manager.installed == {"acme": "2"}
    assert images(manager.root) == {"acme_2.efi": (second / "acme.efi").read_bytes()}

    manager.remove("acme")
    assert images(manager.root) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_releases_stand_side_by_side_on_demand(tmp_path: Path, kind: str):
    tool, output = KINDS[kind]
    manager = tool(tmp_path)
    for version in ("1", "2"):
        manager.install(built(tmp_path / version, f"{output}side-by-side = true\n", version))
    assert manager.installed == {"acme-1": "1", "acme-2": "2"}
    assert set(images(manager.root)) == {"acme_1.efi", "acme_2.efi"}
    manager.remove("acme-1")
    assert set(images(manager.root)) == {"acme_2.efi"}


@pytest.mark.parametrize("compression", ["none", "xz", "zstd"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_image_is_the_same_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, compression: str
):
    output = f'{KINDS[kind][1]}compression = "{compression}"\n'
    contents = set()
    for name, umask in (("one", "022"), ("two", "077")):
        home = tmp_path / f"home-{name}"
        home.mkdir()
        # What a user likes is in no package.
        (home / ".rpmmacros").write_text(f"%packager {name}\n%vendor {name}\n%_buildhost {name}\n")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        lay_out(tmp_path / name, output)
        run("sh", "-c", f"umask {umask}; cd '{tmp_path / name}'; exec '{sys.executable}' -m fuki_build build")
        contents.add((tmp_path / name / f"acme.{kind}").read_bytes())
    assert len(contents) == 1


def test_a_debian_package_says_what_the_recipe_says(tmp_path: Path):
    output = f'{DEB}package = "acme-boot"\nsummary = "Boots 100% of Acme"\n'
    package = built(tmp_path, output, "1.2-3") / "acme.deb"
    fields = dict(line.split(": ", 1) for line in run("dpkg-deb", "--field", package).splitlines())
    size = (tmp_path / "vmlinuz").stat().st_size
    assert int(fields.pop("Installed-Size")) * 1024 > size

    assert fields == {
        "Package": "acme-boot",
        "Version": "1.2-3",
        "Architecture": "amd64",
        "Maintainer": "Acme <ops@acme.example>",
        "Section": "kernel",
        "Priority": "optional",
        "Description": "Boots 100% of Acme",
    }

    listing = run("dpkg-deb", "--contents", package)
    assert "-rw-r--r-- root/root" in listing
    assert "1980-01-01" in listing


def test_an_rpm_package_says_what_the_recipe_says(tmp_path: Path):
    output = f'{RPM}package = "acme-boot"\nsummary = "Boots 100% of %{{name}} %(id)"\nrelease = "4"\n'
    package = built(tmp_path, output, "1.2~rc1") / "acme.rpm"
    form = "%{NAME}|%{VERSION}|%{RELEASE}|%{ARCH}|%{LICENSE}|%{SUMMARY}|%{BUILDHOST}|%{BUILDTIME}|%{VENDOR}"
    told = run("rpm", "--query", "--nosignature", "--queryformat", form, "--package", package)
    assert told == "acme-boot|1.2~rc1|4|x86_64|GPL-2.0-only|Boots 100% of %{name} %(id)|localhost|315532800|(none)"
    asked = run("rpm", "--query", "--nosignature", "--requires", "--package", package)
    assert all(line.startswith("rpmlib(") for line in asked.splitlines()), asked


@pytest.mark.parametrize(
    ("more", "version", "message"),
    [
        (DEB, None, "fuki.version: the recipe has no version"),
        (DEB, "v1", "'v1' is no version of a Debian package"),
        (RPM, "1-2", "'1-2' is no version of an RPM package"),
        (f'{DEB}package = "Acme"', "1", "'Acme' is no name of a Debian package"),
        (f'{DEB}directory = "/boot/../etc"', "1", "'/boot/../etc' is no directory for a package"),
        (f'{RPM}directory = "/boot/$(id)"', "1", "is no directory for a package"),
        (f'{RPM}summary = "two\\nlines"', "1", "is not one line of text"),
        (DEB.replace("Acme <", "Acme\\nEvil: <"), "1", "is not one line of text"),
        (f'{RPM}release = "%(id)"', "1", "'%(id)' is no version of an RPM package"),
        (f'{DEB}[[fuki.addon]]\nname = "a"\ncmdline = "x"', "1", "no output writes the addon a"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(tmp_path: Path, more: str, version: str | None, message: str):
    assert message in refused(lay_out(tmp_path, more, version), "build")


@pytest.mark.parametrize(("kind", "program"), [("deb", "dpkg-deb"), ("rpm", "rpmbuild")])
def test_a_program_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, program: str):
    monkeypatch.setenv("PATH", str(tmp_path))
    message = refused(lay_out(tmp_path / "image", KINDS[kind][1]), "build", code=1)
    assert f"this machine has no {program}" in message
