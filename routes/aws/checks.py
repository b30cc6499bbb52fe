"""Turn off the source/destination check of workers' interfaces."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from routes.aws.clients import Clients
from routes.errors import NotFoundError


def turn_off(clients: Clients, interface_ids: Iterable[str]) -> None:
    """Turn the check of each interface off; one that was deleted is left out.

    Raises:
        DeniedError: the permissions in policies/checks.json are missing.
        LookupFailedError: a call failed for good.
    """
    for interface_id in interface_ids:
        with (
            suppress(NotFoundError),
            clients.explained("ModifyNetworkInterfaceAttribute"),
        ):
            clients.ec2.modify_network_interface_attribute(
                NetworkInterfaceId=interface_id, SourceDestCheck={"Value": False}
            )
