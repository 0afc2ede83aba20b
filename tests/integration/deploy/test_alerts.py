"""Each alert fires when it should, and is silent when all is well: Prometheus's own `promtool` judges."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "deploy" / "kubernetes" / "components" / "monitoring"
RUNBOOK = ROOT / "deploy" / "README.md"

# Who sets it wants the tests: without a program there they fail instead of being left out.
GIVEN = os.environ.get("PROMTOOL", "")
PROMTOOL = GIVEN or shutil.which("promtool")

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool (Debian: prometheus), or PROMTOOL=/path/to/it")

RULES: dict[str, Any] = yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}

# Samples each half minute, for an hour: `a+bx120` grows by b at each of 120 samples.
G, W, P = "planstream_generator", "planstream_gateway", "planstream_plan_api"
HALF_MINUTE = "30s"
AN_HOUR = "x120"
_UP = {f"{W}_open_streams": "5x120", f"{G}_live_plans": "5x120", f"{P}_outbox_rows": "0x120"}
_COMPLETED = f'{G}_plans_ended_total{{status="completed",code="none"}}'
_FAILED = f'{G}_plans_ended_total{{status="failed",code="upstream_error"}}'
_LEFT = f'{G}_plans_ended_total{{status="failed",code="client_disconnected"}}'
_BROKEN = f'{G}_calls_broken_total{{code="upstream_error"}}'


def growing(by: float) -> str:
    """A counter."""
    return f"0+{by}{AN_HOUR}"


def steady(value: float) -> str:
    """A gauge."""
    return f"{value}{AN_HOUR}"


def spread(metric: str, below: str, rest: float = 10) -> dict[str, str]:
    """A histogram, all of whose values fall into the bucket that ends at `below`."""
    bounds = ["0.005", "0.25", "0.5", "1.0", "2.5", "5.0", "+Inf"]
    known = bounds.index(below)
    return {
        f'{metric}_bucket{{le="{bound}"}}': growing(rest if number >= known else 0)
        for number, bound in enumerate(bounds)
    }


# For each alert: what makes it fire, and what is near to that and does not.
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "PlanstreamPlansFail": (
        {_COMPLETED: growing(9), _FAILED: growing(1)},
        {_COMPLETED: growing(99), _FAILED: growing(1), _LEFT: growing(50)},
    ),
    "PlanstreamUpstreamErrors": (
        {_COMPLETED: growing(10), _BROKEN: growing(2)},
        {_COMPLETED: growing(100), _BROKEN: growing(2)},
    ),
    "PlanstreamPlansAreSlow": (
        {
            f'{G}_generation_seconds_sum{{status="completed"}}': growing(1000),
            f'{G}_generation_seconds_count{{status="completed"}}': growing(10),
        },
        {
            f'{G}_generation_seconds_sum{{status="completed"}}': growing(300),
            f'{G}_generation_seconds_count{{status="completed"}}': growing(10),
        },
    ),
    "PlanstreamPartialPlans": (
        {_COMPLETED: growing(10), f'{G}_next_calls_total{{purpose="continuation"}}': growing(3)},
        {
            _COMPLETED: growing(10),
            f'{G}_next_calls_total{{purpose="continuation"}}': growing(1),
            f'{G}_next_calls_total{{purpose="stream"}}': growing(9),
        },
    ),
    "PlanstreamJobsWait": ({f"{G}_jobs_waiting": steady(40)}, {f"{G}_jobs_waiting": steady(10)}),
    "PlanstreamOutboxIsOld": ({f"{P}_outbox_age_seconds": "0+30x120"}, {f"{P}_outbox_age_seconds": steady(2)}),
    "PlanstreamReservationsAreOld": (
        {f"{P}_unsettled_age_seconds": "0+30x120"},
        {f"{P}_unsettled_age_seconds": steady(300)},
    ),
    "PlanstreamSweeps": (
        {f'{G}_swept_total{{what="unannounced"}}': growing(1)},
        {f'{G}_swept_total{{what="unannounced"}}': "0x60 5x60"},
    ),
    "PlanstreamTakeovers": ({f"{G}_takeovers_total": growing(1)}, {f"{G}_takeovers_total": "0x60 5x60"}),
    "PlanstreamServiceIsDown": (
        {f"{W}_open_streams": "5x20", f"{G}_live_plans": steady(5), f"{P}_outbox_rows": steady(0)},
        _UP,
    ),
    "PlanstreamEventsAreLate": (
        spread(f"{W}_event_lag_seconds", "2.5") | spread(f"{G}_token_wait_seconds", "0.25"),
        spread(f"{W}_event_lag_seconds", "0.25") | spread(f"{G}_token_wait_seconds", "0.25"),
    ),
    "PlanstreamLoopIsLate": (
        {f'{W}_loop_lag_seconds{{instance="a"}}': steady(0.4), f'{G}_loop_lag_seconds{{instance="b"}}': steady(0)},
        {f'{W}_loop_lag_seconds{{instance="a"}}': steady(0.1), f'{G}_loop_lag_seconds{{instance="b"}}': steady(0)},
    ),
    "PlanstreamServerErrors": (
        {f'{W}_answers_total{{status="5xx"}}': growing(5), f'{W}_answers_total{{status="2xx"}}': growing(95)},
        {f'{W}_answers_total{{status="5xx"}}': growing(1), f'{W}_answers_total{{status="2xx"}}': growing(99)},
    ),
    "PlanstreamCancelsAreSlow": (spread(f"{W}_cancel_seconds", "5.0"), spread(f"{W}_cancel_seconds", "0.25")),
    "PlanstreamMessagesLost": (
        {f"{W}_gap_repairs_total": growing(10), f"{G}_messages_dropped_total": steady(0)},
        {f"{W}_gap_repairs_total": growing(1), f"{G}_messages_dropped_total": "0x60 20x60"},
    ),
    "PlanstreamRefusals": (
        {
            f'{P}_admissions_total{{result="quota_exceeded"}}': growing(6),
            f'{P}_admissions_total{{result="accepted"}}': growing(4),
        },
        {
            f'{P}_admissions_total{{result="quota_exceeded"}}': growing(1),
            f'{P}_admissions_total{{result="accepted"}}': growing(9),
        },
    ),
}


def promtool(*arguments: str) -> None:
    """Run it; what it says is why."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr


