"""What a build would write, decided; and what a build wrote."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from fuki_build.errors import FukiError
from fuki_build.hooks.host import PluginHost
from fuki_build.hooks.outputs import Artifact, Build
from fuki_build.hooks.rules import Finding
from fuki_build.hooks.signers import SigningContext
from fuki_build.image.describe import LayoutView, describe
from fuki_build.image.guard import ReadFiles
from fuki_build.image.layout import Layout
from fuki_build.recipe.load import LoadedRecipe
from fuki_build.recipe.resolve import Resolved
from fuki_build.recipe.text import template_directory


class Plan(Struct, frozen=True, kw_only=True):
    """The layouts of a recipe's images, and the findings about them. `signing` lives as long as the plan.

    `unsigned` leaves all signatures out, `offline_policies` those of policies. `read` are the files that planning read:
    none of them is written over.
    """

    loaded: LoadedRecipe
    host: PluginHost
    resolved: Resolved
    uki: Layout
    addons: tuple[Layout, ...]
    findings: tuple[Finding, ...]
    signing: SigningContext
    unsigned: bool = False
    offline_policies: bool = False
    read: ReadFiles = field(default_factory=ReadFiles)

    @property
    def workspace(self) -> Path:
        return self.signing.workspace

    @property
    def views(self) -> Sequence[LayoutView]:
        """The layouts in words, with the types of hardware ids that the recipe's machines tell."""
        machines = [expectation.machine for expectation in self.resolved.expectations]
        return [describe(layout, machines=machines) for layout in self.layouts]

    @property
    def template_directories(self) -> Sequence[Path]:
        """Where templates are looked for: the recipe's own directories first, the shipped ones last."""
        directory = self.loaded.directory
        own = [directory, *(directory / name for name in self.loaded.recipe.templates)]
        return [*own, *self.host.template_directories(), template_directory()]

    @property
    def layouts(self) -> Sequence[Layout]:
        return (self.uki, *self.addons)


class CellPlan(Struct, frozen=True, kw_only=True):
    """A cell of a matrix: its plan, or why there is none."""

    loaded: LoadedRecipe
    plan: Plan | None = None
    failure: FukiError | None = None


class Result(Struct, frozen=True):
    """The files that a build wrote, its facts, and every file that decided what it wrote."""

    artifacts: tuple[Artifact, ...]
    build: Build
    dependencies: tuple[Path, ...]
