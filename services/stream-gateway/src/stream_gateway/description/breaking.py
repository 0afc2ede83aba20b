"""What a newer description of the API takes away from the clients of an older one. Pure."""

from typing import Any


def breaking_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line for each operation, answer or field that has gone or changed its type, or that is required newly."""
    return [*_paths(old["paths"], new["paths"]), *_schemas(old, new)]


def _paths(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = []
    for path, methods in old.items():
        if path not in new:
            found.append(f"{path}: gone")
            continue
        for method, operation in methods.items():
            if method not in new[path]:
                found.append(f"{method} {path}: gone")
                continue
            answers = new[path][method]["responses"]
            found += [
                f"{method} {path}: no answer {status} any more"
                for status in operation["responses"]
                if status not in answers
            ]
    return found


def _schemas(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = []
    schemas = new["components"]["schemas"]
    for name, schema in sorted(old["components"]["schemas"].items()):
        if name not in schemas:
            found.append(f"{name}: gone")
            continue
        fields = schemas[name].get("properties", {})
        demanded = set(schemas[name].get("required", ())) - set(schema.get("required", ()))
        # What an answer always holds now is no burden; only what is sent is.
        if name.endswith(("Request", "Inputs")):
            found += [f"{name}.{field}: required now" for field in sorted(demanded)]
        for field, kind in sorted(schema.get("properties", {}).items()):
            if field not in fields:
                found.append(f"{name}.{field}: gone")
            elif kind.get("type") != fields[field].get("type"):
                found.append(f"{name}.{field}: {kind.get('type')} became {fields[field].get('type')}")
    return found
