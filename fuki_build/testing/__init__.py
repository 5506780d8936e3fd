"""The test kit of plugins: all that fuki's own plugins need of fuki in their tests.

This package has what any plugin's tests may use; its modules have the rest, each for one kind of plugin:

- `documents` holds what `--json` prints against its schema. It needs the package `jsonschema`.
- `igvm` writes IGVM files, and decodes them, apart from fuki's own reader.
- `launch` asks sev-snp-measure for launch digests. It needs the package `sev-snp-measure`.
- `memory_key` has keys that are nowhere but in memory, and a plugin whose backend reads keys from files.
- `parts` writes a stub, a kernel and firmware that can be built into an image, and that no machine starts.
- `secure_boot` makes keys and certificates: authorities, signers, expired ones.
- `timestamp_authority` is one on the loopback interface. It needs the program `openssl`.

Nothing here needs pytest. What is not as expected raises `AssertionError`.
"""

from fuki_build.hardware.chid import STUB_ORDER, stub_chids
from fuki_build.image.guard import guarding
from fuki_build.testing.command import CommandOutcome, invoke, refused, succeed, tree
from fuki_build.testing.platforms import assert_platform, indistinguishable, listed_ids
from fuki_build.testing.plugins import install_plugin
from fuki_build.testing.recipes import recipe

__all__ = [
    "STUB_ORDER",
    "CommandOutcome",
    "assert_platform",
    "guarding",
    "indistinguishable",
    "install_plugin",
    "invoke",
    "listed_ids",
    "recipe",
    "refused",
    "stub_chids",
    "succeed",
    "tree",
]
