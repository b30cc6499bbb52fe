"""Declare one VPC route per Kubernetes worker: its pod CIDR to its interface."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import pulumi

from routes import cache, settings
from routes.aws.access import load_access
from routes.aws.checks import turn_off
from routes.aws.clients import connect
from routes.aws.discovery import look_up
from routes.engine import state
from routes.engine.declaration import declare
from routes.engine.identity import provider_identity
from routes.errors import RoutesError, truncated
from routes.planning import plan

try:
    stack = state.current()
    configured = settings.load(stack.config, stack.name)
    access = load_access(stack.config, stack.name)
    lookup = ThreadPoolExecutor().submit(
        look_up, access, configured, stack.cached, stack.owners
    )
    identity = provider_identity(lookup)  # the provider takes as long to start
    discovery = lookup.result()
    gc.freeze()  # else exit walks all modules: 8 % of a preview of 50 workers at 40 ms
    identity.require(discovery.account, discovery.region)
    planned = plan.validated(configured, discovery, stack)
    if planned.checked and not pulumi.runtime.is_dry_run():
        turn_off(connect(access, discovery.region), planned.checked)
except RoutesError as error:
    raise pulumi.RunError(str(error)) from None

if planned.checked:
    verb = "The update turns" if pulumi.runtime.is_dry_run() else "Turned"
    rows = truncated((f"{id_} of {name}" for id_, name in planned.checked.items()), 10)
    heading = f"{verb} off the source/destination check of:"
    pulumi.log.info("\n  ".join((heading, *rows)))
for finding in (*planned.problems, *planned.warnings):
    pulumi.log.warn(str(finding))

pulumi.export("routes", declare(planned, stack, protect=configured.protect))
pulumi.export("account", discovery.account)
pulumi.export("region", discovery.region)
pulumi.export("vpcId", planned.vpc.id)
pulumi.export(cache.OUTPUT, cache.to_output(planned.workers, configured))
