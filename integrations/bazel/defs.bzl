"""Images of fuki as Bazel targets: all that BUILD files load."""

load("//private:matrix.bzl", _fuki_matrix = "fuki_matrix")
load("//private:measure.bzl", _fuki_measure = "fuki_measure")
load("//private:toolchain.bzl", _fuki_toolchain = "fuki_toolchain")
load("//private:uki.bzl", _FukiImageInfo = "FukiImageInfo", _fuki_uki = "fuki_uki")

FukiImageInfo = _FukiImageInfo
fuki_matrix = _fuki_matrix
fuki_measure = _fuki_measure
fuki_toolchain = _fuki_toolchain
fuki_uki = _fuki_uki
