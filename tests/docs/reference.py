"""The parts of the reference that the program itself tells, between `<!-- generated: NAME -->` and `<!-- end -->`.

python tests/docs/reference.py    bring them up to date, and the manual pages and completions in share/
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import msgspec

sys.path.append(str(Path(__file__).parent.parent.parent / "tools"))

import manuals

from fuki_build import pipeline
from fuki_build.cli.main import VERBS, fuki
from fuki_build.cli.options import documents_of
from fuki_build.cli.schema import json_commands
from fuki_build.formats.documents import Document
from fuki_build.hooks.contract import HOOKS
from fuki_build.hooks.host import PluginHost
from fuki_build.image.stub import MODELS, NEWEST_KNOWN
from fuki_build.recipe import firmware_model, model
from tests.docs import type_page
from tests.docs.markdown import table as _markdown

CHECKOUT = Path(__file__).parent.parent.parent
REFERENCE = CHECKOUT / "docs" / "reference"
_BLOCK = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
Schema = dict[str, Any]


def update(text: str) -> str:
    """A page with its generated parts as they should be."""
    return _BLOCK.sub(lambda found: f"{found[1]}{generate(found[2])}{found[3]}", text)


def generate(name: str) -> str:
    kind, _, rest = name.partition(" ")
    return _KINDS[kind](rest).strip("\n") + "\n"


def _keys(name: str) -> str:
    """A table of a recipe; of several named, the keys that the first has and the others lack."""
    own, *others = name.split(" without ")
    tables = vars(model) | vars(firmware_model)
    left_out = {key for other in others for key in _schema(tables[other])["properties"]}
    return _table(_schema(tables[own]), left_out)


def _schema(table: type[msgspec.Struct]) -> Schema:
    (root,), definitions = msgspec.json.schema_components([table], ref_template="#/$defs/{name}")
    for name, definition in definitions.items():
        if "enum" in definition:
            _NAMED.setdefault(name, " or ".join(f"`{value}`" for value in definition["enum"]))
    return definitions[root["$ref"].rpartition("/")[2]]


def _options(name: str) -> str:
    """What a firmware source, signing backend or output format takes beside the common keys."""
    hook, _, thing = name.partition(" ")
    host = pipeline.new_host(first_party())
    contribution = host.get(hook, thing).thing
    table = _schema(contribution.Options)
    doc = (contribution.__doc__ or "").partition("\n")[0]
    return f"{doc}\n\n{_table(table, set())}" if table["properties"] else doc


def _table(schema: Schema, left_out: set[str]) -> str:
    rows: list[tuple[str, ...]] = [
        (f"`{key}`", _type(value), _default(key, value, schema), value.get("description", ""))
        for key, value in schema["properties"].items()
        if key not in left_out
    ]
    return _markdown(("key", "takes", "by default", "is"), rows)


_NAMED = {
    "TextFile": "`{ file = … }`",
    "InlineText": "`{ text = … }`",
    "DigestAlgorithm": "string",
    "Encoding": "string",
    "DirectBootMode": "string",
}


def _type(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"] if one.get("type") != "null"))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _NAMED.get(name, "table")
    if schema.get("type") == "array":
        items = _type(schema["items"])
        return f"list of {items}" if items.endswith("`") else f"list of {items}s"
    return {"object": "table"}.get(name := str(schema.get("type", "anything")), name)


def _default(key: str, value: Schema, table: Schema) -> str:
    if key in table.get("required", []):
        return "required"
    default = value.get("default")
    return f"`{'true' if default is True else default}`" if default else ""


def _command(verb: str) -> str:
    command = [sys.executable, "-m", "fuki_build", *verb.split(), "--help"]
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return f"```text\n{done.stdout.strip()}\n```"


def _commands(_: str) -> str:
    return "\n\n".join(f"## fuki {verb}\n\n{_command(verb)}" for verb in _verbs())


def _verbs() -> Iterator[str]:
    """All verbs; of one that only groups others, these."""
    for verb in VERBS:
        command = fuki.get_command(click.Context(fuki), verb)
        members = command.commands.items() if isinstance(command, click.Group) else ()
        yield from [f"{verb} {name}" for name, member in members if not member.hidden] or [verb]


@cache
def documents() -> dict[str, tuple[type[Document], ...]]:
    """The documents that verbs print, those of this checkout's plugins too."""
    context = click.Context(fuki, obj=())
    context.params["plugin"] = first_party()
    return {verb: documents_of(command) for verb, command in json_commands(fuki, context)}


def _documents(_: str) -> str:
    """Each verb that prints JSON, with the parts of the page where its documents are."""
    page = (REFERENCE / "json.md").read_text()
    rows: list[tuple[str, ...]] = [
        (f"`fuki {verb}`", ", ".join(dict.fromkeys(_link(page, kind) for kind in kinds)))
        for verb, kinds in documents().items()
    ]
    return _markdown(("verb", "prints"), rows)


