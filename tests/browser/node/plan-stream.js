// A plan from the inputs to its end by plan-stream.js as the gateway serves it; prints what it came to.
import { writeFile } from "node:fs/promises";
import { EventSource } from "eventsource";

const [gateway, user, transport, goals, planId, lastEventId] = process.argv.slice(2);
await writeFile("served-plan-stream.mjs", await (await fetch(`${gateway}/plan-stream.js`)).text());
const { PlanStream } = await import("./served-plan-stream.mjs");

const headers = { "X-User-Id": user };
let posts = 0;
const counting = (url, options) => {
  if (options.method === "POST" && url.endsWith("generate-plan")) posts += 1;
  return fetch(url, options);
};
class WithUser extends EventSource {
  constructor(url) {
    super(url, { fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }) });
  }
}
const client = new PlanStream({ baseUrl: gateway, headers, transport, fetch: counting, EventSource: WithUser });
const controller = new AbortController();
const { signal } = controller;
const watch = planId
  ? client.watch(planId, { lastEventId: lastEventId ?? null, signal })
  : client.start({ preferenceId: await client.saveInputs({ userId: user, goals }), userId: user }, { signal });
const names = [];
let stopped = null;
try {
  for await (const { event } of watch) {
    names.push(event);
    if (names.length === Number(process.env.ABORT_AFTER)) controller.abort();
  }
} catch (reason) {
  if (!controller.signal.aborted) throw reason;
  stopped = reason.name;
}
const { plan, status, error, reconnects } = watch;
console.log(JSON.stringify({ planId: watch.planId, names, plan, status, error, reconnects, posts, stopped, last: watch.lastEventId }));
