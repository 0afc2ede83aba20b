/**
 * Planstream in a browser, or wherever there is `fetch`: start a plan, watch it being written, come back by itself.
 *
 * One module without dependencies; types are in plan-stream.d.ts, the protocol in docs/protocol.md.
 */

const TERMINAL = new Set(["complete", "cancelled", "error"]);
const EVENTS = ["connected", "snapshot", "progress", ...TERMINAL];
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
// A heartbeat comes every 15 s: a stream that says nothing for so long is cut, though nobody has told us.
const SILENCE = 45_000;
const START_TRIES = 4;

/** What went wrong, with the server's stable `code` where it has said one. */
export class PlanStreamError extends Error {
  constructor(message, { code = "network", status = 0, retryAfter = null } = {}) {
    super(message);
    this.name = "PlanStreamError";
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Cuts a stream of text into Server-Sent Events (WHATWG HTML, section 9.2.6), whatever way it comes in pieces. */
export class EventParser {
  #rest = "";
  #started = false;
  #fields = { event: "", data: null };
  lastEventId = "";
  retry = null;

  /** The events that are whole after this piece. */
  push(text) {
    if (!this.#started && text) {
      this.#started = true;
      text = text.replace(/^\uFEFF/, "");
    }
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter(Boolean);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#fields.event = value;
    else if (name === "data") this.#fields.data = this.#fields.data === null ? value : `${this.#fields.data}\n${value}`;
    else if (name === "id" && !value.includes("\0")) this.lastEventId = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return null;
  }

  #dispatch() {
    const { event, data } = this.#fields;
    this.#fields = { event: "", data: null };
    return data === null ? null : { event: event || "message", data, id: this.lastEventId };
  }
}

/** Apply operations (`add` and `replace` of RFC 6902, and our `append`) in order; the document changes in place. */
export function fold(document, ops) {
  for (const { op, path, value } of ops) {
    if (path === "") {
      document = op === "append" ? document + value : value;
      continue;
    }
    const tokens = path.split("/").slice(1).map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = tokens.pop();
    const target = tokens.reduce((held, token) => held[token], document);
    if (op === "append") target[last] += value;
    else if (Array.isArray(target) && op === "add") target.splice(last === "-" ? target.length : Number(last), 0, value);
    // Not by assignment: a key may be called `__proto__`.
    else Object.defineProperty(target, last, { value, writable: true, enumerable: true, configurable: true });
  }
  return document;
}

/** One plan that is watched: an async iterator of events, and what they come to. */
export class PlanWatch {
  plan = null;
  progress = null;
  status = "generating";
  phase = null;
  error = null;
  lastEventId = null;
  reconnects = 0;
  ended = false;
  #client;
  #events;

  constructor(client, planId, events) {
    this.#client = client;
    this.planId = planId;
    this.#events = events(this);
  }

  [Symbol.asyncIterator]() {
    return this.#events;
  }

  /** Watch to the end; what it came to. */
  async finished() {
    for await (const _ of this.#events);
    return this;
  }

  /** Stop the plan itself, not only the watching. */
  cancel() {
    return this.#client.cancel(this.planId);
  }

  /** Take an event; whether it was one of ours. */
  take({ event, data, id }) {
    if (!EVENTS.includes(event)) return null;
    const body = JSON.parse(data);
    if (event === "connected") {
      this.planId = body.planId;
      this.phase = body.phase ?? this.phase;
    } else {
      this.lastEventId = id;
      this.progress = body.progress ?? this.progress;
      this.phase = body.progress?.phase ?? null;
    }
    if (event === "progress") this.plan = fold(this.plan, body.ops);
    else if (event !== "connected" && "plan" in body) this.plan = body.plan;
    this.status = body.status ?? this.status;
    if (event === "error") this.error = { code: body.code, message: body.message, retryable: body.retryable };
    this.ended = TERMINAL.has(event);
    return { event, id: event === "connected" ? null : id, data: body };
  }
}

/** The gateway. */
export class PlanStream {
  #base;
  #headers;
  #fetch;
  #EventSource;

  /**
   * `headers`: an object, or a function of one, asked before each request. `transport`: "fetch" (the default) or
   * "eventsource", which cannot send headers: sign in by POST /api/session first.
   */
  constructor({ baseUrl = "", headers = {}, transport = "fetch", fetch = globalThis.fetch, EventSource = globalThis.EventSource } = {}) {
    this.#base = baseUrl.replace(/\/$/, "");
    this.#headers = headers;
    this.#fetch = (...given) => fetch(...given);
    this.#EventSource = transport === "eventsource" ? EventSource : null;
  }

