"""Which firmware a guest starts with, and its variables."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fuki_build import PluginHost, enroll_directory, read_small_file
from fuki_build.errors import FormatError, FukiError, located
from fuki_build.formats.documents import decode_json
from fuki_build.formats.reader import Reader
from fuki_build.formats.uefi import secure_boot_support, variable_store
from msgspec import Struct

from fuki_qemu import tools

DESCRIPTORS = ("/etc/qemu/firmware", "/usr/share/qemu/firmware")
"""Where distributions tell of their firmware (QEMU, docs/interop/firmware.json), the most important first."""
_VARIANTS = (".secboot", ".strictnx", ".ms", ".snakeoil")
"""Parts of a code image's name that its variable store's name does not have."""
_MAX_SIZE = 64 * 1024 * 1024


class QemuFirmware(Struct, frozen=True):
    """An image in flash (`code` alone, if that holds a variable store), or with a store of its own.

    Without either it is a ROM, which keeps no variables. `smm`: only code in system management mode writes variables.
    """

    code: Path
    store: Path | None = None
    smm: bool = False

    @property
    def has_store_inside(self) -> bool:
        return self.store is None and _has_store(self.code)

    @property
    def has_store(self) -> bool:
        return self.store is not None or self.has_store_inside


def choose(code: Path | None, store: Path | None, *, secure_boot: bool) -> QemuFirmware:
    """The firmware that the command line names, or the machine's own. Raises `FukiError`."""
    if code is None:
        if store is not None:
            raise FukiError("a variable store belongs to a firmware", where="--variables", hint="give --firmware too")
        return find(secure_boot=secure_boot)

    image = _read(code, "--firmware")
    if secure_boot and secure_boot_support.enforces_secure_boot(image) is False:
        raise FukiError(f"{code} was built without Secure Boot", where="--firmware")

    if store is None and not _has_store(code):
        store = _sibling(code)
    if store is not None and not _has_store(store):
        raise FukiError(f"{store} has no UEFI variable store", where="--variables")
    return QemuFirmware(code, store, smm=secure_boot and store is not None)


def _sibling(code: Path) -> Path | None:
    """`OVMF_VARS_4M.fd` for `OVMF_CODE_4M.secboot.fd`, as distributions name them."""
    name = code.name.replace("CODE", "VARS")
    for variant in _VARIANTS:
        name = name.replace(variant, "")
    path = code.with_name(name)
    return path if path != code and path.is_file() else None


def find(*, secure_boot: bool, directories: Sequence[str] = DESCRIPTORS) -> QemuFirmware:
    """The firmware that this machine's distribution recommends. Raises `FukiError`."""
    for descriptor in _descriptors(directories):
        firmware = _usable(descriptor, secure_boot=secure_boot)
        if firmware is not None:
            return firmware
    raise tools.missing_error("this machine has no UEFI firmware for QEMU, or none is known; see --firmware", ["OVMF"])


def _descriptors(directories: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Each description, by file name; one in an earlier directory stands for those of the same name."""
    paths: dict[str, Path] = {}
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    for directory in (f"{home}/qemu/firmware", *directories):
        for path in sorted(Path(directory).glob("*.json")):
            paths.setdefault(path.name, path)

    for name in sorted(paths):
        try:
            yield decode_json(paths[name].read_bytes(), dict)
        except (OSError, FormatError):
            continue  # An empty file hides one of less importance; others' damage is not ours to judge.


def _usable(descriptor: Mapping[str, Any], *, secure_boot: bool) -> QemuFirmware | None:
    """The firmware of a description, where it fits: two raw images for a q35 machine, without keys of anybody."""
    try:
        mapping, features = descriptor["mapping"], set(descriptor["features"])
        code, store = mapping["executable"], mapping["nvram-template"]
        machines = [m for t in descriptor["targets"] if t["architecture"] == "x86_64" for m in t["machines"]]
        files = Path(code["filename"]), Path(store["filename"])
        fits = (
            mapping["device"] == "flash"
            and (code["format"], store["format"]) == ("raw", "raw")
            and any(machine.startswith("pc-q35") for machine in machines)
            and "enrolled-keys" not in features
            and ("secure-boot" in features) == secure_boot
        )
    except (KeyError, TypeError):
        return None

    if not fits or not all(file.is_file() for file in files):
        return None
    return QemuFirmware(*files, smm="requires-smm" in features)


def enrolled(firmware: QemuFirmware, keys: Path, host: PluginHost, workspace: Path) -> QemuFirmware:
    """The firmware with Secure Boot on: `keys` is a variable store that has keys, or a directory to enroll them from.

    Raises `FukiError`.
    """
    if keys.is_dir():
        if not firmware.has_store:
            raise FukiError(f"{firmware.code} has no variable store for keys", where="--secure-boot")
        target = workspace / "enrolled.fd"
        enroll_directory(firmware.store or firmware.code, target, keys, host, workspace)
        return QemuFirmware(firmware.code, target, firmware.smm) if firmware.store else QemuFirmware(target)

    if not _has_store(keys):
        raise FukiError(
            f"{keys} has no UEFI variable store",
            where="--secure-boot",
            hint="give a directory of 'fuki keys generate', or a store of 'fuki keys enroll'",
        )
    return QemuFirmware(firmware.code, keys, firmware.smm)


def knows_secure_boot(firmware: QemuFirmware) -> bool:
    """Whether the code was built with Secure Boot; what cannot be looked at is taken to be."""
    return secure_boot_support.enforces_secure_boot(_read(firmware.code, str(firmware.code))) is not False


def read_store(firmware: QemuFirmware) -> bytes:
    """The image that holds the variables: it is what a guest's copy is made of."""
    path = firmware.store or firmware.code
    return _read(path, str(path))


def _has_store(path: Path) -> bool:
    return variable_store.decode(Reader.of(_read(path, str(path)))) is not None


def _read(path: Path, where: str) -> bytes:
    with located(where):
        return read_small_file(path, _MAX_SIZE)
