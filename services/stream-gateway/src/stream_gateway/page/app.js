// The reference client: start a plan, watch it being written, come back with the last id after a cut, cancel.
import { fold, readEvents } from "./stream.js";

const $ = (id) => document.getElementById(id);
const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const TERMINAL = new Set(["complete", "cancelled", "error"]);
const LONGEST_PAUSE = 10000;

// Without a token we are whoever we say we are: the gateway believes that in development only.
const userId = localStorage.getItem("userId") ?? crypto.randomUUID();
localStorage.setItem("userId", userId);

let run = null;

function headers(more = {}) {
  const token = $("token").value.trim();
  return token ? { Authorization: `Bearer ${token}`, ...more } : { "X-User-Id": userId, ...more };
}

async function post(path, body, more) {
  const response = await fetch(path, {
    method: "POST",
    headers: headers({ "Content-Type": "application/json", ...more }),
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).detail ?? `HTTP ${response.status}`);
  return response;
}

function inputs() {
  const user = $("token").value.trim() ? JSON.parse(atob($("token").value.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub : userId;
  return {
    userId: user,
    goals: $("goals").value,
    focusAreas: $("focus").value.split(",").map((area) => area.trim()).filter(Boolean),
    availableHours: Object.fromEntries(DAYS.map((day) => [day, Number($("hours").value)])),
    weeks: Number($("weeks").value),
  };
}

function asText(plan) {
  if (!plan) return "";
  const lines = [plan.monthly_summary ?? ""];
  for (const week of plan.weekly_breakdown ?? []) {
    lines.push("", `Week ${week.week ?? ""}: ${week.focus ?? ""}`);
    for (const goal of week.goals ?? []) lines.push(`  * ${goal}`);
    for (const day of DAYS) {
      for (const task of week.daily_tasks?.[day] ?? []) {
        const time = `${task.start_time ?? ""}-${task.end_time ?? ""}`;
        lines.push(`  ${day} ${time} ${task.description ?? ""} (${task.focus_area ?? ""})`);
      }
    }
  }
  return lines.join("\n");
}

function draw(state) {
  if (state.drawing) return;
  state.drawing = true;
  requestAnimationFrame(() => {
    state.drawing = false;
    $("plan").textContent = asText(state.plan);
    $("bar").value = state.percent;
    $("status").textContent = state.text;
  });
}

function take(state, { event, data, id }) {
  if (id) state.lastId = id;
  if (event === "connected") state.planId = data.planId;
  if (event === "snapshot" || event === "complete") state.plan = data.plan;
  if (event === "progress") state.plan = fold(state.plan, data.ops);
  if ((event === "cancelled" || event === "error") && data.plan) state.plan = data.plan;
  state.percent = data.progress?.percent ?? state.percent;
  const phase = data.progress?.phase ?? data.phase ?? data.status;
  state.text = event === "error" ? data.message : `${event === "cancelled" ? "cancelled" : phase} · ${Math.round(state.percent)} %`;
  state.ended = TERMINAL.has(event);
  $("cancel").disabled = state.ended;
  draw(state);
}

async function follow(state, response) {
  for (let pause = 500; run === state; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    try {
      for await (const event of readEvents(response.body)) {
        if (run !== state) return;
        take(state, event);
        pause = 500;
      }
    } catch (error) {
      console.info("stream cut", error);
    }
    if (state.ended) return;
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
    const last = state.lastId ? { "Last-Event-ID": state.lastId } : {};
    response = await fetch(`/api/streaming/events/${state.planId}`, { headers: headers(last) }).catch(() => new Response(""));
    if (response.status === 204) return;
    if (!response.ok && response.status < 500) throw new Error(`HTTP ${response.status}`);
  }
}

$("form").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const state = (run = { plan: null, planId: null, lastId: null, percent: 0, text: "…", ended: false, drawing: false });
  $("start").disabled = true;
  draw(state);
  try {
    const wish = inputs();
    const { preferenceId } = await (await post("/api/plan/inputs", wish)).json();
    // One key for this press of the button: if the answer is lost, the same plan is found again.
    const start = { preferenceId, userId: wish.userId };
    const response = await post("/api/streaming/generate-plan", start, { "Idempotency-Key": crypto.randomUUID() });
    await follow(state, response);
  } catch (error) {
    state.text = error.message;
    draw(state);
  } finally {
    $("start").disabled = false;
    $("cancel").disabled = true;
  }
});

$("cancel").addEventListener("click", async () => {
  if (!run?.planId) return;
  $("cancel").disabled = true;
  const response = await fetch(`/api/streaming/cancel/${run.planId}`, { method: "DELETE", headers: headers() });
  if (!response.ok) $("cancel").disabled = false;
});
