"""What a newer description of the API takes away from the clients of an older one. Pure."""

from typing import Any


def breaking_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line for each operation, parameter, answer, field or value that is gone, of another type, or required now."""
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
            found += _parameters(f"{method} {path}", operation, new[path][method])
            answers = new[path][method]["responses"]
            found += [
                f"{method} {path}: no answer {status} any more"
                for status in operation["responses"]
                if status not in answers
            ]
    return found


def _parameters(name: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before, after = (
        {(each["in"], each["name"]): each.get("required", False) for each in operation.get("parameters", ())}
        for operation in (old, new)
    )
    found = [f"{name}: no parameter {parameter} any more" for _, parameter in sorted(before.keys() - after.keys())]
    demanded = sorted(key for key, required in after.items() if required and not before.get(key, False))
    return found + [f"{name}: parameter {parameter} required now" for _, parameter in demanded]


def _values(name: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [
        f"{name}: no value {value} any more" for value in old.get("enum", ()) if value not in new.get("enum", [value])
    ]


def _schemas(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = []
    schemas = new["components"]["schemas"]
    for name, schema in sorted(old["components"]["schemas"].items()):
        if name not in schemas:
            found.append(f"{name}: gone")
            continue
        found += _values(name, schema, schemas[name])
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
            else:
                found += _values(f"{name}.{field}", kind, fields[field])
    return found
