"""fuki: Unified Kernel Images that carry the guest's own firmware.

This façade is what a library user may import; everything else may change between versions.
Names are loaded on first use, so that `import fuki_build` stays cheap. Wherever it takes a path, a string will do.

Threads: any number of them may plan, build, sign and inspect at the same time, each with hosts, plans and keys of its
own; one of these belongs to the thread that made it, and ends with its `with` block. Blocks may also be nested. What a
process has only once, such as a PKCS #11 module and the login to its token, is shared and locked by the plugin that has
it. The current directory and the environment must not change meanwhile.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuki_build.cli.options import json_option, prints
    from fuki_build.cli.signer_options import key_table
    from fuki_build.errors import FukiError
    from fuki_build.hardware.machine import Machine
    from fuki_build.hooks.host import PluginHost
    from fuki_build.image.blob import Blob, read_small_file
    from fuki_build.image.describe import LayoutView, describe
    from fuki_build.image.guard import note_read
    from fuki_build.image.igvm_payloads import igvm_payloads, native_igvm
    from fuki_build.image.inspect import inspect
    from fuki_build.image.layout import Layout
    from fuki_build.image.output_file import OutputFile
    from fuki_build.image.output_files import OutputFiles
    from fuki_build.image.profiles import find_profiles
    from fuki_build.launch.of_image import boots_of_image, explained_log, launches_of_image
    from fuki_build.launch.registers import (
        RegisterQuestion,
        RegisterValue,
        is_uki,
        reasons_of_log,
        search_in_log,
        search_registers,
    )
    from fuki_build.launch.search import DigestQuestion, asked_of_recipe, search_launches
    from fuki_build.launch.search_views import LaunchSearchView, search_in_words
    from fuki_build.library import check, diff, match, predict_launches, predict_registers, sign, verify, write_report
    from fuki_build.measure.boot import Boot
    from fuki_build.measure.boot_options import read_boot, read_program
    from fuki_build.measure.predict import Prediction, before_stub
    from fuki_build.measure.register_search_views import RegisterSearchView, register_in_words
    from fuki_build.pipeline import build, new_host, plan, preview, signing_key
    from fuki_build.recipe.load import LoadedRecipe, load_recipe
    from fuki_build.recipe.machines import find_machines
    from fuki_build.signing.secure_boot.boot import predict_boot
    from fuki_build.signing.secure_boot.key_directory import enroll_directory

__version__ = "0.1.0"

_HOMES = {
    "Blob": "fuki_build.image.blob",
    "Boot": "fuki_build.measure.boot",
    "DigestQuestion": "fuki_build.launch.search",
    "FukiError": "fuki_build.errors",
    "LaunchSearchView": "fuki_build.launch.search_views",
    "Layout": "fuki_build.image.layout",
    "LayoutView": "fuki_build.image.describe",
    "LoadedRecipe": "fuki_build.recipe.load",
    "Machine": "fuki_build.hardware.machine",
    "OutputFile": "fuki_build.image.output_file",
    "OutputFiles": "fuki_build.image.output_files",
    "PluginHost": "fuki_build.hooks.host",
    "Prediction": "fuki_build.measure.predict",
    "RegisterQuestion": "fuki_build.launch.registers",
    "RegisterSearchView": "fuki_build.measure.register_search_views",
    "RegisterValue": "fuki_build.launch.registers",
    "asked_of_recipe": "fuki_build.launch.search",
    "before_stub": "fuki_build.measure.predict",
    "boots_of_image": "fuki_build.launch.of_image",
    "build": "fuki_build.pipeline",
    "check": "fuki_build.library",
    "describe": "fuki_build.image.describe",
    "diff": "fuki_build.library",
    "enroll_directory": "fuki_build.signing.secure_boot.key_directory",
    "explained_log": "fuki_build.launch.of_image",
    "find_machines": "fuki_build.recipe.machines",
    "find_profiles": "fuki_build.image.profiles",
    "igvm_payloads": "fuki_build.image.igvm_payloads",
    "inspect": "fuki_build.image.inspect",
    "is_uki": "fuki_build.launch.registers",
    "json_option": "fuki_build.cli.options",
    "key_table": "fuki_build.cli.signer_options",
    "launches_of_image": "fuki_build.launch.of_image",
    "load_recipe": "fuki_build.recipe.load",
    "match": "fuki_build.library",
    "native_igvm": "fuki_build.image.igvm_payloads",
    "new_host": "fuki_build.pipeline",
    "note_read": "fuki_build.image.guard",
    "plan": "fuki_build.pipeline",
    "predict_boot": "fuki_build.signing.secure_boot.boot",
    "predict_launches": "fuki_build.library",
    "predict_registers": "fuki_build.library",
    "preview": "fuki_build.pipeline",
    "prints": "fuki_build.cli.options",
    "read_boot": "fuki_build.measure.boot_options",
    "read_program": "fuki_build.measure.boot_options",
    "read_small_file": "fuki_build.image.blob",
    "reasons_of_log": "fuki_build.launch.registers",
    "register_in_words": "fuki_build.measure.register_search_views",
    "search_in_log": "fuki_build.launch.registers",
    "search_in_words": "fuki_build.launch.search_views",
    "search_launches": "fuki_build.launch.search",
    "search_registers": "fuki_build.launch.registers",
    "sign": "fuki_build.library",
    "signing_key": "fuki_build.pipeline",
    "verify": "fuki_build.library",
    "write_report": "fuki_build.library",
}

__all__ = [
    "Blob",
    "Boot",
    "DigestQuestion",
    "FukiError",
    "LaunchSearchView",
    "Layout",
    "LayoutView",
    "LoadedRecipe",
    "Machine",
    "OutputFile",
    "OutputFiles",
    "PluginHost",
    "Prediction",
    "RegisterQuestion",
    "RegisterSearchView",
    "RegisterValue",
    "__version__",
    "asked_of_recipe",
    "before_stub",
    "boots_of_image",
    "build",
    "check",
    "describe",
    "diff",
    "enroll_directory",
    "explained_log",
    "find_machines",
    "find_profiles",
    "igvm_payloads",
    "inspect",
    "is_uki",
    "json_option",
    "key_table",
    "launches_of_image",
    "load_recipe",
    "match",
    "native_igvm",
    "new_host",
    "note_read",
    "plan",
    "predict_boot",
    "predict_launches",
    "predict_registers",
    "preview",
    "prints",
    "read_boot",
    "read_program",
    "read_small_file",
    "reasons_of_log",
    "register_in_words",
    "search_in_log",
    "search_in_words",
    "search_launches",
    "search_registers",
    "sign",
    "signing_key",
    "verify",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
