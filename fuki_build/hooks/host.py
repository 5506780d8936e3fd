"""The plugin host: finds plugins, loads those that are allowed, and knows whom to blame.

Plugins see keys, so nothing loads by accident: only the built-ins and what is named.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy
from msgspec import Struct

from fuki_build import __version__
from fuki_build.errors import FukiError, PluginError, RecipeError, did_you_mean, located
from fuki_build.hardware.machine import Machine
from fuki_build.hooks import first_party, specs
from fuki_build.hooks.contract import HOOKS, check_marked, contribution_of, name_of, things_of
from fuki_build.hooks.enrollers import Enroller
from fuki_build.hooks.hand_overs import HandOver
from fuki_build.hooks.records import OutputFormat, Platform, Rule
from fuki_build.hooks.signers import FileSigner, KeySigner
from fuki_build.hooks.sources import FirmwareSource
from fuki_build.hooks.versions import check_hook_api

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "fuki"
_RECIPE = "fuki.plugins"
"""The key of recipes that names plugins."""
T = TypeVar("T")


class PluginInfo(Struct, frozen=True):
    """An installed plugin by its entry-point name, with the distribution that errors blame."""

    name: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"plugin {self.name!r} (distribution {self.distribution} {self.version})"


class Contribution(Struct, Generic[T], frozen=True):
    """One thing that a plugin gives; `kind` is what to call it, as in `HOOKS`."""

    thing: T
    plugin: PluginInfo
    kind: str

    @property
    def name(self) -> str:
        return name_of(self.thing, self.kind)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around whatever runs its code: what that raises becomes a `PluginError` that blames the plugin."""
        with blame(self.plugin, f"failed in {self.kind} {self.name!r}"):
            yield


class Loaded(Struct):
    info: PluginInfo
    module: Any
    gives: dict[str, list[str]] = {}


