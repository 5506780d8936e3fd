"""`fuki_measure`: what machines will measure when they boot images."""

load(":toolchain.bzl", "TOOLCHAIN_TYPE", "tell_into")
load(":uki.bzl", "FukiImageInfo")

def _fuki_measure_impl(ctx):
    images = [
        file
        for target in ctx.attr.images
        for file in (target[FukiImageInfo].images if FukiImageInfo in target else target.files).to_list()
    ]
    if not images:
        fail("name at least one image")

    arguments = ctx.actions.args()
    arguments.add("measure")
    arguments.add_all(images)
    arguments.add_all(ctx.files.machines, before_each = "--machine")
    arguments.add_all(ctx.attr.platforms, before_each = "--platform")
    arguments.add_all(ctx.attr.phases, before_each = "--phase")
    arguments.add_all(ctx.attr.banks, before_each = "--bank")
    arguments.add_all(ctx.attr.pcrs, before_each = "--pcr")
    if ctx.attr.profile:
        arguments.add("--profile", ctx.attr.profile)
    arguments.add_all(ctx.attr.options)
    arguments.add("--json")

    # Of several images, a line of JSON for each.
    measured = ctx.actions.declare_file(ctx.label.name + (".jsonl" if images[1:] else ".json"))
    tell_into(
        ctx,
        measured,
        [arguments],
        images + ctx.files.machines,
        mnemonic = "FukiMeasure",
        message = "Predicting the measurements of {}".format(ctx.label),
        plugins = ctx.attr.plugins,
    )
    return [DefaultInfo(files = depset([measured]))]

fuki_measure = rule(
    implementation = _fuki_measure_impl,
    doc = "The registers that machines have after they booted images, as 'fuki measure --json' tells them.",
    attrs = {
        "banks": attr.string_list(doc = "Banks, by default sha256."),
        "images": attr.label_list(allow_files = True, mandatory = True, doc = "Images, or a matrix of them."),
        "machines": attr.label_list(allow_files = True, doc = "Files that describe machines."),
        "options": attr.string_list(doc = "Further options of 'fuki measure'."),
        "pcrs": attr.string_list(doc = "Only these registers."),
        "phases": attr.string_list(doc = "Paths of boot phases."),
        "platforms": attr.string_list(doc = "Platforms of loaded plugins, such as 'qemu:q35'."),
        "plugins": attr.string_list(doc = "Plugins to load."),
        "profile": attr.string(doc = "Only this profile."),
    },
    toolchains = [TOOLCHAIN_TYPE],
)
