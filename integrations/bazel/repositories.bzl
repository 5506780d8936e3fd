"""The fuki that is installed on this machine, as a toolchain."""

_BUILD = """\
load("{defs}", "fuki_toolchain")

fuki_toolchain(
    name = "installed",
    path = {path},
    versions = {versions},
)

toolchain(
    name = "toolchain",
    toolchain = ":installed",
    toolchain_type = "{type}",
)
"""

def _versions(plugins):
    """The distributions of all plugins with their versions, as one text."""
    pairs = {}
    for plugin in json.decode(plugins)["plugins"]:
        pairs["{}=={}".format(plugin["distribution"], plugin["version"])] = None
    return " ".join(sorted(pairs))

def _installed_fuki_impl(repository_ctx):
    path = repository_ctx.attr.path or repository_ctx.os.environ.get("FUKI") or repository_ctx.which("fuki")
    if not path:
        fail("there is no fuki on the PATH: install it, or say where it is with FUKI or 'path'")

    # Another version may build other bytes, and so may another version of a plugin.
    told = repository_ctx.execute([path, "plugins", "--json"])
    if told.return_code:
        fail("{} does not run: {}".format(path, told.stderr))
    repository_ctx.file("BUILD.bazel", _BUILD.format(
        defs = Label("//:defs.bzl"),
        path = repr(str(path)),
        type = Label("//:toolchain_type"),
        versions = repr(_versions(told.stdout)),
    ))

installed_fuki = repository_rule(
    implementation = _installed_fuki_impl,
    doc = "A repository with //:toolchain for an installed fuki.",
    attrs = {"path": attr.string(doc = "Its absolute path; by default $FUKI, or what is found on the PATH.")},
    environ = ["FUKI", "PATH"],
    local = True,
)
