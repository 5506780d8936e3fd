"""What an enroller wrote is read back: one that does something else is blamed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from fuki_build.errors import PluginError
from fuki_build.formats.uefi import efi_signature_list as esl
from fuki_build.formats.uefi.efi_signature_list import SignatureType
from fuki_build.hooks import Enroller, SecureBootKeys, SourceContext
from fuki_build.hooks.host import Contribution, PluginInfo
from fuki_build.pipeline import new_host
from fuki_build.signing.secure_boot import enrollment
from fuki_build.signing.secure_boot.enrollment import KeyFiles
from fuki_build.testing.secure_boot import make_identity, write_certificates

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
BLAMED = PluginInfo("acme", "fuki-acme", "1.2.3")


def contribution(work: Callable[[Path, Path, SecureBootKeys, SourceContext], None]) -> Contribution[type[Enroller]]:
    class Acme(Enroller):
        name = "acme"

        def enroll(self, source: Path, target: Path, keys: SecureBootKeys, context: SourceContext) -> None:
            work(source, target, keys, context)

    return Contribution(Acme, BLAMED, "enroller")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    for name in ("PK", "KEK", "db", "other"):
        write_certificates(directory / name, make_identity(name, "p256").certificate)
    return directory


def keys_of(directory: Path, **changes: object) -> SecureBootKeys:
    files: dict[str, Any] = {"pk": "PK", "kek": ["KEK"], "db": ["db"], "owner": OWNER, **changes}
    return enrollment.load_keys(KeyFiles(**files), lambda path, _: (directory / path).read_bytes(), str)


def real(source: Path, target: Path, keys: SecureBootKeys, context: SourceContext) -> None:
    new_host(["virt-firmware"]).enroller("virt-firmware").thing().enroll(source, target, keys, context)


def copy(source: Path, target: Path, *_: object) -> None:
    target.write_bytes(source.read_bytes())


def nothing(*_: object) -> None:
    pass


def short(source: Path, target: Path, *_: object) -> None:
    target.write_bytes(source.read_bytes()[:-1])


def garbage(source: Path, target: Path, *_: object) -> None:
    target.write_bytes(bytes(source.stat().st_size))


def crash(*_: object) -> None:
    raise ValueError("no")


def with_keys(**changes: object) -> Callable[..., None]:
    """The real work, with other keys than were asked for."""

    def work(source: Path, target: Path, keys: SecureBootKeys, context: SourceContext) -> None:
        real(source, target, msgspec.structs.replace(keys, **changes), context)

    return work


def test_the_real_one_passes(part, tmp_path, certificates):
    context = SourceContext(tmp_path, tmp_path)
    enrollment.enroll(part("ovmf-vars"), tmp_path / "out", keys_of(certificates), contribution(real), context)
    variables = {one.name: one.data for one in enrollment.read_variables(tmp_path / "out")}
    assert variables["db"] == esl.encode([esl.certificate_list(keys_of(certificates).db[0], OWNER)])


@pytest.mark.parametrize("work", [copy, short, crash, nothing, garbage], ids=lambda work: work.__name__)
def test_an_enroller_that_does_something_else_is_blamed(part, tmp_path, certificates, work):
    context = SourceContext(tmp_path, tmp_path)
    with pytest.raises(PluginError, match=r"fuki-acme 1\.2\.3"):
        enrollment.enroll(part("ovmf-vars"), tmp_path / "out", keys_of(certificates), contribution(work), context)


@pytest.mark.parametrize("wrong", ["PK", "KEK", "KEK with Microsoft's", "db", "dbx", "SecureBootEnable"])
def test_a_store_with_other_values_is_found(part, tmp_path, certificates, wrong):
    keys = keys_of(certificates, dbx=["ab" * 32])
    other = keys_of(certificates, pk="other").pk
    changes: dict[str, dict[str, Any]] = {
        "PK": {"pk": other},
        "KEK": {"kek": (*keys.kek, other)},
        "KEK with Microsoft's": {"microsoft": True},
        "db": {"db": (other,)},
        "dbx": {"dbx": ()},
        "SecureBootEnable": {"secure_boot": False},
    }

    context = SourceContext(tmp_path, tmp_path)
    with pytest.raises(PluginError, match=f"wrote another {wrong.split()[0]}$"):
        enrollment.enroll(part("ovmf-vars"), tmp_path / "out", keys, contribution(with_keys(**changes[wrong])), context)


def test_an_enroller_gets_what_is_revoked_already(part, tmp_path, certificates):
    seen: list[SecureBootKeys] = []

    def work(source: Path, target: Path, keys: SecureBootKeys, context: SourceContext) -> None:
        seen.append(keys)
        real(source, target, keys, context)

    context = SourceContext(tmp_path, tmp_path)
    keys = keys_of(certificates, dbx=["ab" * 32])
    enrollment.enroll(part("ovmf-vars-ms"), tmp_path / "out", keys, contribution(work), context)
    old, new = seen[0].dbx
    assert old.type == new.type == SignatureType.SHA256.guid
    assert len(old.signatures) == 443
    assert [one.data for one in new.signatures] == [b"\xab" * 32]
