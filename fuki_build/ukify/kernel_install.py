"""What kernel-install tells a plugin that makes its UKI, as a call of ukify.

Where files are looked for, and what stands in front of what, is as in 60-ukify.install of systemd 262.1.
"""

import argparse
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from fuki_build import programs
from fuki_build.errors import FormatError, RecipeError, raised_as
from fuki_build.formats import documents
from fuki_build.image.blob import Blob
from fuki_build.ukify.arguments import parse
from fuki_build.ukify.call import UkifyCall, call_of, configure

IMAGE = "uki.efi"
"""The name in the staging area by which 90-uki-copy.install finds the image."""
ADDONS = f"{IMAGE}.extra.d"
_ADMINISTRATOR, _VENDOR = "/etc/kernel", "/usr/lib/kernel"
_CONFIGURATION = (_ADMINISTRATOR, "/run/kernel", "/usr/local/lib/kernel", _VENDOR)
_MAX_TEXT = 64 * 1024
"""Bytes of a command line, or of a devicetree's name."""
_DETECTION_TIMEOUT = 10.0
"""Seconds."""


class Installation(Struct, frozen=True, kw_only=True):
    """One `kernel-install add`: a kernel with its initrds, and where its image is staged and installed.

    `directory` is the only one that is searched for configuration, where one was named; `stub` stands in place of any
    other; `installed` is where the image goes in the end.
    """

    release: str
    kernel: str
    initrds: tuple[str, ...]
    staging: Path
    entry_token: str
    machine_id: str
    directory: Path | None = None
    stub: str | None = None
    installed: Path | None = None

    def find(self, name: str, directories: Sequence[str] = (_ADMINISTRATOR, _VENDOR)) -> Path | None:
        """A file of the configuration: the first that there is, or None."""
        searched = (self.directory,) if self.directory is not None else map(Path, directories)
        for directory in searched:
            path = directory / name
            if os.path.exists(path):  # noqa: PTH110 - Path.exists() raises for a name that no file can have
                return path
        return None


def read_installation(arguments: Sequence[str], environment: Mapping[str, str]) -> Installation:
    """What the arguments `KERNEL_VERSION ENTRY_DIR KERNEL_IMAGE [INITRD…]` and variables say. Raises `RecipeError`."""
    if len(arguments) < 3:
        hint = "kernel-install gives KERNEL_VERSION, ENTRY_DIR, KERNEL_IMAGE and initrds"
        raise RecipeError("arguments are missing", where="kernel-install", hint=hint)
    release, _, kernel, *initrds = arguments

    entry_token = _variable(environment, "ENTRY_TOKEN")
    directory, boot = environment.get("KERNEL_INSTALL_CONF_ROOT"), environment.get("KERNEL_INSTALL_BOOT_ROOT")
    entry = environment.get("KERNEL_INSTALL_ENTRY_NAME") or f"{entry_token}-{release}"

    return Installation(
        release=release,
        kernel=kernel,
        initrds=tuple(initrds),
        staging=Path(_variable(environment, "STAGING_AREA")),
        entry_token=entry_token,
        machine_id=_variable(environment, "MACHINE_ID"),
        directory=Path(directory) if directory else None,
        stub=environment.get("KERNEL_INSTALL_BOOT_STUB") or None,
        installed=Path(boot, "EFI/Linux", f"{entry}.efi") if boot else None,
    )


def _variable(environment: Mapping[str, str], name: str) -> str:
    variable = f"KERNEL_INSTALL_{name}"
    value = environment.get(variable)
    if not value:
        raise RecipeError("it is not set", where=variable, hint="kernel-install sets it for its plugins")
    return value


