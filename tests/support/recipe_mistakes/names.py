"""Names of sources, platforms and formats that nobody has; ids, and lines of SBAT, that cannot be."""

from tests.support.recipe_mistakes.changes import FIRMWARE, Mistakes, more, swap, top

NAMES: Mistakes = {
    # names of things
    "an unknown source": (
        more('[[fuki.firmware]]\nsource = "directry"\npath = "fw"\n'),
        "fuki.firmware[0].source",
        "no firmware source 'directry'",
        "'directory'",
    ),
    "an unknown source that resembles none": (
        more('[[fuki.firmware]]\nsource = "zzz"\n'),
        "fuki.firmware[0].source",
        "no firmware source 'zzz'",
        "command, deb, directory, file",
    ),
    "an unknown platform": (
        more(FIRMWARE + 'platforms = ["qmu"]\n'),
        "fuki.firmware[0].platforms[0]",
        "no platform 'qmu'",
        "'qemu'",
    ),
    "an unknown machine of a platform": (
        more(FIRMWARE + 'platforms = ["qemu", "qemu:q36"]\n'),
        "fuki.firmware[0].platforms[1]",
        "no machine 'q36'",
        "q35",
    ),
    "an unknown output format": (
        more('[[fuki.output]]\nformat = "uky"\n'),
        "fuki.output[0].format",
        "no output format 'uky'",
        "'uki'",
    ),
    "an unknown check to silence": (
        top('silence = ["uname-mising"]'),
        "fuki.silence[0]",
        "no check 'uname-mising'",
        "fuki check --list",
    ),
    "an unknown architecture": (more('arch = "x86"\n'), "fuki.image.arch", "'x86'", "x64"),
    "another architecture than the stub's": (more('arch = "aa64"\n'), "fuki.image.stub", "aa64", "x64"),
    # ids and names
    "a name that is no file name": (swap('"acme"', '"a/b"'), "fuki.name", "regex", "fuki schema"),
    "a version that is no file name": (swap('"41.3"', '"../b"'), "fuki.version", "regex", "fuki schema"),
    "a profile id with a space": (more('[[fuki.profile]]\nid = "a b"\n'), "fuki.profile[0].id", "'a b'", "letters"),
    "an empty profile id": (more('[[fuki.profile]]\nid = ""\n'), "fuki.profile[0].id", "length", "fuki schema"),
    "the base's own profile id": (
        more('[[fuki.profile]]\nid = "main"\n'),
        "fuki.profile[0].id",
        "@0",
        "set fuki.image.id",
    ),
    "one profile id twice": (
        more('[[fuki.profile]]\nid = "a"\n[[fuki.profile]]\nid = "a"\n'),
        "fuki.profile[1].id",
        "'a' is given twice",
        "",
    ),
    "a title of two lines": (
        more('[[fuki.profile]]\nid = "a"\ntitle = "a\\nb"\n'),
        "fuki.profile[0].title",
        "single line",
        "",
    ),
    "one addon name twice": (
        more('[[fuki.addon]]\nname = "a"\ncmdline = "x"\n[[fuki.addon]]\nname = "a"\ncmdline = "y"\n'),
        "fuki.addon[1].name",
        "'a' is given twice",
        "",
    ),
    "an addon name that climbs": (
        more('[[fuki.addon]]\nname = "../a"\ncmdline = "x"\n'),
        "fuki.addon[0].name",
        "regex",
        "fuki schema",
    ),
    "an addon that brings nothing": (
        more('[[fuki.addon]]\nname = "a"\n'),
        "fuki.addon[0]",
        "brings nothing",
        "cmdline, dtb, dtbauto, ucode, initrd",
    ),
    "an addon with a kernel": (
        more('[[fuki.addon]]\nname = "a"\nlinux = "vmlinuz"\n'),
        "fuki.addon[0].linux",
        "no kernel of its own",
        "remove it",
    ),
    "a section name without a dot": (
        more('[fuki.image.sections]\nfoo = "text"\n'),
        "fuki.image.sections",
        "regex",
        "fuki schema",
    ),
    "a section that has a key": (
        more('[fuki.image.sections]\n".linux" = "text"\n'),
        'fuki.image.sections.".linux"',
        ".linux is not a section to name",
        "key of its own",
    ),
    "an SBAT line without a generation": (more('sbat = ["acme"]\n'), "fuki.image.sbat", "'acme'", "component,"),
    "an SBAT line that shim fails the table for": (
        more('sbat = ["foo,1"]\n'),
        "fuki.image.sbat",
        "6 fields",
        "version",
    ),
    "an SBAT generation of 0": (more('sbat = ["a,0,A,a,1,u"]\n'), "fuki.image.sbat", "no generation from 1", ""),
    "an SBAT line that is not ASCII": (more('sbat = ["a,1,Ä,a,1,u"]\n'), "fuki.image.sbat", "not ASCII", ""),
    "a second line for SBAT itself": (more('sbat = ["sbat,1,A,a,1,u"]\n'), "fuki.image.sbat", "second one", ""),
}
