"""Write `docs/openapi.json` and `docs/asyncapi.yaml` from the wire models, or check that they are up to date.

python scripts/describe.py make
python scripts/describe.py check
"""

import argparse
import json
import sys
from pathlib import Path

import yaml

from common.asyncapi import asyncapi
from stream_gateway.description import openapi

DOCS = Path(__file__).resolve().parent.parent / "docs"


def documents() -> dict[Path, str]:
    """What each file should hold."""
    return {
        DOCS / "openapi.json": json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n",
        DOCS / "asyncapi.yaml": yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=120),
    }


def main() -> int:
    """The return value is the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=["make", "check"])
    command = parser.parse_args().command
    stale = {path: text for path, text in documents().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        if command == "make":
            path.write_text(text)
        print(f"{path.relative_to(DOCS.parent)} {'written' if command == 'make' else 'is stale: make describe'}")
    return 1 if stale and command == "check" else 0


if __name__ == "__main__":
    sys.exit(main())
