"""The entry point: global options, verbs on demand, errors for people."""

import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fuki_build import __version__
from fuki_build.cli import streams
from fuki_build.cli.render import colour, talk
from fuki_build.cli.render.colour import ColourChoice
from fuki_build.cli.render.deprecations import show_deprecations
from fuki_build.cli.render.plain import complain
from fuki_build.cli.render.talk import Talk
from fuki_build.errors import FukiError, RecipeError, did_you_mean
from fuki_build.image.guard import guarding
from fuki_build.recipe_commands import FORBIDDING

if TYPE_CHECKING:
    from fuki_build.hooks.host import Contribution

VERBS = {
    "attach": "Attach signatures to IMAGE.",
    "build": "Build RECIPE's outputs: all of them, or none.",
    "check": "Check each FILE, a recipe or a finished image.",
    "diff": "Tell what differs between the images OLD and NEW, UKIs or addons made by anyone.",
    "digests": "Print, as JSON, every digest of IMAGE that is to be signed; of several images, a line for each.",
    "edit": "Make a new image of IMAGE, a UKI or addon of anyone's, in which some things are others.",
    "export": "Hand RECIPE's cells to another build system.",
    "firmware": "Firmware images: OVMF, edk2, IGVM.",
    "hand-over": "Hand-overs: a guest that starts its own firmware.",
    "hwids": "Hardware id tables: .hwids sections of images, or such a section on its own.",
    "init": "Write a starting fuki.toml into DIRECTORY, and its JSON Schema for editors.",
    "inputs": "Tell what RECIPE's build reads, with digests, and what it writes.",
    "inspect": "Show the sections, firmware and hardware ids of each FILE, a UKI or addon made by anyone.",
    "integrate": "Put fuki in the place of ukify inside another image builder.",
    "keys": "Keys for Secure Boot and PCR policies, and firmware that trusts them.",
    "launch": "Predict what guests that start with the firmware in FILEs measure at launch; FILE is firmware or a UKI.",
    "machine": "Machines: their SMBIOS strings and hardware ids.",
    "match": "Tell which firmware and devicetree machines select from each IMAGE, through which hardware id.",
    "measure": "Predict the registers that measure each IMAGE: 4, 9, 11, 12; with Secure Boot's variables 7; RTMRs.",
    "plan": "Show what building RECIPE would write: every section of its image, which files go where, and who signs.",
    "plugin": "Plugins of your own.",
    "plugins": "List plugins: the built-in ones, and those that are installed.",
    "release": "Tell whether the image NEW may be released after OLD.",
    "replay": "Recompute registers from LOG, an event log, and tell event by event what explains it.",
    "report": (
        "Write an HTML page about IMAGE, any UKI or addon: what it is, who signed it, what it selects and measures."
    ),
    "schema": "Print the JSON Schema of recipes, with the options of the plugins loaded by --plugin.",
    "sign": "Sign IMAGE…, any PE image: UKI, addon, boot loader or kernel.",
    "ukify": "Build as ukify does: its verbs, its options, and what a partial recipe adds.",
    "verify": "Verify the signatures of each IMAGE, any PE image, of the kernel inside it, and of its PCR policies.",
}
"""Each is a module here with a click command of its name, `_` for `-`, imported when it is used; and its short help."""

_PIPE = 128 + signal.SIGPIPE
_OBJECTS_PER_COLLECTION = 100_000
"""Containers that are made before Python looks for cycles among them: some MB; a start makes fewer than these."""


