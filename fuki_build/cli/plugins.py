"""`fuki plugins`: what is installed, what is loaded, and what each gives."""

from collections.abc import Iterator, Mapping

import click

from fuki_build import pipeline
from fuki_build.cli.options import json_option
from fuki_build.errors import PluginError
from fuki_build.formats.documents import Document, View
from fuki_build.hooks.contract import HOOKS
from fuki_build.hooks.host import PluginHost, info_of, installed


class PluginView(View, frozen=True, kw_only=True):
    """`state` is `loaded`, `installed` or `failed`; `gives` has names by kind of thing, of a loaded plugin only."""

    name: str
    distribution: str
    version: str
    state: str
    gives: Mapping[str, tuple[str, ...]] = {}
    error: str | None = None


class PluginsDocument(Document, frozen=True):
    """What `fuki plugins --json` prints."""

    plugins: tuple[PluginView, ...]


@click.command()
@json_option(lambda: PluginsDocument)
@click.option("--all", "load_all", is_flag=True, help="Load every installed plugin, to see what it gives.")
@click.pass_obj
def plugins(named: tuple[str, ...], as_json: bool, load_all: bool) -> None:
    """List plugins: the built-in ones, and those that are installed.

    Installed plugins are only loaded when they are named with --plugin, by a recipe, or with --all.
    """
    host = pipeline.new_host()
    names = installed() if load_all else named
    failures = {name: failure for name in names if (failure := _load(host, name))}
    views = (*_loaded(host), *_others(host, failures))

    if as_json:
        from fuki_build.cli.render.json import print_document  # noqa: PLC0415

        print_document(PluginsDocument(views))
        return
    from fuki_build.cli.render.tables import show_plugins  # noqa: PLC0415

    show_plugins(views)


def _load(host: PluginHost, name: str) -> str | None:
    """Load one plugin; its failure, if it fails, takes nothing else down."""
    try:
        host.load([name], "--plugin")
    except PluginError as error:
        return error.message
    return None


def _loaded(host: PluginHost) -> Iterator[PluginView]:
    for loaded in host.loaded.values():
        info = loaded.info
        gives = {HOOKS[hook]: tuple(names) for hook, names in loaded.gives.items()}
        yield PluginView(
            name=info.name, distribution=info.distribution, version=info.version, state="loaded", gives=gives
        )


def _others(host: PluginHost, failures: Mapping[str, str]) -> Iterator[PluginView]:
    """What is installed and not loaded; then what was named, and is not even installed."""
    for name, points in installed().items():
        if name in host.loaded:
            continue
        for point in points:
            info = info_of(point)
            state = "failed" if name in failures else "installed"
            yield PluginView(
                name=name, distribution=info.distribution, version=info.version, state=state, error=failures.get(name)
            )

    for name, failure in failures.items():
        if name not in host.loaded and name not in installed():
            yield PluginView(name=name, distribution="", version="", state="failed", error=failure)
