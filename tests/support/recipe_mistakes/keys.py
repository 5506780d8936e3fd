"""Keys that are misspelt or missing, values of another type, and files that are no recipe."""

from tests.support.recipe_mistakes.changes import CMDLINE, FIRMWARE, Mistakes, more, swap, top

KEYS: Mistakes = {
    # keys
    "a key of [fuki] is misspelt": (swap("version", "versoin"), "fuki.versoin", "unknown key", "'version'"),
    "a key of [fuki.image] is misspelt": (swap("initrd =", "intrd ="), "fuki.image.intrd", "unknown key", "'initrd'"),
    "a table of [fuki] is misspelt": (more("[fuki.imgae]\n"), "fuki.imgae", "unknown key", "'image'"),
    "a table beside [fuki]": (more("[tool]\n"), "fuki.toml", "unknown table [tool]", "below [fuki]"),
    "a key of a profile is misspelt": (
        more('[[fuki.profile]]\nid = "a"\n[[fuki.profile]]\nid = "b"\ntitel = "x"\n'),
        "fuki.profile[1].titel",
        "unknown key",
        "'title'",
    ),
    "a key of an addon is misspelt": (
        more('[[fuki.addon]]\nname = "a"\ncmdlin = "x"\n'),
        "fuki.addon[0].cmdlin",
        "unknown key",
        "'cmdline'",
    ),
    "an option of a source is misspelt": (
        more('[[fuki.firmware]]\nsource = "directory"\npth = "fw"\n'),
        "fuki.firmware[0].pth",
        "unknown key",
        "'path'",
    ),
    "a key of all firmware is misspelt": (
        more(FIRMWARE + 'platfroms = ["qemu"]\n'),
        "fuki.firmware[0].platfroms",
        "unknown key",
        "'platforms'",
    ),
    "a key of a profile's firmware is misspelt": (
        more('[[fuki.profile]]\nid = "a"\n[[fuki.profile.firmware]]\nsource = "file"\npth = "x"\n'),
        "fuki.profile[0].firmware[0].pth",
        "unknown key",
        "'path'",
    ),
    "a key of an output is misspelt": (
        more('[[fuki.output]]\nformat = "uki"\npaht = "x"\n'),
        "fuki.output[0].paht",
        "unknown key",
        "'path'",
    ),
    "a key of a signer is misspelt": (
        more('[fuki.sign]\nbackend = "local"\nkey = "text"\nsign-kernle = true\n'),
        "fuki.sign.sign-kernle",
        "unknown key",
        "'sign-kernel'",
    ),
    "a key of an output's signer is misspelt": (
        more('[[fuki.output]]\nformat = "uki"\nsign = { backend = "local", key = "text", certifcate = "text" }\n'),
        "fuki.output[0].sign.certifcate",
        "unknown key",
        "'certificate'",
    ),
    "a signer without its backend": (
        more('[[fuki.sign]]\nkey = "text"\n'),
        "fuki.sign[0]",
        "'backend' is missing",
        "add backend",
    ),
    "a key of an inline table is misspelt": (
        swap('os-release = "os-release"', 'os-release = { txt = "ID=a" }'),
        "fuki.image.os-release.txt",
        "unknown key",
        "'text'",
    ),
    "a key that resembles nothing": (
        more('[[fuki.profile]]\nid = "a"\nzzzzzz = 1\n'),
        "fuki.profile[0].zzzzzz",
        "unknown key",
        "known keys: cmdline, dtb,",
    ),
    # types
    "a number for a text": (swap(f'"{CMDLINE} ro"', "7"), "fuki.image.cmdline", "got int", 'did you mean "7"'),
    "a number in a list of paths": (swap('"initrd.img"', "1"), "fuki.image.initrd[0]", "a string", "fuki schema"),
    "a number for the version": (swap('"41.3"', "41.3"), "fuki.version", "got float", 'did you mean "41.3"'),
    "a list for a table": ('[fuki]\nname = "a"\nimage = []\n', "fuki.image", "a table, got a list", "fuki schema"),
    "a table for a list of tables": (
        more('[fuki.profile]\nid = "a"\n'),
        "fuki.profile",
        "a list, got a table",
        "fuki schema",
    ),
    "a number for an output's path": (
        more('[[fuki.output]]\nformat = "uki"\npath = 1\n'),
        "fuki.output[0].path",
        "got int",
        'did you mean "1"',
    ),
    "a number for a source's option": (
        more('[[fuki.firmware]]\nsource = "directory"\npath = 1\n'),
        "fuki.firmware[0].path",
        "got int",
        'did you mean "1"',
    ),
    "a number for a variable": (top("[fuki.variables]\na = 1"), "fuki.variables.a", "a string", "quotes"),
    # missing keys
    "no name": (swap('name = "acme"\n', ""), "fuki:", "'name' is missing", "add name"),
    "no image": ('[fuki]\nname = "a"\n', "fuki:", "'image' is missing", "add image"),
    "no kernel": (swap('linux = "vmlinuz"\n', ""), "fuki.image.linux", "no kernel", "add linux"),
    "no stub": (swap('stub = "stub"\n', ""), "fuki.image.stub", "no stub", "efi.stub"),
    "no profile id": (more("[[fuki.profile]]\n"), "fuki.profile[0]", "'id' is missing", "add id"),
    "no addon name": (more('[[fuki.addon]]\ncmdline = "x"\n'), "fuki.addon[0]", "'name' is missing", "add name"),
    "no source": (more('[[fuki.firmware]]\nid = "fw"\n'), "fuki.firmware[0]", "'path' is missing", "add path"),
    "no option of a source": (
        more('[[fuki.firmware]]\nsource = "directory"\n'),
        "fuki.firmware[0]",
        "'path' is missing",
        "add path",
    ),
    "no format": (more('[[fuki.output]]\npath = "x"\n'), "fuki.output[0]", "'format' is missing", "add format"),
    # the file
    "no TOML": ("[fuki\n", "fuki.toml", "not valid TOML", "line 1"),
    "no table [fuki]": ("", "fuki.toml", "no table [fuki]", "fuki init"),
    "[fuki] is a number": ("fuki = 1\n", "fuki.toml", "no table [fuki]", "fuki init"),
}
