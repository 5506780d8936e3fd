"""The JSON Schema of recipes, with the options of everything that is loaded."""

from typing import Any

import msgspec

from fuki_build import __version__
from fuki_build.formats.document_schema import DIALECT
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.signers import KeySigner
from fuki_build.recipe.firmware_model import FirmwareTable
from fuki_build.recipe.model import HandOverTable, MatrixPart, OutputTable, PcrPolicyTable, Recipe, SignTable


def schema(host: PluginHost) -> dict[str, Any]:
    """The schema of a whole fuki.toml."""
    (recipe,), definitions = msgspec.json.schema_components([Recipe], ref_template="#/$defs/{name}")

    matrix = msgspec.json.schema_components([MatrixPart], ref_template="#/$defs/{name}")[1]["MatrixPart"]
    definitions["Recipe"]["properties"]["matrix"] = matrix["properties"]["matrix"]

    firmware = _choice(host, "fuki_firmware_sources", FirmwareTable, "source", definitions)
    definitions["Firmware"] = firmware
    for name in ("Recipe", "ProfileTable"):
        definitions[name]["properties"]["firmware"]["items"] = {"$ref": "#/$defs/Firmware"}

    interfaces = _choice(host, "fuki_hand_overs", HandOverTable, "interface", definitions)
    # Without a plugin that gives one, there is no table to write.
    definitions["HandOver"] = interfaces if interfaces["oneOf"] else {"not": {}}
    definitions["Recipe"]["properties"]["hand-over"] = {"$ref": "#/$defs/HandOver"}

    outputs = _choice(host, "fuki_outputs", OutputTable, "format", definitions)
    definitions["Output"] = outputs
    definitions["Recipe"]["properties"]["output"]["items"] = {"$ref": "#/$defs/Output"}

    definitions["Signer"] = _choice(host, "fuki_signers", SignTable, "backend", definitions)
    policies = _choice(host, "fuki_signers", PcrPolicyTable, "backend", definitions, KeySigner)
    definitions["PcrPolicy"] = policies
    definitions["Recipe"]["properties"]["pcr-policy"]["items"] = {"$ref": "#/$defs/PcrPolicy"}

    for table in (definitions["Recipe"], *outputs["oneOf"]):
        table["properties"]["sign"] = _signers(table["properties"]["sign"])

    return {
        "$schema": DIALECT,
        "title": f"fuki recipe ({__version__})",
        "type": "object",
        "properties": {"fuki": recipe},
        "required": ["fuki"],
        "additionalProperties": False,
        "$defs": dict(sorted(definitions.items())),
    }


def _signers(sign: dict[str, Any]) -> dict[str, Any]:
    """What a key takes where `sign` has tables of any kind: one signer, or several."""
    signer = {"$ref": "#/$defs/Signer"}
    others = [choice for choice in sign["anyOf"] if choice["type"] not in {"object", "array"}]
    return {**sign, "anyOf": [*others, signer, {"type": "array", "items": signer}]}


def _required(name: str, shared: dict[str, Any], options: dict[str, Any], key: str) -> list[str]:
    """The keys that must be there; `key` need not where its default is this very name."""
    own = set() if shared["properties"][key].get("default") == name else {key}
    return sorted({*own, *shared.get("required", []), *options.get("required", [])})


def _choice(
    host: PluginHost,
    hook: str,
    common: type[msgspec.Struct],
    key: str,
    definitions: dict[str, Any],
    kind: type = object,
) -> dict[str, Any]:
    """One object schema per named thing of a kind: the common keys, its own options, and its name under `key`."""
    variants = []
    for contribution in host.all(hook):
        thing = contribution.thing
        if not issubclass(thing, kind):
            continue
        components = msgspec.json.schema_components([common, thing.Options], ref_template="#/$defs/{name}")[1]
        shared, options = components.pop(common.__name__), components.pop(thing.Options.__name__)
        definitions.update(components)

        variants.append(
            {
                "title": f"{key} {thing.name!r}",
                "description": (thing.__doc__ or "").partition("\n")[0],
                "type": "object",
                "properties": {**shared["properties"], **options["properties"], key: {"const": thing.name}},
                "required": _required(thing.name, shared, options, key),
                "additionalProperties": False,
            }
        )
    return {"oneOf": variants}
