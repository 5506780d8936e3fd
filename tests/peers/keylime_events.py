"""Each event of a log by Keylime's example policy, alone: run by the Python of its environment, prints a JSON list.

python keylime_events.py LOG REFERENCE     whether the policy takes each event, by a reference state in JSON
"""

import json
import sys
from pathlib import Path
from typing import Any

from keylime.mba.elchecking.example import Example
from keylime.mba.elparsing import tpm2_tools_elparser


def main(log: str, reference: str) -> None:
    failure, parsed = tpm2_tools_elparser.parse_binary_bootlog(Path(log).read_bytes())
    if failure or parsed is None:
        raise SystemExit("Keylime does not read the log")

    whole: Any = Example().refstate_to_test(json.loads(Path(reference).read_text()))
    # What the whole log has to have is tested behind the events; here each is asked for alone, by its own test.
    start, each, _ = whole.field_test.tests
    verdicts = []
    for event in parsed["events"]:
        variables: dict[str, Any] = {}
        start.why_not(variables, [])
        verdicts.append(not each.why_not(variables, [event]))
    sys.stdout.write(json.dumps(verdicts))


if __name__ == "__main__":
    main(*sys.argv[1:])
