"""Make the calls of suggested `aws ec2` commands."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from botocore import xform_name

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def call(ec2: EC2Client, command: str) -> None:
    """Make the call of a command, with the parameters that its options name."""
    words = shlex.split(command)
    assert words[:2] == ["aws", "ec2"]
    if words[2] == "wait":
        return  # the sandbox's instances change their state at once
    method = words[2].replace("-", "_")
    model = ec2.meta.service_model.operation_model(
        ec2.meta.method_to_api_mapping[method]
    )
    members = {
        xform_name(name, "-"): (name, shape)
        for name, shape in model.input_shape.members.items()  # type: ignore[union-attr]
    }
    request: dict[str, Any] = {}
    rest = iter(words[3:])
    for word in rest:
        option = word.removeprefix("--")
        if option == "region":
            next(rest)
        elif option in {"egress", "ingress"}:
            request["Egress"] = option == "egress"
        elif option.startswith("no-"):
            request[members[option.removeprefix("no-")][0]] = {"Value": False}
        else:
            name, shape = members[option]
            request[name] = _value(shape.type_name, next(rest))
    getattr(ec2, method)(**request)


def _value(kind: str, text: str) -> object:
    if kind == "integer":
        return int(text)
    if kind == "structure":
        pairs = (part.split("=") for part in text.split(","))
        return {key: int(value) for key, value in pairs}
    if kind == "list":
        return json.loads(text) if text.startswith("[") else [text]
    return text
