"""For MODULE.bazel: `installed_fuki` as a repository of that name."""

load(":repositories.bzl", "installed_fuki")

def _fuki_impl(_):
    installed_fuki(name = "installed_fuki")

fuki = module_extension(
    implementation = _fuki_impl,
    doc = "Brings the repository installed_fuki, with a toolchain for the fuki on the PATH or in $FUKI.",
)
