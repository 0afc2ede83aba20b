"""From arguments to an exit code."""

import argparse
import base64
import json
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from planstream_client.blocking import Planstream, Watch
from planstream_client.command.check import check
from planstream_client.command.interrupts import first_interrupt_stops
from planstream_client.command.options import parser, token_of
from planstream_client.command.view import lines, view_for
from planstream_client.errors import PlanstreamError, RefusedError, UnreachableError
from planstream_client.state import PlanState

DONE, FAILED, USAGE, STOPPED, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
_OF_STATUS = {"completed": DONE, "partial": STOPPED}


def main(given: list[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    arguments = parser().parse_args(given)
    try:
        token = token_of(arguments)
    except OSError as error:
        print(f"planstream: {error}", file=sys.stderr)
        return USAGE
    user = arguments.user or (_subject(token) if token else str(uuid4()))
    try:
        with Planstream(arguments.url, user_id=user, token=token) as client:
            return _COMMANDS[arguments.command](client, arguments)
    except RefusedError as refused:
        return _complain(arguments, refused.detail, refused.code, REFUSED)
    except UnreachableError as error:
        return _complain(arguments, f"{arguments.url} cannot be reached: {error}", "network", UNREACHABLE)
    except PlanstreamError as error:
        return _complain(arguments, str(error), "internal", FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def _complain(arguments: argparse.Namespace, detail: str, code: str, exit_code: int) -> int:
    if arguments.json:
        print(json.dumps({"error": {"code": code, "detail": detail}}))
    print(f"planstream: {detail} ({code})", file=sys.stderr)
    return exit_code


def _subject(token: str) -> str | None:
    """Whose token it is; the server is who judges it."""
    try:
        payload = token.split(".")[1]
        subject = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]
    except (IndexError, ValueError, KeyError, TypeError):
        return None
    return str(subject)


def _generate(client: Planstream, arguments: argparse.Namespace) -> int:
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    preference_id = client.save_inputs(
        arguments.goals,
        focus_areas=arguments.focus,
        available_hours=dict.fromkeys(days, arguments.hours),
        weeks=arguments.weeks,
        ambition=arguments.ambition,
    )
    if arguments.sync:
        return _print_plan(client.generate(preference_id), arguments)
    return _follow(client.start(preference_id), arguments)


def _watch(client: Planstream, arguments: argparse.Namespace) -> int:
    return _follow(client.watch(arguments.plan), arguments)


def _follow(watch: Watch, arguments: argparse.Namespace) -> int:
    view = view_for(as_json=arguments.json)
    with first_interrupt_stops(watch, view.warn), watch:
        for event in watch:
            view.show(event, watch)
    view.close(watch)
    return exit_code_of(watch)


def exit_code_of(state: PlanState) -> int:
    """What an end means to a script."""
    return FAILED if state.error is not None else _OF_STATUS.get(state.status, STOPPED)


def _print_plan(found: dict[str, Any], arguments: argparse.Namespace) -> int:
    print(json.dumps(found, ensure_ascii=False) if arguments.json else "\n".join(lines(found.get("plan"))))
    return _OF_STATUS.get(found["status"], DONE if found["status"] == "generating" else FAILED)


def _status(client: Planstream, arguments: argparse.Namespace) -> int:
    found = client.status(arguments.plan)
    percent = (found.get("progress") or {}).get("percent", 0)
    return _say(found, f"{found['status']} {found.get('phase') or ''} {percent:.0f} %".replace("  ", " "), arguments)


def _cancel(client: Planstream, arguments: argparse.Namespace) -> int:
    status = client.cancel(arguments.plan)
    return _say({"planId": arguments.plan, "status": status}, status, arguments)


def _show(client: Planstream, arguments: argparse.Namespace) -> int:
    _print_plan(client.plan(arguments.plan), arguments)
    return DONE


def _delete(client: Planstream, arguments: argparse.Namespace) -> int:
    client.delete(arguments.plan)
    return _say({"planId": arguments.plan, "deleted": True}, "deleted", arguments)


def _plans(client: Planstream, arguments: argparse.Namespace) -> int:
    found = client.plans(limit=arguments.limit)
    text = "\n".join(f"{plan['planId']}  {plan['status']:10}  {plan.get('createdAt', '')}" for plan in found["plans"])
    return _say(found, text or "no plans", arguments)


def _quota(client: Planstream, arguments: argparse.Namespace) -> int:
    found = client.quota()
    left = "no limit" if found["limit"] is None else f"{found['remaining']} of {found['limit']} left"
    return _say(found, f"{left}, {found['used']} used, {found['reserved']} being written", arguments)


def _batch(client: Planstream, arguments: argparse.Namespace) -> int:
    found = client.batch([client.save_inputs(goals) for goals in arguments.goals])
    text = [plan.get("planId") or f"refused: {plan['error']['detail']}" for plan in found["plans"]]
    _say(found, "\n".join(text), arguments)
    return DONE if all("planId" in plan for plan in found["plans"]) else REFUSED


def _check(client: Planstream, arguments: argparse.Namespace) -> int:
    good = True
    for finding in check(client):
        good = good and finding.ok
        line = {"check": finding.name, "ok": finding.ok, "detail": finding.detail}
        said = f"{'ok ' if finding.ok else 'BAD'} {finding.name}: {finding.detail}"
        print(json.dumps(line) if arguments.json else said, flush=True)
    return DONE if good else FAILED


def _say(found: Any, text: str, arguments: argparse.Namespace) -> int:
    print(json.dumps(found, ensure_ascii=False) if arguments.json else text)
    return DONE


_COMMANDS: dict[str, Callable[[Planstream, argparse.Namespace], int]] = {
    "generate": _generate,
    "watch": _watch,
    "status": _status,
    "cancel": _cancel,
    "show": _show,
    "delete": _delete,
    "plans": _plans,
    "quota": _quota,
    "batch": _batch,
    "check": _check,
}
