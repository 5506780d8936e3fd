"""`fuki_uki`: one image."""

load(":toolchain.bzl", "TOOLCHAIN_TYPE", "run_fuki", "tell_into")

FukiImageInfo = provider(
    doc = "Images that fuki built, unsigned.",
    fields = {"images": "depset of files"},
)

# No action gets a key. What holds one by its name is refused; a file that hides it under another name is not seen.
_KEYS = ("key", "p12", "pfx", "pkcs12", "jks")

# Attributes that stand in place of a recipe's keys, and the options by which fuki takes them.
_FILES = {"linux": "--linux", "os_release": "--os-release", "stub": "--stub"}

RECIPE_ATTRIBUTES = {
    "env": attr.string_dict(doc = "Variables of the environment that the recipe names in 'environment'."),
    "plugins": attr.string_list(doc = "Plugins to load, beside those that the recipe names."),
    "recipe": attr.label(allow_single_file = True, mandatory = True, doc = "A fuki.toml or mkosi.conf."),
    "srcs": attr.label_list(allow_files = True, doc = "What the recipe reads. An action has nothing else."),
    "variables": attr.string_dict(doc = "Variables of the recipe, in place of its own."),
}

_ATTRIBUTES = dict(
    RECIPE_ATTRIBUTES,
    cell = attr.string(doc = "Of a recipe with a matrix, the cell: 'arch=x64,cloud=aws'."),
    cmdline = attr.string(doc = "The kernel command line, in place of the recipe's."),
    cmdline_file = attr.label(allow_single_file = True, doc = "A file with the kernel command line."),
    files = attr.label_keyed_string_dict(
        allow_files = True,
        doc = "Generated files, each with the name of a variable that has the file's path for the recipe's texts.",
    ),
    initrd = attr.label_list(allow_files = True, doc = "The initrds, in place of the recipe's."),
    linux = attr.label(allow_single_file = True, doc = "The kernel, in place of the recipe's."),
    os_release = attr.label(allow_single_file = True, doc = "The os-release file, in place of the recipe's."),
    out = attr.string(doc = "The name of the image; by default that of the target with .efi."),
    outputs = attr.string_dict(doc = "Further outputs: the file name of each format, such as 'manifest'."),
    stub = attr.label(allow_single_file = True, doc = "The stub, in place of the recipe's."),
)

def check_inputs(files):
    """Fail for files that are keys by their names."""
    for file in files:
        if file.extension in _KEYS:
            fail("{} is a key, and no action gets one: sign the image with 'fuki attach'".format(file.path))

def _from_recipe(recipe, file):
    """The path of a file relative to the recipe's directory, with both relative to the directory of the action."""
    up = [".."] * len([part for part in recipe.dirname.split("/") if part])
    return "/".join(up + [file.path])

def _recipe_arguments(ctx):
    """What a build is told of the recipe, and the files that it may read."""
    arguments = ctx.actions.args()
    arguments.add(ctx.file.recipe)
    inputs = [ctx.file.recipe] + ctx.files.srcs
    if ctx.attr.cell:
        arguments.add("--cell", ctx.attr.cell)
    for name, option in _FILES.items():
        file = getattr(ctx.file, name)
        if file:
            arguments.add(option, file)
            inputs.append(file)
    for file in ctx.files.initrd:
        arguments.add("--initrd", file)
        inputs.append(file)

    if ctx.attr.cmdline and ctx.file.cmdline_file:
        fail("give either cmdline or cmdline_file")
    if ctx.attr.cmdline:
        arguments.add("--cmdline", ctx.attr.cmdline)
    if ctx.file.cmdline_file:
        arguments.add(ctx.file.cmdline_file, format = "--cmdline=@%s")
        inputs.append(ctx.file.cmdline_file)

    for name, value in ctx.attr.variables.items():
        arguments.add("--set", "{}={}".format(name, value))
    for target, name in ctx.attr.files.items():
        files = target.files.to_list()
        if len(files) != 1:
            fail("{} is {} files, and the variable {} takes one".format(target.label, len(files), name))
        arguments.add("--set", "{}={}".format(name, _from_recipe(ctx.file.recipe, files[0])))
        inputs += files
    check_inputs(inputs)
    return arguments, inputs

def _build(ctx, output, format, told, inputs):
    arguments = ctx.actions.args()
    arguments.add("build")
    output_arguments = ctx.actions.args()
    output_arguments.add("--unsigned")
    output_arguments.add("--only", format)
    output_arguments.add("--output", output)
    run_fuki(
        ctx,
        [arguments, told, output_arguments],
        inputs,
        [output],
        mnemonic = "FukiBuild",
        message = "Building {} of {}".format(output.short_path, ctx.label),
        env = ctx.attr.env,
        plugins = ctx.attr.plugins,
    )

def _fuki_uki_impl(ctx):
    told, inputs = _recipe_arguments(ctx)
    image = ctx.actions.declare_file(ctx.attr.out or ctx.label.name + ".efi")
    _build(ctx, image, "uki", told, inputs)

    # Each is an action of its own, which runs when somebody asks for the file.
    others = []
    for format, name in ctx.attr.outputs.items():
        if format == "uki":
            fail("the image is an output already: name it with 'out'")
        output = ctx.actions.declare_file(name)
        _build(ctx, output, format, told, inputs)
        others.append(output)

    digests = ctx.actions.declare_file(ctx.label.name + ".digests.json")
    arguments = ctx.actions.args()
    arguments.add("digests")
    arguments.add(image)
    tell_into(
        ctx,
        digests,
        [arguments],
        [image],
        mnemonic = "FukiDigests",
        message = "Telling what is to be signed of {}".format(image.short_path),
    )

    return [
        DefaultInfo(files = depset([image] + others)),
        OutputGroupInfo(digests = depset([digests])),
        FukiImageInfo(images = depset([image])),
    ]

fuki_uki = rule(
    implementation = _fuki_uki_impl,
    doc = "An image that a recipe describes, unsigned; what is to be signed of it is in the output group 'digests'.",
    attrs = _ATTRIBUTES,
    toolchains = [TOOLCHAIN_TYPE],
)
