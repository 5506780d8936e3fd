"""Files that are not there or unfit, firmware and outputs among them."""

from tests.support.recipe_mistakes.changes import CMDLINE, FIRMWARE, Mistakes, more, swap

FILES: Mistakes = {
    # files
    "a kernel that is not there": (swap('"vmlinuz"', '"nope"'), "fuki.image.linux", "No such file", "relative"),
    "a kernel that is a directory": (swap('"vmlinuz"', '"dir"'), "fuki.image.linux", "a directory", "relative"),
    "a kernel that is a FIFO": (swap('"vmlinuz"', '"fifo"'), "fuki.image.linux", "not a regular file", "relative"),
    "an initrd that is not there": (swap('"initrd.img"', '"nope"'), "fuki.image.initrd[0]", "No such", "relative"),
    "an initrd that is a FIFO": (swap('"initrd.img"', '"fifo"'), "fuki.image.initrd[0]", "regular file", "relative"),
    "a stub that is a FIFO": (swap('"stub"', '"fifo"'), "fuki.image.stub", "not a regular file", ""),
    "a stub that is not there": (swap('"stub"', '"nope"'), "fuki.image.stub", "No such file", ""),
    "a stub that is no program": (swap('"stub"', '"text"'), "fuki.image.stub", "not a PE image", "efi.stub"),
    "a command line file that is a FIFO": (
        swap(f'"{CMDLINE} ro"', '{ file = "fifo" }'),
        "fuki.image.cmdline.file",
        "not a regular file",
        "relative",
    ),
    "an os-release that is a directory": (
        swap('"os-release"', '"dir"'),
        "fuki.image.os-release",
        "a directory",
        "relative",
    ),
    "an empty path": (swap('"vmlinuz"', '""'), "fuki.image.linux", "path is empty", ""),
    # firmware
    "an empty firmware file": (
        more('[[fuki.firmware]]\nsource = "file"\nid = "x"\npath = "empty"\n'),
        "fuki.firmware[0]",
        "is empty",
        "",
    ),
    "firmware without an id": (
        more('[[fuki.firmware]]\nsource = "file"\npath = "fw/OVMF.fd"\n'),
        "fuki.firmware[0]",
        "has no id",
        "add id",
    ),
    "firmware that is not there": (
        more('[[fuki.firmware]]\nsource = "file"\nid = "x"\npath = "nope"\n'),
        "fuki.firmware[0]",
        "No such file",
        "relative",
    ),
    "firmware that is a FIFO": (
        more('[[fuki.firmware]]\nsource = "file"\nid = "x"\npath = "fifo"\n'),
        "fuki.firmware[0]",
        "not a regular file",
        "relative",
    ),
    "a firmware id that is too long": (
        more(FIRMWARE + f'id = "{"x" * 5000}"\n'),
        "fuki.firmware[0].id",
        "4095 bytes",
        "",
    ),
    "a firmware directory with nothing in it": (
        more(FIRMWARE.replace('"fw"', '"dir"')),
        "fuki.firmware[0]",
        "exactly one file, there is: nothing",
        "",
    ),
    "a firmware directory with two files": (
        more(FIRMWARE.replace('"fw"', '"two"')),
        "fuki.firmware[0]",
        "exactly one file, there is: a.fd, b.fd",
        "move the others",
    ),
    "a firmware directory with a directory in it": (
        more(FIRMWARE.replace('"fw"', '"sub"')),
        "fuki.firmware[0]",
        "exactly one file, there is: below/",
        "move the others",
    ),
    "a firmware directory that is a file": (
        more(FIRMWARE.replace('"fw"', '"text"')),
        "fuki.firmware[0]",
        "Not a directory",
        "",
    ),
    # outputs
    "two outputs of one path": (
        more('[[fuki.output]]\nformat = "uki"\npath = "a"\n[[fuki.output]]\nformat = "manifest"\npath = "a"\n'),
        "fuki.output[1]",
        "two outputs write a",
        "path of its own",
    ),
    "two outputs of one path, spelt differently": (
        more('[[fuki.output]]\nformat = "uki"\npath = "a"\n[[fuki.output]]\nformat = "manifest"\npath = "dir/../a"\n'),
        "fuki.output[1]",
        "two outputs write",
        "path of its own",
    ),
    "an output in the place of an input": (
        more('[[fuki.output]]\nformat = "uki"\npath = "dir/../initrd.img"\n'),
        "fuki.output[0]",
        "replace the input",
        "",
    ),
    "a template that is not there": (
        more('[[fuki.output]]\nformat = "template"\npath = "a.txt"\ntemplate = "nope.j2"\n'),
        "fuki.output[0]",
        "no template 'nope.j2'",
        "looked in",
    ),
    "a template output without a template": (
        more('[[fuki.output]]\nformat = "template"\npath = "a.txt"\n'),
        "fuki.output[0]",
        "'template' is missing",
        "add template",
    ),
}
