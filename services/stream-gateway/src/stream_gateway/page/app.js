// The reference page: a form becomes a plan that is watched, stopped, resumed, tried again.
import { headers, read } from "./inputs.js";
import { PlanStream } from "/plan-stream.js";
import { PlanView } from "./plan-view.js";
import { refresh } from "./shelf.js";
import { clockText, endText, faultText, phaseText } from "./words.js";

const $ = (id) => document.getElementById(id);
const client = new PlanStream({ headers });
const view = new PlanView();

const SETTLED = 600;

let watch = null;
let stopWatching = new AbortController();
let wish = null;
let began = 0;

function announce(text) {
  if ($("live").textContent !== text) $("live").textContent = text;
}

function draw() {
  const busy = watch !== null && !watch.ended;
  const { progress } = watch ?? {};
  view.draw(watch?.plan ?? null, busy, watch === null);
  $("meter").hidden = watch === null;
  $("meter").classList.toggle("busy", busy);
  $("bar").value = progress?.percent ?? 0;
  $("phase").textContent = !watch ? "" : busy ? phaseText(watch.phase) : endText(watch);
  const elapsed = busy ? Math.max(progress?.elapsedMs ?? 0, performance.now() - began) : (progress?.elapsedMs ?? 0);
  const speed = progress?.tokensPerSecond ? ` · ${Math.round(progress.tokensPerSecond)} tokens/s` : "";
  $("numbers").textContent = watch ? `${Math.round(progress?.percent ?? 0)} %${speed} · ${clockText(elapsed)}` : "";
  $("cancel").hidden = !busy;
  $("start").disabled = busy;
}

/** For ears: a phase, and each week that is whole; not every word. */
function tell() {
  const weeks = watch.progress?.weeksCompleted ?? 0;
  const total = watch.progress?.weeksTotal;
  announce(watch.ended ? endText(watch) : weeks ? `${weeks} of ${total} weeks written` : phaseText(watch.phase));
}

let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function complain(code, said) {
  $("trouble-text").textContent = faultText(code, said);
  $("again").hidden = wish === null;
  $("at-once").hidden = wish === null || ["quota_exceeded", "content_refused", "unauthorized", "not_found"].includes(code);
  $("trouble").hidden = false;
  if (code === "unauthorized") $("sign-in").open = true;
}

function place(planId) {
  const url = planId ? `?plan=${planId}` : location.pathname;
  if (location.search !== (planId ? url : "")) history.pushState({ planId }, "", url);
}

/** On a narrow screen the plan is below the form. */
function bringIntoSight() {
  const sheet = document.querySelector(".sheet");
  if (sheet.getBoundingClientRect().top > innerHeight / 2) sheet.scrollIntoView({ behavior: "smooth", block: "start" });
}

async function follow(next, controller) {
  watch = next;
  began = performance.now();
  $("trouble").hidden = true;
  draw();
  bringIntoSight();
  try {
    for await (const { event } of watch) {
      if (watch !== next) return;
      if (event === "connected") place(watch.planId);
      drawSoon();
      tell();
    }
  } catch (error) {
    if (controller.signal.aborted || watch !== next) return;
    watch.ended = true;
    complain(error.code, error.message);
  }
  if (watch !== next) return;
  if (watch.error) complain(watch.error.code, watch.error.message);
  draw();
  // Accounts hear of an end a moment after its viewers.
  setTimeout(refresh, SETTLED, client, open);
}

function leave() {
  stopWatching.abort();
  stopWatching = new AbortController();
  return stopWatching;
}

function open(planId) {
  wish = null;
  const controller = leave();
  place(planId);
  follow(client.watch(planId, { signal: controller.signal }), controller);
  $("plan").focus({ preventScroll: false });
}

async function write() {
  const controller = leave();
  $("start").disabled = true;
  try {
    const preferenceId = await client.saveInputs(wish, { signal: controller.signal });
    await follow(client.start({ preferenceId, userId: wish.userId }, { signal: controller.signal }), controller);
  } catch (error) {
    if (controller.signal.aborted) return;
    $("start").disabled = false;
    complain(error.code, error.message);
  }
}

async function writeAtOnce() {
  const controller = leave();
  $("trouble").hidden = true;
  $("at-once").disabled = true;
  announce("Writing the whole plan; this takes a while");
  $("phase").textContent = "Writing the whole plan, without the live view";
  try {
    const preferenceId = await client.saveInputs(wish, { signal: controller.signal });
    const { planId } = await client.generate({ preferenceId, userId: wish.userId }, { signal: controller.signal });
    open(planId);
  } catch (error) {
    complain(error.code, error.message);
  } finally {
    $("at-once").disabled = false;
  }
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const inputs = read();
  if (inputs === null) return;
  wish = inputs;
  $("trouble").hidden = true;
  write();
});
$("cancel").addEventListener("click", async () => {
  $("cancel").disabled = true;
  await watch.cancel().catch((error) => complain(error.code, error.message));
  $("cancel").disabled = false;
});
$("again").addEventListener("click", write);
$("at-once").addEventListener("click", writeAtOnce);
$("token").addEventListener("change", () => refresh(client, open));
addEventListener("popstate", show);

function show() {
  const planId = new URLSearchParams(location.search).get("plan");
  if (planId) return open(planId);
  leave();
  watch = null;
  draw();
  refresh(client, open);
}

setInterval(() => watch && !watch.ended && drawSoon(), 1000);
show();
