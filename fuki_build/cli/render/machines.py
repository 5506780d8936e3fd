"""Machines, and what they select, on standard output."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from fuki_build.cli.render.plain import plain
from fuki_build.cli.render.tables import add_row, new_console, new_table


def show_machine(data: dict[str, Any]) -> None:
    """Strings, then all ids in both dialects, those that the stub tries in its order first."""
    console = new_console()
    console.print(Text(plain(data["name"]), style="bold"))
    if data["strings"]:
        strings = new_table("String", "Value")
        for key, value in data["strings"].items():
            add_row(strings, key, value)
        console.print(strings)
    else:
        console.print("known by its hardware ids only")
    console.print()
    ids = new_table("Tried", "Type", "systemd-stub", "Microsoft, fwupd", "Made of", right=("Tried", "Type"))
    for row in sorted(data["chids"], key=lambda row: (row["tried"] or 99, row["type"])):
        tried = str(row["tried"]) if row["tried"] else "never"
        fields = " + ".join(row["fields"])
        add_row(ids, tried, str(row["type"]), row["stub"] or "-", row["microsoft"] or "-", fields)
    console.print(ids)
    if data["hand-over"]:
        console.print()
        show_hand_over(data["hand-over"])


def show_hand_over(data: dict[str, Any]) -> None:
    """What came of handing the firmware over, in a sentence, and what was selected."""
    console = new_console()
    because = f": {data['reason']['text']}" if data.get("reason") else ""
    result = f"{data['result']}: " if data["result"] else ""
    console.print(Text(plain(f"{result}{data['text']}{because}")), soft_wrap=True)
    if not data.get("firmware"):
        return
    table = new_table("Firmware", "Size", "Profile", "Through", "Hardware id", "Options")
    through = f"type {data['chid']['type']}"
    profile, options = f"@{data['profile']}", ", ".join(data["options"])
    add_row(table, data["firmware"], str(data["size"]), profile, through, data["chid"]["id"], options)
    console.print(table)


def show_matches(rows: Sequence[dict[str, Any]], *, measured: bool = False) -> None:
    """One row for each machine and profile; then what is measured there, if that is wanted."""
    console = new_console()
    table = new_table("Machine", "Profile", "Firmware", "Devicetree", "Through", "Hardware id", "Expected")
    for row in rows:
        hit = row["firmware"] or row["devicetree"]
        through = f"type {hit['type']} ({hit['name']})" if hit else ""
        expected = "" if row["holds"] is None else "as expected" if row["holds"] else f"not {row['expected'] or 'none'}"
        add_row(
            table,
            row["machine"],
            "" if row["profile"] is None else f"@{row['profile']}",
            _key(row["firmware"]),
            _key(row["devicetree"]),
            through,
            hit["chid"] if hit else "",
            expected,
        )
    console.print(table)
    for row in rows if measured else ():
        at = "" if row["profile"] is None else f" booting @{row['profile']}"
        names = " ".join(section["name"] for section in row["measured"])
        console.print(f"\n{plain(row['machine'])}{at}: PCR 11 gets {plain(names)}", soft_wrap=True)


def _key(hit: dict[str, Any] | None) -> str:
    if hit is None:
        return "-"
    return hit["key"] if hit["present"] else f"{hit['key']} (not in the image)"