def judge(folder: Path, alert: str, series: dict[str, str], *, fires: bool) -> None:
    """After 45 minutes of these series."""
    rules, tests = folder / "rules.yaml", folder / "tests.yaml"
    rules.write_text(yaml.safe_dump(RULES))
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > 0'
    case = {
        "interval": HALF_MINUTE,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"{firing} or vector(0)",
                "eval_time": "45m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}],
            }
        ],
    }
    tests.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": HALF_MINUTE, "tests": [case]}))
    promtool("test", "rules", str(tests))


def test_the_rules_are_well_formed(tmp_path: Path) -> None:
    """Prometheus would load them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
    promtool("check", "rules", str(tmp_path / "rules.yaml"))


def test_every_alert_has_its_cases() -> None:
    """No alert without a case in which it fires, and one in which it is silent."""
    assert CASES.keys() == ALERTS.keys()


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires(tmp_path: Path, alert: str) -> None:
    """What it is about goes on for 45 minutes."""
    judge(tmp_path, alert, _UP | CASES[alert][0] if alert != "PlanstreamServiceIsDown" else CASES[alert][0], fires=True)


def test_messages_are_lost_at_either_end(tmp_path: Path) -> None:
    """What NATS does not take from a generator is as bad as what does not come to a gateway."""
    series = {f"{W}_gap_repairs_total": steady(0), f"{G}_messages_dropped_total": growing(10)}
    judge(tmp_path, "PlanstreamMessagesLost", _UP | series, fires=True)


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_is_silent(tmp_path: Path, alert: str) -> None:
    """All is well, or nearly."""
    judge(tmp_path, alert, _UP | CASES[alert][1], fires=False)


@pytest.mark.parametrize("alert", ALERTS)
def test_the_runbook_says_what_to_do(alert: str) -> None:
    """Each alert names its entry, which is there and says something."""
    assert ALERTS[alert]["annotations"]["runbook"] == f"deploy/README.md#{alert.lower()}"
    entry = re.search(rf"^#+ {alert}\n+(.+?)(?=^#|\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)
    assert entry, f"deploy/README.md has no entry {alert}"
    assert len(entry[1].split()) > 25
