"""Keep secret configuration values out of messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from routes.errors import Finding


class Secret(str):
    """A value that was set with `--secret`."""

    __slots__ = ()


def concealed(
    faults: Iterable[Finding], config: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield configuration faults without any part of a secret value.

    Args:
        faults: their resources begin with the configuration key.
        config: the whole configuration, keys with their namespace.
    """
    secret = [key for key, value in config.items() if isinstance(value, Secret)]
    for fault in faults:
        keys = [key for key in secret if fault.resource.startswith(key)]
        if not keys:
            yield fault
            continue
        yield replace(
            fault,
            resource=max(keys, key=len),
            problem="invalid value. It is a secret, so the reason isn't shown.",
            details=(),
            hint="Compare it with docs/configuration.md, or remove it.",
            command="",
        )
