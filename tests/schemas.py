"""The JSON Schemas of what `verify` writes, and the Pulumi schema of the component.

`make schemas` updates them.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pulumi.provider.experimental.component import ComponentProvider
from pydantic.json_schema import GenerateJsonSchema

from component.pod_network_routes import PodNetworkRoutes
from component.version import VERSION
from routes.report.document import Document
from routes.verify import snapshot
from sandbox import TOP

FOLDER: Final = TOP / "docs/schema"


class _Schema(GenerateJsonSchema):
    """Leave out the titles, which only repeat the keys."""

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False


def texts() -> dict[str, str]:
    """Return the content of each file in docs/schema."""
    schemas = {
        "verification.json": Document.model_json_schema(
            mode="serialization", schema_generator=_Schema
        ),
        "snapshot.json": snapshot.FORMAT.json_schema(
            mode="serialization", schema_generator=_Schema
        ),
    }
    schemas = {
        name: {"$schema": _Schema.schema_dialect, **schema}
        for name, schema in schemas.items()
    }
    schemas["component.json"] = component()
    return {
        name: json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()
    }


def component() -> dict[str, Any]:
    """Return what `pulumi package get-schema` derives from the component."""
    provider = ComponentProvider([PodNetworkRoutes], "pod-routes", version=VERSION)
    schema: dict[str, Any] = json.loads(provider.schema or "")
    return schema


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
