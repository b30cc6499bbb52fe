"""The JSON Schemas of the files that `verify` writes; `make schemas` updates them."""

from __future__ import annotations

import json
from typing import Final

from pydantic.json_schema import GenerateJsonSchema

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
    return {
        name: json.dumps({"$schema": _Schema.schema_dialect, **schema}, indent=2) + "\n"
        for name, schema in schemas.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
