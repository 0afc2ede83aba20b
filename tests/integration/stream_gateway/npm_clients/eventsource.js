// Follows a plan or a batch until the server says that there is no more to come; prints every event.
import { EventSource } from "eventsource";

const [url, user, ...names] = process.argv.slice(2);
const withUser = (input, init) => fetch(input, { ...init, headers: { ...init.headers, "X-User-Id": user } });
const source = new EventSource(url, { fetch: withUser });
const events = [];
let opened = 0;
source.onopen = () => (opened += 1);
for (const name of names) {
  source.addEventListener(name, (event) => {
    if (event.data !== undefined) events.push({ name, id: event.lastEventId, data: JSON.parse(event.data) });
  });
}
source.addEventListener("error", (event) => {
  if (source.readyState === EventSource.CLOSED) {
    console.log(JSON.stringify({ events, opened, code: event.code ?? null }));
  }
});
