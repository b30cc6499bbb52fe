"""Save and restore the content of moto's accounts.

Ids are part of it, so a Pulumi state that is saved with it stays valid.
"""

from __future__ import annotations

import pickle

from moto.backends import get_backend
from moto.core.base_backend import BackendDict


def save() -> bytes:
    """Return the content of every account and region."""
    return pickle.dumps(
        {
            service.service_name: {each: dict(service[each]) for each in service}
            for service in BackendDict._instances  # noqa: SLF001 - there is no other
        }
    )


def restore(saved: bytes) -> None:
    """Replace the content of every account by what was saved."""
    BackendDict.reset()
    for service, accounts in pickle.loads(saved).items():  # noqa: S301 - our own
        for account, regions in accounts.items():
            for region, backend in regions.items():
                get_backend(service)[account][region] = backend
