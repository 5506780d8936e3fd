"""`fuki replay --policy`: a log judged by a policy file, and by the one of its images that fits the log best."""

from pathlib import Path

from msgspec.structs import replace

from fuki_build.cli.measure import inspect_uki
from fuki_build.formats.tcg.event_log import EventLog
from fuki_build.image.assemble import assemble
from fuki_build.image.profiles import find_profiles
from fuki_build.measure.boot import Addon, Boot
from fuki_build.measure.boot_options import boot_digests
from fuki_build.measure.explain import Explanation, explain
from fuki_build.measure.log_comparison import RegisterVerdict
from fuki_build.measure.log_policy import judge, program_registers
from fuki_build.measure.log_policy_views import LogPolicyView, log_policy_view
from fuki_build.measure.logged_boot import with_logged
from fuki_build.measure.predict import cases
from fuki_build.measure.section_digests import SectionDigests
from fuki_build.recipe.log_policy_file import ReadLogPolicy, read_policy_file


def judge_log(log: EventLog, path: Path) -> LogPolicyView:
    """The rulings of the policy in a file on a log. Raises `FukiError`."""
    return judge_by(log, read_policy_file(path, log), str(path))


def judge_by(log: EventLog, read: ReadLogPolicy, name: str) -> LogPolicyView:
    """The rulings of a policy of this name on a log. Raises `FukiError` for images that cannot be read."""
    bank = read.policy.bank

    # Register 7 is judged by the policy's own words; of it, only whether shim verifies what starts counts here.
    addons = tuple(addon for addon in read.addons if _was_loaded(addon, log, bank))
    boot = replace(with_logged(Boot(addons=addons), log), policy=None)
    explanations = [(_explain(image, log, bank, boot), image) for image in read.images]

    best, image = max(explanations, key=lambda item: _explained(item[0]), default=(None, None))
    judgement = judge(log, read.policy, best, image.name if image else "")
    return log_policy_view(name, bank, str(image) if image else None, judgement)


def _was_loaded(addon: Addon, log: EventLog, bank: str) -> bool:
    digest = addon.assembly.image_hash(bank).digest()
    registers = program_registers(log.kind)
    return any(event.register in registers and event.digests.get(bank) == digest for event in log.events)


def _explain(image: Path, log: EventLog, bank: str, boot: Boot) -> Explanation:
    layout = inspect_uki(image)
    contents = SectionDigests(layout, assemble(layout, digests=boot_digests((bank,), None)), (bank,))
    return explain(log, contents, cases(layout, None, find_profiles(layout, None)), boot)


def _explained(explanation: Explanation) -> int:
    return sum(item.verdict is RegisterVerdict.IMAGE for item in explanation.events)
