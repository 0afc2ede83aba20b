// The same stream by two packages that web pages use; prints the document that each holds in the end.
import { fetchEventSource } from "@microsoft/fetch-event-source";
import { EventSource } from "eventsource";

// That package is for browsers alone: it looks at whether its page is seen.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

const [url, user] = process.argv.slice(2);
const headers = { "X-User-Id": user };
const ENDS = ["complete", "cancelled", "error"];

function viaEventSource() {
  return new Promise((resolve) => {
    const source = new EventSource(url, { fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }) });
    for (const name of ENDS) {
      source.addEventListener(name, ({ data }) => {
        if (data === undefined) return;
        source.close();
        resolve(JSON.parse(data).plan);
      });
    }
  });
}

function viaFetchEventSource() {
  return new Promise((resolve, reject) => {
    let plan = null;
    fetchEventSource(url, {
      headers,
      onmessage({ event, data }) {
        if (ENDS.includes(event)) plan = JSON.parse(data).plan;
      },
      onclose: () => resolve(plan),
      onerror: (error) => {
        reject(error);
        throw error;
      },
    });
  });
}

const [eventsource, fetchEventSourceHeld] = await Promise.all([viaEventSource(), viaFetchEventSource()]);
console.log(JSON.stringify({ eventsource, fetchEventSource: fetchEventSourceHeld }));
