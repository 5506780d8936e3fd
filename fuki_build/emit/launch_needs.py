"""What the launches that a recipe asks for need of a build, and whether there are any: most recipes have none."""

from collections.abc import Sequence

from fuki_build.emit.plan import Plan
from fuki_build.hooks.launch import DirectBootMode
from fuki_build.image.digest_plan import NO_DIGESTS, DigestNeeds, measured_in
from fuki_build.recipe.launch import LaunchRequest


def needs_image_file(requests: Sequence[LaunchRequest]) -> bool:
    """Whether a launch boots the finished image, which must then be there to be read."""
    return any(request.direct_boot is DirectBootMode.IMAGE for request in requests)


def will_launch(plan: Plan) -> bool:
    """Whether a build has launches to tell of: some are asked for, and there is firmware to start with."""
    if not plan.resolved.launches:
        return False
    from fuki_build.launch.boots import subjects  # noqa: PLC0415 - measuring is slow to load

    return any(True for _ in subjects(plan.uki))


def launch_digests(plan: Plan) -> DigestNeeds:
    """The digests of a recipe's images that its launches take."""
    launches = plan.resolved.launches
    if not launches:
        return NO_DIGESTS
    from fuki_build.launch.runtime import runtime_banks  # noqa: PLC0415 - measuring is slow to load

    sections = any(request.direct_boot is DirectBootMode.SECTIONS for request in launches)
    needs = DigestNeeds(sections=frozenset({"sha256"} if sections else ()))
    return needs | measured_in(runtime_banks(plan.host, launches))
