"""`fuki plugins`: what is installed, what is loaded, and what each gives."""

import click

from fuki_build import pipeline
from fuki_build.cli.options import json_option
from fuki_build.errors import PluginError
from fuki_build.hooks.contract import HOOKS
from fuki_build.hooks.host import PluginHost, info_of, installed

VERSION = 1


@click.command()
@json_option
@click.option("--all", "load_all", is_flag=True, help="Load every installed plugin, to see what it gives.")
@click.pass_obj
def plugins(named: tuple[str, ...], as_json: bool, load_all: bool) -> None:
    """List plugins: the built-in ones, and those that are installed.

    Installed plugins are only loaded when they are named with --plugin, by a recipe, or with --all.
    """
    host = pipeline.new_host()
    wanted = installed() if load_all else named
    failures = {name: failure for name in wanted if (failure := _load(host, name))}
    rows = _rows(host, failures)
    if as_json:
        from fuki_build.cli.render.json import print_json  # noqa: PLC0415

        print_json({"version": VERSION, "plugins": rows})
        return
    from fuki_build.cli.render.tables import show_plugins  # noqa: PLC0415

    show_plugins(rows)


def _load(host: PluginHost, name: str) -> str | None:
    """Load one plugin; its failure, if it fails, takes nothing else down."""
    try:
        host.load([name], "--plugin")
    except PluginError as error:
        return error.message
    return None


def _rows(host: PluginHost, failures: dict[str, str]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {
            "name": loaded.info.name,
            "distribution": loaded.info.distribution,
            "version": loaded.info.version,
            "state": "loaded",
            "gives": {HOOKS[hook]: names for hook, names in loaded.gives.items()},
            "error": None,
        }
        for loaded in host.loaded.values()
    ]
    for name, points in installed().items():
        if name in host.loaded:
            continue
        for point in points:
            info = info_of(point)
            state = "failed" if name in failures else "installed"
            rows.append(
                {
                    "name": name,
                    "distribution": info.distribution,
                    "version": info.version,
                    "state": state,
                    "gives": {},
                    "error": failures.get(name),
                }
            )
    known = {str(row["name"]) for row in rows}
    rows += [
        {"name": name, "distribution": "", "version": "", "state": "failed", "gives": {}, "error": failure}
        for name, failure in failures.items()
        if name not in known
    ]
    return rows
