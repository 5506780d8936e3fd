"""The toolchain: which fuki actions run, and how they run it."""

# Absolute, as rules are used in repositories of others.
TOOLCHAIN_TYPE = str(Label("//:toolchain_type"))

# Actions see these directories, the variables that a target names, and nothing else of the environment.
_PATH = "/usr/local/bin:/usr/bin:/bin"

# Bazel's sandbox gives such an action no network beyond a loopback of its own.
_REQUIREMENTS = {"block-network": "1"}

# The first argument is the file for standard output, the others are the command.
_REDIRECT = 'out=$1; shift; exec "$@" >"$out"'

def _fuki_toolchain_impl(ctx):
    if bool(ctx.attr.program) == bool(ctx.attr.path):
        fail("give either 'program', a target, or 'path', where fuki is on every machine that runs actions")
    if ctx.attr.path and not ctx.attr.path.startswith("/"):
        fail("the path of fuki must be absolute, and {} is not".format(ctx.attr.path))
    return [platform_common.ToolchainInfo(
        path = ctx.attr.path,
        program = ctx.attr.program[DefaultInfo].files_to_run if ctx.attr.program else None,
        versions = ctx.attr.versions,
    )]

fuki_toolchain = rule(
    implementation = _fuki_toolchain_impl,
    doc = "A fuki: a program that Bazel builds or brings, or one that is installed wherever actions run.",
    attrs = {
        "path": attr.string(doc = "The absolute path of an installed fuki."),
        "program": attr.label(executable = True, cfg = "exec", doc = "A target that runs fuki's command line."),
        "versions": attr.string(
            doc = "The versions of fuki and its plugins. Actions with others share no results; needed with 'path', " +
                  "as Bazel does not look at what is installed.",
        ),
    },
)

def run_fuki(
        ctx,
        arguments,
        inputs,
        outputs,
        mnemonic,
        message,
        env = {},
        plugins = [],
        script = None,
        script_arguments = None):
    """Register an action that runs fuki.

    Args:
      ctx: the context of a rule that wants TOOLCHAIN_TYPE.
      arguments: Args objects, from the verb on.
      inputs: all files that it may read.
      outputs: all files that it writes.
      mnemonic: the kind of the action.
      message: what Bazel tells while it runs.
      env: variables that it sees.
      plugins: the plugins to load, beside those that a recipe names.
      script: commands for a shell that run fuki; its command follows 'script_arguments'.
      script_arguments: an Args object.
    """
    fuki = ctx.toolchains[TOOLCHAIN_TYPE]
    program = fuki.path or fuki.program.executable
    plugin_arguments = ctx.actions.args()
    plugin_arguments.add_all(plugins, before_each = "--plugin")
    variables = dict(env, PATH = _PATH)
    if fuki.versions:
        variables["FUKI_VERSIONS"] = fuki.versions

    common = dict(
        inputs = inputs,
        outputs = outputs,
        mnemonic = mnemonic,
        progress_message = message,
        env = variables,
        execution_requirements = _REQUIREMENTS,
        tools = [fuki.program] if fuki.program else [],
    )
    if not script:
        ctx.actions.run(executable = program, arguments = [plugin_arguments] + arguments, **common)
        return
    program_argument = ctx.actions.args()
    program_argument.add(program)
    ctx.actions.run_shell(
        command = script,
        arguments = [script_arguments, program_argument, plugin_arguments] + arguments,
        **common
    )

def tell_into(ctx, file, arguments, inputs, **kwargs):
    """Register an action that runs fuki, and writes its standard output to a file; the rest is for `run_fuki`."""
    first = ctx.actions.args()
    first.add(file)
    run_fuki(ctx, arguments, inputs, [file], script = _REDIRECT, script_arguments = first, **kwargs)
