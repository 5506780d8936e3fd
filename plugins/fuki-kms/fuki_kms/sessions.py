"""The rules of `transport` for clients that use requests."""

from typing import Any

import requests
from fuki_build.network import is_local
from requests.adapters import HTTPAdapter
from urllib3.poolmanager import ProxyManager
from urllib3.util import Retry

from fuki_kms.remote import Service
from fuki_kms.transport import POOLS, refuse_clear


def open_session(service: Service, retries: Retry | None = None) -> requests.Session:
    """A session with limits on answers, which connects to this machine without a proxy."""
    session = requests.Session()
    mount(session, service, retries)
    return session


def mount(session: requests.Session, service: Service, retries: Retry | None = None) -> None:
    """Give an existing session the same limits as one from `open_session`."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(service, retries))


class _Adapter(HTTPAdapter):
    def __init__(self, service: Service, retries: Retry | None) -> None:
        self._service = service
        super().__init__(max_retries=Retry(0, read=False) if retries is None else retries)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as requests has them
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401 - as requests has them
        manager = super().proxy_manager_for(proxy, **kwargs)
        if type(manager) is ProxyManager:  # the one for SOCKS has its own connections
            manager.pool_classes_by_scheme = POOLS
        return manager

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,  # noqa: ANN401
        verify: bool | str = True,
        cert: Any = None,  # noqa: ANN401
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        url = request.url or ""
        refuse_clear(url, request.headers, self._service)
        return super().send(request, stream, timeout, verify, cert, {} if is_local(url) else proxies)
