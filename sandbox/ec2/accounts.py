"""What moto's accounts hold, kept and put back whole.

Ids are part of it, so that a Pulumi state written beside it stays true.
"""

from __future__ import annotations

import pickle

from moto.backends import get_backend
from moto.core.base_backend import BackendDict


def save() -> bytes:
    """Return all that is in every account and region."""
    return pickle.dumps(
        {
            service.service_name: {each: dict(service[each]) for each in service}
            for service in BackendDict._instances  # noqa: SLF001 - there is no other
        }
    )


def restore(saved: bytes) -> None:
    """Let the accounts hold what they held, and nothing else."""
    BackendDict.reset()
    for service, accounts in pickle.loads(saved).items():  # noqa: S301 - our own
        for account, regions in accounts.items():
            for region, held in regions.items():
                get_backend(service)[account][region] = held
