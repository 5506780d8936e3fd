"""`fuki_matrix`: an image for each cell of a recipe with a matrix."""

load(":toolchain.bzl", "TOOLCHAIN_TYPE", "run_fuki")
load(":uki.bzl", "FukiImageInfo", "RECIPE_ATTRIBUTES", "check_inputs", "fuki_uki")

# The plan of all cells, which is that of those that were named: else some are missing. Afterwards it is the output.
_PLAN = """
out=$1 count=$2
shift 2
chosen=
while [ "$count" -gt 0 ]; do chosen="$chosen --cell $1"; shift; count=$((count - 1)); done
"$@" --json >"$out" || exit

# No id of a cell has blanks or wildcards in it.
if [ "$("$@" --json $chosen 2>/dev/null)" != "$(cat "$out")" ]; then
    echo "the recipe has cells that 'cells' of this target does not name" >&2
    exit 1
fi
"""

def _fuki_matrix_impl(ctx):
    inputs = [ctx.file.recipe] + ctx.files.srcs
    check_inputs(inputs)
    plan = ctx.actions.declare_file(ctx.label.name + ".plan.json")
    arguments = ctx.actions.args()
    arguments.add("plan")
    arguments.add(ctx.file.recipe)
    for name, value in ctx.attr.variables.items():
        arguments.add("--set", "{}={}".format(name, value))
    arguments.add("--unsigned")

    before = ctx.actions.args()
    before.add(plan)
    before.add(len(ctx.attr.cells))
    before.add_all(ctx.attr.cells)
    run_fuki(
        ctx,
        [arguments],
        inputs,
        [plan],
        mnemonic = "FukiPlan",
        message = "Planning all cells of {}".format(ctx.label),
        env = ctx.attr.env,
        plugins = ctx.attr.plugins,
        script = _PLAN,
        script_arguments = before,
    )

    images = depset(transitive = [target[FukiImageInfo].images for target in ctx.attr.images])
    digests = depset(transitive = [target[OutputGroupInfo].digests for target in ctx.attr.images])
    files = depset([plan], transitive = [target[DefaultInfo].files for target in ctx.attr.images])
    return [DefaultInfo(files = files), OutputGroupInfo(digests = digests), FukiImageInfo(images = images)]

_matrix = rule(
    implementation = _fuki_matrix_impl,
    attrs = dict(
        RECIPE_ATTRIBUTES,
        cells = attr.string_list(mandatory = True),
        images = attr.label_list(providers = [FukiImageInfo]),
    ),
    toolchains = [TOOLCHAIN_TYPE],
)

def fuki_matrix(name, recipe, cells, srcs = [], outputs = {}, variables = {}, plugins = [], env = {}, **kwargs):
    """Each cell of a recipe as a target NAME/CELL, and all of them as NAME, with a plan of what they share.

    Args:
      name: the name of the target for all cells.
      recipe: a fuki.toml or mkosi.conf with a matrix.
      cells: the ids of all its cells, or a dict with the inputs of each; it fails where one is missing.
      srcs: what all cells read.
      outputs: further outputs of each cell: for a format, what its file is called behind NAME/CELL.
      variables: variables of the recipe, in place of its own.
      plugins: plugins to load, beside those that the recipe names.
      env: variables of the environment that the recipe names.
      **kwargs: what all Bazel rules take, such as visibility and tags.
    """
    inputs = cells if type(cells) == "dict" else {cell: [] for cell in cells}
    common = dict(recipe = recipe, variables = variables, plugins = plugins, env = env, **kwargs)
    for cell, own in inputs.items():
        fuki_uki(
            name = "{}/{}".format(name, cell),
            srcs = _without_repeats(srcs + own),
            cell = cell,
            outputs = {format: "{}/{}{}".format(name, cell, suffix) for format, suffix in outputs.items()},
            **common
        )
    _matrix(
        name = name,
        srcs = _without_repeats(srcs + [file for own in inputs.values() for file in own]),
        cells = inputs.keys(),
        images = ["{}/{}".format(name, cell) for cell in inputs],
        **common
    )

def _without_repeats(labels):
    return {label: None for label in labels}.keys()
