"""The version of what plugins see: hooks, base classes, and the records that pass through them.

It is `HOOK_API`, a major and a minor number. Additions raise the minor one: a hook, a method with a default, a field at
the end of a record. What a plugin may use today it may use under the same major number. What is to go is marked first:
a hook with `warn_on_impl`, an argument with `warn_on_impl_args` (pluggy), each with a `deprecated`, which authors see
while their tests run, and users as one line. It goes with the next major number, and some release warned of it before.
"""

import re
from typing import Any

from fuki_build.errors import HookDeprecationWarning, PluginError

HOOK_API = (1, 0)
"""Major and minor number."""
STATEMENT = "fuki_hook_api"
"""The name in a plugin's module that says which it was written for."""
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})")


def check_hook_api(module: Any) -> None:  # noqa: ANN401 - pluggy takes any object
    """Raise `PluginError` for a plugin that states another version than works here; one may state none."""
    stated = getattr(module, STATEMENT, None)
    if stated is None:
        return

    numbers = _VERSION.fullmatch(stated) if isinstance(stated, str) else None
    own = ".".join(map(str, HOOK_API))
    if numbers is None:
        raise PluginError(f"its {STATEMENT} is {stated!r}", hint=f'write: {STATEMENT} = "{own}"')

    major, minor = int(numbers[1]), int(numbers[2])
    if major == HOOK_API[0] and minor <= HOOK_API[1]:
        return
    newer = (major, minor) > HOOK_API
    raise PluginError(
        f"it is written for version {stated} of the hooks, and this fuki has {own}",
        hint="install a newer fuki-build" if newer else f"install a version of the plugin for {own}",
    )


def deprecated(since: str, instead: str) -> HookDeprecationWarning:
    """For `warn_on_impl` of a hook and `warn_on_impl_args`: what plugins should not use from version `since` on."""
    return HookDeprecationWarning(
        f"deprecated since version {since} of the hooks, and gone in {HOOK_API[0] + 1}.0: {instead}"
    )
