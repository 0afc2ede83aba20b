"""The part of docs/capacity.md that is generated: the figures it rests on, and what they come to. Pure."""

from collections.abc import Callable
from typing import Any

from planbench.capacity import PARTS, PLANS_AN_HOUR, Assumptions, Measured, Need, need

_ROWS: tuple[tuple[str, Callable[[Need], str]], ...] = (
    ("plans written at once", lambda it: _short(it.at_once)),
    *((f"cores of work: {part}", lambda it, part=part: _short(it.cores[part])) for part in PARTS),
    ("processes: generators", lambda it: f"{it.processes['generator']:,}"),
    ("processes: gateways", lambda it: f"{it.processes['gateway']:,}"),
    ("processes: plan-apis", lambda it: f"{it.processes['plan-api']:,}"),
    ("memory of these, with their streams, GiB", lambda it: _short(it.memory_gib)),
    ("connections: from viewers, and as many to the provider", lambda it: _short(it.at_once)),
    ("connections to Postgres, at most", lambda it: f"{it.postgres_connections:,}"),
    ("NATS: progress messages a second, in and as many out", lambda it: _short(it.messages)),
    ("NATS: MB a second, in and as many out", lambda it: _short(it.nats_megabytes)),
    ("JetStream: jobs and outcomes a second", lambda it: _short(it.durable_messages)),
    ("Postgres: rows saved a second", lambda it: _short(it.saved_rows)),
    ("Postgres: MB a second of these", lambda it: _short(it.saved_megabytes)),
    ("Postgres: GB of plans a day", lambda it: _short(it.stored_gigabytes_a_day)),
    ("rented cores", lambda it: f"{it.rented_cores:,}"),
    ("machines, $ an hour", lambda it: _short(it.cost_an_hour)),
    ("tokens, $ an hour", lambda it: _short(it.tokens_cost_an_hour)),
)


def capacity_section(results: dict[str, Any]) -> str | None:
    """What stands between the page's marks; None when the run has not measured what it needs."""
    measured = Measured.of(results)
    if measured is None:
        return None
    given = Assumptions()
    needs = [need(plans, measured, given) for plans in PLANS_AN_HOUR]
    return "\n\n".join([_figures(measured, given), _table(needs), _worked(needs[1], measured, given)])


def _figures(measured: Measured, given: Assumptions) -> str:
    rows = [
        "| measured, or assumed | |",
        "|---|---|",
        f"| plans at once on one core, PostgreSQL and NATS included | {measured.plans} |",
        *(f"| CPU seconds of a plan, {part} | {measured.cpu[part]:.4f} |" for part in PARTS),
        f"| events of a plan a second, at that load | {measured.updates:g} |",
        f"| bytes of an event | {measured.event_bytes:g} |",
        f"| memory of a gateway, an idle stream | {measured.stream_kib:g} KiB |",
        *(f"| memory of a {part} process | {measured.process_mib[part]:.0f} MiB |" for part in PARTS[:3]),
        f"| *assumed:* a plan takes | {given.seconds:g} s |",
        f"| *assumed:* share of a core that is planned for | {given.busy:g} |",
        f"| *assumed:* a core with 4 GiB, an hour | ${given.core_hour:g} |",
        f"| *assumed:* a million tokens from the provider | ${given.million_tokens:g} |",
    ]
    return "\n".join(rows)


def _table(needs: list[Need]) -> str:
    rows = [f"| plans an hour | {' | '.join(f'{it.plans_an_hour:,}' for it in needs)} |", "|---" * 4 + "|"]
    rows += [f"| {name} | {' | '.join(show(it) for it in needs)} |" for name, show in _ROWS]
    return "\n".join(rows)


def _worked(it: Need, measured: Measured, given: Assumptions) -> str:
    cpu = measured.cpu["generator"]
    lines = [
        f"The second column, worked: {it.plans_an_hour:,} plans an hour ÷ 3,600 s x {given.seconds:g} s "
        f"= {it.at_once:.1f} plans at once.",
        f"Generators: {it.plans_an_hour:,} ÷ 3,600 x {cpu:.4f} s = {it.cores['generator']:.2f} cores; "
        f"÷ {given.busy:g} and rounded up, {it.processes['generator']} processes.",
        f"NATS: {it.at_once:.1f} x {measured.updates:g} events a second = {it.messages:.0f} messages, "
        f"x {measured.event_bytes:g} bytes = {it.nats_megabytes:.2f} MB a second in, and the same out, as long "
        "as a plan's viewers are at one gateway.",
        f"Postgres: {it.at_once:.1f} ÷ {given.save_seconds:g} s = {it.saved_rows:.0f} rows a second, "
        f"x ({given.document_bytes:,} ÷ 2 + 500) bytes = {it.saved_megabytes:.2f} MB a second.",
        f"Money: {it.rented_cores} cores x ${given.core_hour:g} = ${it.cost_an_hour:.2f} an hour; the tokens, "
        f"{it.plans_an_hour:,} x {given.seconds * 50:,.0f} ÷ 10⁶ x ${given.million_tokens:g} "
        f"= ${it.tokens_cost_an_hour:,.0f}.",
    ]
    return "\n".join(f"- {line}" for line in lines).replace(" x ", " \N{MULTIPLICATION SIGN} ")


def _short(value: float) -> str:
    """Three digits are all that is known."""
    if value >= 1000:
        return f"{round(value, 2 - len(str(int(value))) + 1):,.0f}"
    return f"{value:.3g}"
