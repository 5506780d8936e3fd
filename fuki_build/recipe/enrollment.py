"""`enroll` of a `[[fuki.firmware]]`: the firmware with Secure Boot keys in its variable store."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from fuki_build.errors import located
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.sources import SourceContext
from fuki_build.image.blob import Blob
from fuki_build.image.reading import blob_digest
from fuki_build.recipe.inputs import Inputs
from fuki_build.recipe.model import EnrollTable


def enroll_firmware(
    table: EnrollTable, source: Path, name: str, inputs: Inputs, host: PluginHost, place: str
) -> tuple[Path, Mapping[str, str]]:
    """The enrolled firmware, in the workspace, and what the manifest is to say of it.

    `source`, which the recipe calls `name`, and the certificates become inputs. `place` is the firmware table's.
    """
    # cryptography is slow to load.
    from fuki_build.formats.asn1 import x509  # noqa: PLC0415
    from fuki_build.signing.secure_boot import enrollment  # noqa: PLC0415

    where = f"{place}.enroll"
    with located(f"{where}.backend"):
        enroller = host.enroller(table.backend)
    files = enrollment.KeyFiles(
        pk=table.pk,
        kek=table.kek,
        db=table.db,
        dbx=table.dbx,
        owner=table.owner,
        microsoft=table.microsoft,
        secure_boot=table.secure_boot,
    )
    keys = enrollment.load_keys(
        files, lambda path, at: inputs.read(inputs.path(path, at), at), lambda key: f"{where}.{key}"
    )
    inputs.note(source, place, sha256=blob_digest(Blob.of_file(source)).hex(), name=name)
    workspace = Path(tempfile.mkdtemp(dir=inputs.workspace))
    target = workspace / source.name
    with located(where):
        enrollment.enroll(source, target, keys, enroller, SourceContext(inputs.recipe.directory, workspace))
    return target, {"enrolled-by": table.backend, "pk": x509.fingerprint(keys.pk)}
