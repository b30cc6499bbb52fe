"""Parse a stack's configuration into one typed value, or report every fault."""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_origin

from annotated_types import Len
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from routes import commands
from routes.errors import Finding, SettingsError
from routes.model import NAMESPACE, Selector
from routes.networks import Network, parse_network
from routes.secrets import concealed

_BRIEF: Final = reprlib.Repr()
_BRIEF.maxstring = 60


def _entries(value: str) -> list[object]:
    """Split a comma-separated string, or parse the JSON text of a YAML list."""
    if value.lstrip().startswith(("[", "{")):
        items = json.loads(value)
        if not isinstance(items, list):
            raise ValueError("a map, not a list")
    else:
        items = value.split(",") if value.strip() else []
    return [item.strip() if isinstance(item, str) else item for item in items]


def _named(entries: list[object]) -> tuple[Selector, ...]:
    if not all(isinstance(entry, str) and entry for entry in entries):
        raise ValueError("one entry is empty or isn't text")
    return tuple(Selector(str(entry)) for entry in dict.fromkeys(entries))


def _networks(entries: list[object]) -> tuple[Network, ...]:
    networks = []
    for entry in entries:
        try:
            networks.append(parse_network(str(entry)))
        except ValueError as error:
            raise ValueError(f"{entry} {error}") from None
    return tuple(networks)


def _one_per_family(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    if len({network.version for network in networks}) < len(networks):
        raise ValueError("two networks of one IP family")
    return networks


def _without(prefix: str, kind: str) -> AfterValidator:
    """Refuse ids of another kind of resource."""

    def check(entries: tuple[Selector, ...]) -> tuple[Selector, ...]:
        for entry in entries:
            if entry.is_id and entry.text.startswith(prefix):
                raise ValueError(f"{entry} is the id of {kind}")
        return entries

    return AfterValidator(check)


_Entries = Annotated[
    tuple[Selector, ...],
    Len(1),
    BeforeValidator(_named),
    BeforeValidator(_entries),
]
_TAGS: Final = 50 - 3
"""Each takes a filter, besides those for name, VPC and state: "You can specify
up to 50 filters" (EC2 User Guide, "Find your Amazon EC2 resources")."""


class Settings(BaseModel):
    """One stack's configuration; the fields are its keys.

    In an error, a field's description completes "expected ...", and its example is in
    the command that sets it.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
    )

    _stack: str = PrivateAttr(default="")

    @property
    def stack(self) -> str:
        """The stack's name, for commands."""
        return self._stack

    route_tables: Annotated[_Entries, _without("i-", "an instance")] = Field(
        description="route table ids or Name tags, at least one",
        examples=["kubernetes"],
    )
    workers: Annotated[_Entries, _without("rtb-", "a route table")] = Field(
        description="Name tags or instance ids, at least one",
        examples=["worker-0,worker-1,worker-2"],
    )
    cluster_cidr: Annotated[
        tuple[Network, ...],
        Len(1),
        AfterValidator(_one_per_family),
        BeforeValidator(_networks),
        BeforeValidator(_entries),
    ] = Field(
        description="the cluster's pod range, one network per IP family",
        examples=["10.200.0.0/16"],
    )
    # Pulumi passes a YAML map as JSON text.
    worker_tags: Annotated[dict[str, str], BeforeValidator(json.loads)] = Field(
        default={},
        max_length=_TAGS,
        description=f"a map of at most {_TAGS} tags, text to text",
        examples=['{"cluster": "blue"}'],
    )
    min_workers: int = Field(
        default=1, ge=1, description="a whole number, at least 1", examples=["3"]
    )
    pod_cidr_key: str = Field(
        default="pod-cidr", min_length=1, description="a key", examples=["pod-cidr"]
    )
    pod_cidr_from: Literal["userData", "tag", "node"] = Field(
        default="userData", description="userData, tag or node", examples=["userData"]
    )
    kubeconfig: str = Field(
        default="",
        min_length=1,
        description="the path of a kubeconfig file",
        examples=["~/.kube/config"],
    )
    kube_context: str = Field(
        default="",
        min_length=1,
        description="the name of a context in the kubeconfig",
        examples=["lab"],
    )
    source_dest_check: Literal["warn", "disable"] = Field(
        default="warn", description="warn or disable", examples=["disable"]
    )
    unready: Literal["refuse", "skip"] = Field(
        default="refuse", description="refuse or skip", examples=["skip"]
    )
    protect: bool = Field(default=False, description="true or false", examples=["true"])
    max_removals: str = Field(
        default="100%",
        pattern=r"^([0-9]+|[0-9]{1,2}%|100%)$",
        description="a whole number of routes, or a percentage of the managed ones",
        examples=["25%"],
    )
    route_quota: int = Field(
        default=0,
        ge=0,
        description="a whole number, 0 for no check",
        examples=["500"],
    )


def load(config: Mapping[str, str], stack: str) -> Settings:
    """Read a stack's whole configuration, keys with their namespace, values as text.

    Raises:
        SettingsError: every key that is missing, unknown or invalid.
    """
    prefix = f"{NAMESPACE}:"
    values = {
        key.removeprefix(prefix): value
        for key, value in config.items()
        if key.startswith(prefix)
    }
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        details = error.errors()
        raise SettingsError(
            f"The configuration of stack {stack} (Pulumi.{stack}.yaml) is invalid.",
            concealed((_fault(detail, values, stack) for detail in details), config),
        ) from None
    settings._stack = stack  # noqa: SLF001 - the stack is not a key
    return settings


def _fault(detail: ErrorDetails, values: Mapping[str, Any], stack: str) -> Finding:
    key = str(detail["loc"][0])
    resource = f"{NAMESPACE}:{key}"
    fields = {str(field.alias): field for field in Settings.model_fields.values()}
    if key not in fields:
        return _misspelt(key, values, stack)
    field = fields[key]
    actual = f"found {_BRIEF.repr(values[key])}" if key in values else "it is not set"
    reason = detail["msg"].partition("Value error, ")[2]
    hint = "Set it, for example:"
    options: tuple[str, ...] = ()
    value = str((field.examples or [""])[0])
    if key in values and get_origin(field.annotation) in {tuple, dict}:
        hint, value = "Correct it:", "<corrected>"  # an example would lose entries
    if detail["type"] == "string_type" and len(detail["loc"]) > 1:
        resource += f'["{detail["loc"][1]}"]'
        text = json.dumps(detail["input"])
        actual = f"found {text}, which Pulumi has parsed as another type"
        hint, options, value = (
            "Set it as a string:",
            ("--path", "--type", "string"),
            text,
        )
    return Finding(
        resource=resource,
        problem=f"expected {field.description}; {actual}"
        + (f": {reason}." if reason else "."),
        hint=hint,
        command=commands.config_set(stack, resource, value, *options),
    )


def _misspelt(key: str, values: Mapping[str, Any], stack: str) -> Finding:
    """Suggest moving the value to the nearest key, if that is similar and not set."""
    known = [str(field.alias) for field in Settings.model_fields.values()]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
    hint = "Remove it:"
    command = commands.config_rm(stack, f"{NAMESPACE}:{key}")
    if near not in values and difflib.get_close_matches(key, [near]):
        hint = "Set that key instead, and remove this one:"
        move = commands.config_set(stack, f"{NAMESPACE}:{near}", str(values[key]))
        command = f"{move} && {command}"
    return Finding(
        resource=f"{NAMESPACE}:{key}",
        problem=f"there is no such key; the nearest name is {NAMESPACE}:{near}.",
        hint=hint,
        command=command,
    )