  /** Store inputs; the preferenceId. */
  async saveInputs(inputs, { signal } = {}) {
    return (await this.#json("/api/plan/inputs", { body: inputs, signal })).preferenceId;
  }

  /** Start a plan and watch it. A start whose answer is lost is asked for again with the same key: that is one plan. */
  start(request, { idempotencyKey = globalThis.crypto.randomUUID(), signal } = {}) {
    return new PlanWatch(this, null, (watch) => this.#started(watch, request, idempotencyKey, signal));
  }

  /** Watch a plan, from where `lastEventId` stands or from its state of now. */
  watch(planId, { lastEventId = null, signal } = {}) {
    return new PlanWatch(this, planId, (watch) => {
      watch.lastEventId = lastEventId;
      return this.#followed(watch, null, signal);
    });
  }

  /** Stop a plan; the final status, or "cancelling". */
  async cancel(planId) {
    return (await this.#json(`/api/streaming/cancel/${planId}`, { method: "DELETE" })).status;
  }

  /** How a plan stands. */
  status(planId) {
    return this.#json(`/api/streaming/status/${planId}`);
  }

  /** A stored plan. */
  plan(planId) {
    return this.#json(`/api/plan/plans/${planId}`);
  }

  /** The user's plans, the newest first. */
  plans({ limit = 20, cursor } = {}) {
    return this.#json(`/api/plan/plans?${new URLSearchParams({ limit, ...(cursor ? { cursor } : {}) })}`);
  }

  /** What is left of the quota. */
  quota() {
    return this.#json("/api/plan/quota");
  }

  /** The synchronous way: the whole plan in one answer. */
  generate(request, { idempotencyKey = globalThis.crypto.randomUUID(), signal } = {}) {
    return this.#json("/api/plan/generate", { body: request, headers: { "Idempotency-Key": idempotencyKey }, signal });
  }

  async *#started(watch, request, key, signal) {
    const accept = this.#EventSource ? "application/json" : "text/event-stream";
    const headers = { "Idempotency-Key": key, Accept: accept };
    let response;
    for (let number = 1; !response; number++) {
      try {
        response = await this.#ask("/api/streaming/generate-plan", { body: request, headers, signal });
      } catch (error) {
        if (signal?.aborted || error.status || number === START_TRIES) throw error;
        await pauseFor(number, 0, signal);
      }
    }
    if (this.#EventSource) watch.planId = (await response.json()).planId;
    yield* this.#followed(watch, this.#EventSource ? null : response, signal);
  }

  async *#followed(watch, response, signal) {
    const connect = this.#EventSource ? () => this.#eventSource(watch, signal) : (first) => this.#stream(watch, first, signal);
    for (let failures = 0; !watch.ended; ) {
      let least = 0;
      try {
        for await (const given of connect(response)) {
          // What has come already is not wanted any more either.
          signal?.throwIfAborted();
          if (given.retry !== undefined) {
            least = given.retry;
            continue;
          }
          const event = watch.take(given);
          if (event === null) continue;
          failures = 0;
          yield event;
        }
        if (watch.ended) return;
      } catch (error) {
        if (signal?.aborted || (error.status && error.status < 500 && error.status !== 429)) throw error;
        least = (error.retryAfter ?? 0) * 1000;
      }
      if (!watch.planId) throw new PlanStreamError("The stream broke before it said which plan it is.");
      response = null;
      failures += 1;
      watch.reconnects += 1;
      await pauseFor(failures, least, signal);
    }
  }

  /** One connection over fetch. */
  async *#stream(watch, response, signal) {
    if (!response) {
      const headers = { Accept: "text/event-stream", ...(watch.lastEventId ? { "Last-Event-ID": watch.lastEventId } : {}) };
      response = await this.#ask(`/api/streaming/events/${watch.planId}`, { headers, signal });
    }
    if (response.status === 204) {
      watch.ended = true;
      return;
    }
    const parser = new EventParser();
    // Not by a TextDecoderStream: piped, a broken connection rejects a promise that nobody holds.
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    let timer;
    try {
      for (;;) {
        timer = setTimeout(() => reader.cancel().catch(() => {}), SILENCE);
        const { done, value } = await reader.read();
        clearTimeout(timer);
        if (done) break;
        yield* parser.push(decoder.decode(value, { stream: true }));
        if (watch.ended) break;
      }
      if (parser.retry !== null) yield { retry: parser.retry };
    } finally {
      clearTimeout(timer);
      reader.cancel().catch(() => {});
    }
  }

  /** One EventSource, which comes back by itself; it ends with the plan, or when it has given up. */
  async *#eventSource(watch, signal) {
    const query = watch.lastEventId ? `?lastEventId=${encodeURIComponent(watch.lastEventId)}` : "";
    const source = new this.#EventSource(`${this.#base}/api/streaming/events/${watch.planId}${query}`, { withCredentials: true });
    const waiting = [];
    let wake = () => {};
    const put = (item) => {
      waiting.push(item);
      wake();
    };
    for (const event of EVENTS) {
      source.addEventListener(event, (given) => {
        // The connection's own `error` has no data; the protocol's has.
        if (typeof given.data === "string") put({ event, data: given.data, id: given.lastEventId });
        else if (source.readyState === 2) put(null);
      });
    }
    const abort = () => put(null);
    signal?.addEventListener("abort", abort);
    try {
      for (;;) {
        while (waiting.length) {
          const item = waiting.shift();
          if (item === null) {
            signal?.throwIfAborted();
            return;
          }
          yield item;
          if (watch.ended) return;
        }
        await new Promise((resolve) => (wake = resolve));
      }
    } finally {
      source.close();
      signal?.removeEventListener("abort", abort);
    }
  }

  async #json(path, options = {}) {
    return (await this.#ask(path, options)).json();
  }

  async #ask(path, { method, body, headers = {}, signal } = {}) {
    const own = typeof this.#headers === "function" ? await this.#headers() : this.#headers;
    const sent = { ...own, ...headers, ...(body ? { "Content-Type": "application/json" } : {}) };
    const options = { method: method ?? (body ? "POST" : "GET"), headers: sent, body: body && JSON.stringify(body), signal, cache: "no-store" };
    let response;
    try {
      response = await this.#fetch(this.#base + path, options);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new PlanStreamError("The server cannot be reached.");
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    const retryAfter = Number(response.headers.get("Retry-After")) || null;
    throw new PlanStreamError(problem.detail ?? `HTTP ${response.status}`, { code: problem.code ?? "internal", status: response.status, retryAfter });
  }
}

/** Longer each time, never all clients at once, and not less than was asked for. */
function pauseFor(failures, least, signal) {
  const longest = Math.min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE);
  const pause = Math.max(least, longest * (0.5 + Math.random() / 2));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, pause);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