def installation_call(installation: Installation) -> UkifyCall:
    """The call that makes the image of an installation in its staging area.

    Reads uki.conf (or the ukify.conf of the machine), `cmdline` and `devicetree`. Raises `RecipeError`, which names the
    file that is wrong.
    """
    options = parse(["build"])
    options.uname = installation.release
    options.linux = installation.kernel
    options.initrd = list(_initrds(installation))
    options.output = str(installation.staging / IMAGE)
    options.devicetree = _devicetree(installation)
    options.stub = installation.stub

    configuration = installation.find("uki.conf", _CONFIGURATION)
    options.config = str(configuration) if configuration is not None else None
    notes = tuple(configure(options))

    last_resort = _set_command_line(options, installation)
    return call_of(options, notes, cmdline_of_last_resort=last_resort)


def _initrds(installation: Installation) -> Iterator[str]:
    """Microcode, those of the call, and those that other plugins made: the order of 90-loaderentry.install."""
    yield from map(str, sorted(installation.staging.glob("microcode*")))
    yield from installation.initrds
    yield from map(str, sorted(installation.staging.glob("initrd*")))


def _devicetree(installation: Installation) -> str | None:
    configuration = installation.find("devicetree")
    if configuration is None:
        return None

    name = _read(configuration).strip()
    if not name:
        raise RecipeError("it names no devicetree", where=str(configuration), hint="write its path, or remove the file")

    release = installation.release
    directories = (
        f"/usr/lib/firmware/{release}/device-tree",
        f"/usr/lib/linux-image-{release}",
        f"/usr/lib/modules/{release}/dtb",
    )
    path = installation.find(name, directories)
    if path is None:
        searched = installation.directory or ", ".join(directories)
        hint = f"it is looked for in {searched}"
        raise RecipeError(f"there is no devicetree {name}", where=str(configuration), hint=hint)
    return str(path)


def _set_command_line(options: argparse.Namespace, installation: Installation) -> str | None:
    """Set the command line that the configuration has; where it has none, returns the one of last resort."""
    if options.cmdline is not None:
        return None

    path = installation.find("cmdline")
    if path is not None:
        lines = _read(path).splitlines()
        words = [word for line in lines if not line.startswith("#") for word in line.split()]
        # A text that begins with "@" would be the name of a file.
        options.cmdline = " " + _with_machine_id(words, installation)
        return None

    return _with_machine_id(_running_command_line(installation), installation) or None


def _with_machine_id(words: Sequence[str], installation: Installation) -> str:
    """Where entries are named after the machine, its id holds also before there is a root file system."""
    named = any(word.startswith("systemd.machine_id=") for word in words)
    if installation.entry_token == installation.machine_id and not named:
        words = [*words, f"systemd.machine_id={installation.machine_id}"]
    return " ".join(words)


def _running_command_line(installation: Installation) -> list[str]:
    """What this machine was booted with: nothing in a container, whose command line is that of its host."""
    if installation.directory is not None or _is_container():
        return []
    words = _read(Path("/proc/cmdline")).split()
    return [word for word in words if not word.startswith(("BOOT_IMAGE=", "initrd="))]


def _is_container() -> bool:
    program = shutil.which("systemd-detect-virt")
    if program is None:
        return False
    command = (program, "--container", "--quiet")
    return programs.run(command, environment=programs.environment(), timeout=_DETECTION_TIMEOUT).code == 0


def _read(path: Path) -> str:
    with raised_as(RecipeError):
        data = Blob.of_file(path).read_small(_MAX_TEXT, str(path))
    with raised_as(RecipeError, str(path), of=FormatError):
        return documents.decode_text(data)


def output_notes(installation: Installation, outputs: Sequence[Path]) -> Iterator[str]:
    """What happens to outputs that 90-uki-copy.install does not install, and to addons that stay there from before."""
    addons = installation.staging / ADDONS
    for path in outputs:
        installs = path == installation.staging / IMAGE or path.parent == addons
        if not installs and path.is_relative_to(installation.staging):
            yield f"{path.name} goes away with the staging area: give its output an absolute path"

    if installation.installed is None:
        return
    directory = installation.installed.with_name(f"{installation.installed.name}.extra.d")
    names = {path.name for path in outputs if path.parent == addons}
    for path in sorted(directory.glob("*.addon.efi")):
        if path.name not in names:
            yield f"{path} is not of this image, and stays: remove it, unless it is yours"