class PluginHost:
    """Loads plugins and keeps what they contribute, by hook and name."""

    def __init__(self, builtins: Iterable[ModuleType]) -> None:
        self._manager = pluggy.PluginManager(specs.PROJECT)
        self._manager.add_hookspecs(specs)
        self.loaded: dict[str, Loaded] = {}
        self._for_recipe = False
        self._contributions: dict[str, dict[str, Contribution[Any]]] = {hook: {} for hook in HOOKS}
        for module in builtins:
            # With the dot, an installed plugin's name cannot be the same by accident.
            name = f"builtin.{module.__name__.rpartition('.')[2]}"
            self._register(PluginInfo(name, "fuki-build", __version__), module)

    def load(self, names: Iterable[str], where: str = _RECIPE) -> None:
        """Load installed plugins by name, by default a recipe's. Raises `PluginError` for an unknown or broken one."""
        self._for_recipe |= where == _RECIPE
        for index, name in enumerate(names):
            if name not in self.loaded:
                with located(f"{where}[{index}]", PluginError):
                    self._load(name)

    def _load(self, name: str) -> None:
        points = installed()
        if name not in points:
            raise PluginError(f"no plugin {name!r} is installed", hint=_hint_for_plugin(name, points))

        if len(points[name]) > 1:
            owners = " and ".join(str(info_of(point)) for point in points[name])
            raise PluginError(f"{owners} have one name", hint="uninstall one of them")

        point = points[name][0]
        info = info_of(point)
        try:
            module = point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(f"{info} cannot be imported: {_describe(error)}") from error
        self._register(info, module)

    def _register(self, info: PluginInfo, module: Any) -> None:  # noqa: ANN401 - pluggy takes any object
        try:
            with blame(info, "cannot be registered"):
                check_hook_api(module)
                check_marked(module, f"{specs.PROJECT}_impl")
                self._manager.register(module, name=info.name)
                self._manager.check_pending()
            contributions = self._collect(info)
        except FukiError as error:
            # What is broken must not stand in the way of the plugins after it.
            if self._manager.has_plugin(info.name):
                self._manager.unregister(name=info.name)
            if isinstance(error, PluginError) and str(info) in error.message:
                raise
            raise PluginError(f"{info} cannot be registered: {error.message}", hint=error.hint) from error

        for hook, by_name in contributions.items():
            self._contributions[hook].update(by_name)
        self.loaded[info.name] = Loaded(info, module, {hook: list(by_name) for hook, by_name in contributions.items()})

    def _collect(self, info: PluginInfo) -> dict[str, dict[str, Contribution[Any]]]:
        """One plugin's contributions by hook and name; `PluginError` for a name that is taken."""
        contributions: dict[str, dict[str, Contribution[Any]]] = {}
        for hook, kind in HOOKS.items():
            for name, thing in self._call(info, hook):
                other = self._contributions[hook].get(name) or contributions.get(hook, {}).get(name)
                if other is not None:
                    raise PluginError(
                        f"the {kind} {name!r} is given twice, by {other.plugin} and by {info}",
                        hint="load only one of them",
                    )
                contributions.setdefault(hook, {})[name] = Contribution(thing, info, kind)

        return contributions

    def _call(self, info: PluginInfo, hook: str) -> list[tuple[str, Any]]:
        """One plugin's contributions through one hook, sorted by name."""
        # All plugins but this one are left out, so that what is given is known to be its own.
        others = [p for p in self._manager.get_plugins() if self._manager.get_name(p) != info.name]
        with blame(info, f"failed in {hook}"):
            answers = self._manager.subset_hook_caller(hook, others)()
            contributions = [contribution_of(hook, thing) for answer in answers for thing in things_of(hook, answer)]
        return sorted(contributions, key=lambda pair: pair[0])

    def names(self, hook: str) -> list[str]:
        return sorted(self._contributions[hook])

    def get(self, hook: str, name: str) -> Contribution[Any]:
        """The contribution of that name. `RecipeError` says what there is, and which plugin may have it."""
        contribution = self._contributions[hook].get(name)
        if contribution is not None:
            return contribution

        raise RecipeError(f"there is no {HOOKS[hook]} {name!r}", hint=self._hint(hook, name))

    def _hint(self, hook: str, name: str) -> str:
        """Who gives what is not there: a plugin of fuki's that is known to, or an installed one of that name."""
        plugin = first_party.plugin_of(hook, name)
        if plugin is None and name in installed():
            plugin = name
        if plugin is None:
            near = did_you_mean(name, [*self.names(hook), *first_party.names_of(hook)])
            return near or f"there are: {', '.join(self.names(hook)) or 'none'}"

        hint = f"load the plugin that gives it: fuki --plugin {plugin} …"
        if self._for_recipe:
            hint = f"add {plugin!r} to plugins in [fuki], to load the plugin that gives it"
        return hint if plugin in installed() else f"{hint}; it is not installed, {first_party.how_to_install(plugin)}"

    def all(self, hook: str) -> list[Contribution[Any]]:
        """All contributions, sorted by name: entry-point order must not reach the output."""
        return [self._contributions[hook][name] for name in self.names(hook)]

    def firmware_source(self, name: str) -> Contribution[type[FirmwareSource]]:
        return self.get("fuki_firmware_sources", name)

    def platform(self, name: str) -> Contribution[Platform]:
        return self.get("fuki_platforms", name)

    def signer(self, name: str) -> Contribution[type[KeySigner] | type[FileSigner]]:
        return self.get("fuki_signers", name)

    def enroller(self, name: str) -> Contribution[type[Enroller]]:
        return self.get("fuki_enrollers", name)

    def hand_over(self, name: str) -> Contribution[type[HandOver]]:
        return self.get("fuki_hand_overs", name)

    def output(self, name: str) -> Contribution[type[OutputFormat]]:
        return self.get("fuki_outputs", name)

    def rules(self) -> list[Contribution[Rule]]:
        return self.all("fuki_checks")

    def template_directories(self) -> list[Path]:
        return [contribution.thing for contribution in self.all("fuki_template_dirs")]

    def versions(self) -> dict[str, str]:
        """Distribution and version of everything loaded, for manifests."""
        return {loaded.info.distribution: loaded.info.version for loaded in self.loaded.values()}

    def module_files(self) -> list[Path]:
        """The files of loaded plugins, and the data beside a package's code: outputs depend on them."""
        paths: set[Path] = set()
        for loaded in self.loaded.values():
            file = getattr(loaded.module, "__file__", None)
            if file and hasattr(loaded.module, "__path__"):
                inside = Path(file).parent.rglob("*")
                paths.update(p for p in inside if p.is_file() and "__pycache__" not in p.parts)
            elif file:
                paths.add(Path(file))
        return sorted(paths)


def installed() -> "dict[str, list[EntryPoint]]":
    """Entry points by plugin name, sorted; nothing is imported."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to load, and only plugins need it

    points: dict[str, list[EntryPoint]] = {}
    for point in sorted(set(entry_points(group=GROUP)), key=lambda p: (p.name, p.value)):
        points.setdefault(point.name, []).append(point)
    return points


def _hint_for_plugin(name: str, points: Iterable[str]) -> str:
    """What to do where no plugin of this name is installed."""
    if name in first_party.PLUGINS:
        return first_party.how_to_install(name)
    for hook in first_party.hooks_of(name):
        return f"the {HOOKS[hook]} {name!r} is given by the plugin {first_party.plugin_of(hook, name)!r}"
    return did_you_mean(name, {*points, *first_party.PLUGINS}) or "'fuki plugins' lists those that are installed"


def info_of(point: "EntryPoint") -> PluginInfo:
    if point.dist is None:
        return PluginInfo(point.name, "unknown", "?")
    return PluginInfo(point.name, point.dist.name, point.dist.version)


@contextmanager
def blame(info: PluginInfo, failure: str) -> Iterator[None]:
    """Turn whatever a plugin's code raises into a `PluginError` that names the plugin; `FukiError` passes."""
    try:
        yield
    except (FukiError, UnicodeEncodeError):
        # Of these, the second is about a name in arguments or the environment that is not UTF-8.
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{info} {failure}: {_describe(error)}",
            hint="report this to the plugin's authors; FUKI_DEBUG=1 shows where",
        ) from error


def loaded_machines(host: PluginHost) -> list[Machine]:
    """All machines of all loaded platforms."""
    machines: list[Machine] = []
    for platform in host.all("fuki_platforms"):
        with platform.running():
            machines += platform.thing.machines()
    return machines


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