def _link(page: str, document: type[Document]) -> str:
    heading = re.findall(r"(?m)^##+ (.+)$", page.partition(f"<!-- fields: {document.__name__} -->")[0])[-1]
    return f"[{heading}](#{heading.lower().replace(' ', '-')})"


def _rules(_: str) -> str:
    rules = [contribution.thing for contribution in pipeline.new_host().rules()]
    parts = [
        _markdown(("id", "severity", "holds that"), [(f"[`{r.id}`](#{r.id})", r.severity, r.summary) for r in rules])
    ]
    parts += [f"## {rule.id}\n\n{rule.summary} ({rule.severity}).\n\n{rule.explanation}" for rule in rules]
    return "\n\n".join(parts)


def _hooks(_: str) -> str:
    host = pipeline.new_host()
    return _markdown(
        ("hook", "gives", "in the core"), [(f"`{hook}`", what, _given(host, hook)) for hook, what in HOOKS.items()]
    )


def _given(host: PluginHost, hook: str) -> str:
    names = [f"`{name}`" for name in host.names(hook)]
    return "[all of these](checks.md)" if hook == "fuki_checks" else ", ".join(names)


def first_party() -> list[str]:
    """The names of the plugins in this checkout."""
    projects = [tomllib.loads(path.read_text())["project"] for path in CHECKOUT.glob("plugins/*/pyproject.toml")]
    return sorted(name for project in projects for name in project["entry-points"]["fuki"])


def _platforms(_: str) -> str:
    rows: list[tuple[str, ...]] = []
    for contribution in pipeline.new_host(first_party()).all("fuki_platforms"):
        platform, name = contribution.thing, contribution.plugin.name
        plugin = "" if name.startswith("builtin.") else f"`{name}`"
        names = [machine.name for machine in platform.machines()]
        machines = ", ".join(names) if len(names) <= 4 else f"{len(names)}"
        types = ", ".join(map(str, platform.chid_types))
        rows.append((f"`{platform.name}`", platform.title, plugin, machines, types))
    return _markdown(("platform", "is", "plugin", "machines", "CHID types"), rows)


def _sites(_: str) -> str:
    """How platforms launch confidential guests; sizes of one family are one row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for contribution in pipeline.new_host(first_party()).all("fuki_platforms"):
        for site in contribution.thing.launch_sites():
            facts = (", ".join(site.technologies) or "none", site.vmm, site.cpu_model or "", site.note or "")
            family, dot, _ = site.name.partition(".")
            names = rows.setdefault((f"`{contribution.thing.name}`", *facts), [])
            name = f"`{family}.*`" if dot else f"`{site.name}`"
            names += [] if name in names else [name]
    table = [(platform, ", ".join(names), *facts) for (platform, *facts), names in rows.items()]
    return _markdown(("platform", "machines", "technologies", "hypervisor", "processor", "note"), table)


def _stubs(_: str) -> str:
    words = {
        "profiles": "profiles",
        "matches_devicetree": "`.dtbauto` by hardware id",
        "microcode": "`.ucode`",
        "matches_firmware": "`.efifw` by hardware id",
        "hands_firmware_over": "starts the firmware",
        "addons": "addons",
        "archive_addons": "`.initrd` and `.ucode` in addons",
        "loads_kernel": "loads the kernel itself",
        "needs_image_base_0": "only kernels with ImageBase 0",
        "aligns_kernel": "aligns the kernel",
        "adds_secret": "adds a console and a secret",
        "measures_cc": "measures into RTMRs",
        "measures_cc_tags": "… profiles and addons too",
    }
    rows = [(_since(one.since), *("yes" if getattr(one, name) else "" for name in words)) for one in MODELS]
    table = _markdown(("systemd-stub from", *words.values()), rows)
    return f"{table}\n\nThe newest version whose behaviour is known is {NEWEST_KNOWN}."


def _since(version: tuple[int, int]) -> str:
    return ".".join(map(str, version)).removesuffix(".0") if any(version) else "any"


_KINDS: dict[str, Callable[[str], str]] = {
    "types": type_page.types,
    "documents": _documents,
    "checks": _rules,
    "commands": _commands,
    "help": _command,
    "hooks": _hooks,
    "keys": _keys,
    "options": _options,
    "platforms": _platforms,
    "sites": _sites,
    "stubs": _stubs,
}


def stale() -> Iterator[Path]:
    for page in sorted(REFERENCE.glob("*.md")):
        text = page.read_text()
        if update(text) != text:
            yield page


if __name__ == "__main__":
    for page in stale():
        page.write_text(update(page.read_text()))
        sys.stdout.write(f"updated {page}\n")
    manuals.main()