class _Terminated(BaseException):
    """A signal asks the program to end; no plugin may take it for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _terminate(number: int, _: object) -> None:
    raise _Terminated(number)


class Verbs(click.Group):
    """Built-in verbs by module name, then those of loaded plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*VERBS, *_plugin_verbs(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in VERBS:
            name = cmd_name.replace("-", "_")
            command = getattr(import_module(f"fuki_build.cli.{name}"), name)
            return command if isinstance(command, click.Command) else None
        verb = _plugin_verbs(ctx).get(cmd_name)
        return verb.thing if verb else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List all verbs without importing the built-in ones."""
        plugin_verbs = _plugin_verbs(ctx)
        names = [name for name in self.list_commands(ctx) if name in VERBS or not plugin_verbs[name].thing.hidden]
        limit = formatter.width - 6 - max(map(len, names))

        def short_help(name: str) -> str:
            verb = click.Command(name, help=VERBS[name]) if name in VERBS else plugin_verbs[name].thing
            return verb.get_short_help_str(limit)

        rows = [(name, short_help(name)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click has it
        """Run a verb; a plugin's that raises is blamed."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end with 1 on its own.
            raise click.exceptions.Exit(_PIPE) from error
        except (FukiError, OSError, UnicodeEncodeError, click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:
            verb = _plugin_verbs(ctx).get(ctx.invoked_subcommand or "")
            if verb is None:
                raise
            with verb.running():
                raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} {_hint(args[0])}", ctx) from None


def _plugin_verbs(ctx: click.Context) -> "dict[str, Contribution[click.Command]]":
    # --help comes before click looks at the environment.
    names: Sequence[str] = ctx.params.get("plugin") or os.environ.get("FUKI_PLUGINS", "").split()
    if not names:
        return {}
    from fuki_build.pipeline import new_host  # noqa: PLC0415 - starts fast without it

    return {c.thing.name: c for c in new_host(names).all("fuki_commands")}


def _hint(verb: str) -> str:
    from fuki_build.hooks import first_party  # noqa: PLC0415 - only when something is wrong

    plugin = first_party.plugin_of("fuki_commands", verb)
    if plugin is not None:
        return f"The plugin {plugin!r} gives it: fuki --plugin {plugin} {verb} …"
    hint = did_you_mean(verb, VERBS) or "a plugin's verbs need --plugin NAME before them."
    return hint[0].upper() + hint[1:]


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fuki")
@click.option(
    "--plugin",
    metavar="NAME",
    multiple=True,
    is_eager=True,  # so that --help shows what they bring
    envvar="FUKI_PLUGINS",
    help="Load an installed plugin (repeatable).",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors on standard error.")
@click.option("-v", "--verbose", is_flag=True, help="Say more there: the notes of a build, what an error came from.")
@click.option(
    "--color",
    type=click.Choice([choice.value for choice in ColourChoice]),
    default=ColourChoice.AUTO.value,
    help="When to colour; by default on terminals, unless NO_COLOR is set.",
)
@click.option(
    "--no-commands",
    is_flag=True,
    help=f"Refuse recipes that have programs of their choice run; {FORBIDDING}=1 does the same.",
)
@click.pass_context
def fuki(
    ctx: click.Context, plugin: tuple[str, ...], *, quiet: bool, verbose: bool, color: str, no_commands: bool
) -> None:
    """Build Unified Kernel Images that carry the guest's own firmware."""
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other.")
    ctx.obj = plugin
    if no_commands:
        # The copies of this process that share its work are to know, too.
        os.environ[FORBIDDING] = "1"
    talk.choose(Talk.QUIET if quiet else Talk.VERBOSE if verbose else Talk.USUAL)
    colour.choose(ColourChoice(color))


def main() -> None:
    """Run the command line of this process."""
    serve(sys.argv[1:])


def serve(arguments: Sequence[str]) -> NoReturn:
    """Run a command line, and end; whatever a user can cause ends in one clear error and its exit code."""
    prepare()
    code = run(arguments)
    # All of it goes with the process: Python need not look through it for cycles once more.
    gc.freeze()
    sys.exit(code)


def prepare() -> None:
    """Make this process one of ours: its streams, its warnings, how signals end it, and when garbage is collected."""
    streams.prepare()
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    if not (sys.warnoptions or os.environ.get("FUKI_DEBUG")):
        # What Python and libraries warn of is for their programmers: odd certificates, mostly.
        warnings.simplefilter("ignore")
        show_deprecations()
    # Turned into an exception, so that scratch files are cleaned up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    return ended(lambda: fuki.main(list(arguments), prog_name="fuki", standalone_mode=False))


def ended(call: Callable[[], object]) -> int:
    """Run something to its end, of whichever kind; says in one message what is wrong, and returns the exit code."""
    try:
        with guarding():
            code = call()
        sys.stdout.flush()
    except click.ClickException as error:
        _placed(error).show()
        return error.exit_code
    except _Terminated as signalled:
        return 128 + signalled.number
    except BaseException as error:  # noqa: BLE001 - the last resort: nothing may spill a traceback over a user
        return explain(error)
    return code if isinstance(code, int) else 0


def _placed(error: click.ClickException) -> click.ClickException:
    """An error about an option of `fuki` itself that stands behind the verb says that its place is before it."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    name = error.option_name
    option = next((o for o in fuki.params if isinstance(o, click.Option) and name in o.opts), None)
    if option is None:
        return error
    value = "" if option.is_flag else " …"
    verb = error.ctx.command_path.partition(" ")[2]
    return click.UsageError(f"The option {name} stands before the verb: fuki {name}{value} {verb} …", error.ctx)


def explain(error: BaseException) -> int:  # noqa: PLR0911 - a code for each kind of ending
    """Say in one message what ended the command; returns the exit code."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case BrokenPipeError():
            _abandon_output()
            return _PIPE
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case click.Abort() | KeyboardInterrupt():
            complain("fuki: interrupted")
            return 128 + signal.SIGINT
        case FukiError():
            _show(error, error.message, error.place, error.hint)
            return error.exit_code
        case OSError():
            _show(error, error.strerror or repr(error), str(error.filename or ""), None)
            _abandon_output()
        case UnicodeEncodeError() if any(0xD800 <= ord(c) < 0xE000 for c in error.object):
            text = f"{error.object[max(0, error.start - 40) : error.end + 40]!r} has bytes that are not UTF-8"
            _show(
                error, text, None, "only names of files may have such bytes: look at the arguments and the environment"
            )
            return RecipeError.exit_code
        case MemoryError():
            _show(error, "there is not enough memory", None, None)
        case _:
            _show(error, repr(error), "internal error", "this is a bug in fuki; FUKI_DEBUG=1 shows where")
    return 1


def _abandon_output() -> None:
    """Drop what standard output will not take: Python would try once more at exit, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(error: BaseException, message: str, where: str | None, hint: str | None) -> None:
    complain(f"fuki: error: {f'{where}: ' if where else ''}{message}")
    if hint:
        complain(f"  hint: {hint}")
    cause = error.__cause__
    while cause is not None and talk.level is Talk.VERBOSE:
        text = cause.message if isinstance(cause, FukiError) else repr(cause)
        if text != message:
            complain(f"  from: {text}")
        cause = cause.__cause__
    if os.environ.get("FUKI_DEBUG"):
        import traceback  # noqa: PLC0415 - for programmers only

        traceback.print_exception(error)
