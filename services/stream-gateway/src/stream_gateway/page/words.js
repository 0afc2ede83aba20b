// What a person reads: phases, ends and faults in plain words.

const PHASES = {
  queued: "Waiting for a free writer",
  connecting: "Asking the model",
  streaming: "Writing",
  retrying: "The model stumbled, so we ask again",
  validating: "Checking the plan",
};

const FAULTS = {
  quota_exceeded: "Your plans for this month are used up.",
  too_many_running: "Several of your plans are being written. Wait for one to end, or stop one.",
  too_many_streams: "Too many of your pages watch plans. Close one of them.",
  rate_limited: "That was too fast. Wait a moment.",
  unauthorized: "Please sign in: open “Sign in” and paste your access token.",
  upstream_rate_limited: "The model has too much to do just now.",
  upstream_error: "The model broke off and could not be reached again.",
  upstream_timeout: "The model did not answer in time.",
  content_refused: "The model does not want to write about this. Put your goals in other words.",
  invalid_plan: "What the model wrote is not a whole plan.",
  client_disconnected: "Nobody was watching any more, so the plan was stopped.",
  queue_timeout: "Nobody was free to write the plan in time.",
  unavailable: "The service is not there just now.",
  network: "There is no connection to the server.",
};

export const phaseText = (phase) => PHASES[phase] ?? "Starting";

export function endText(watch) {
  if (watch.status === "completed") return "Done";
  if (watch.error) return "Not finished";
  return watch.status === "partial" ? "Stopped, and kept as far as it was written" : "Stopped";
}

export const faultText = (code, said) => FAULTS[code] ?? said ?? "Something went wrong.";

/** 65000 → "1:05". */
export function clockText(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export const STATUS_TEXT = { generating: "being written", completed: "complete", partial: "stopped", failed: "failed" };
