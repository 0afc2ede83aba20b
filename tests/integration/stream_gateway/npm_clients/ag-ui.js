// Follows a plan as an AG-UI agent; each event is checked by the package's own schemas and order of events.
import { HttpAgent } from "@ag-ui/client";
import { EventSchemas } from "@ag-ui/core/schemas";

const [url, user, held] = process.argv.slice(2);

class PlanAgent extends HttpAgent {
  requestInit() {
    return { method: "GET", headers: { "X-User-Id": user, Accept: "text/event-stream" } };
  }
}

const types = [];
const wrong = [];
let failure = null;
const agent = new PlanAgent({ url, initialState: held ? JSON.parse(held) : undefined });
const subscriber = {
  onEvent({ event }) {
    types.push(event.type);
    const checked = EventSchemas.safeParse(event);
    if (!checked.success) wrong.push({ event, error: String(checked.error) });
  },
  onRunErrorEvent({ event }) {
    failure = { message: event.message, code: event.code };
  },
};
let result = null;
try {
  result = (await agent.runAgent({}, subscriber)).result;
} catch (error) {
  failure ??= { message: String(error) };
}
console.log(JSON.stringify({ types, wrong, failure, result, state: agent.state }));
