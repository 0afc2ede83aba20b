// The stream protocol in the browser: Server-Sent Events over fetch, and the fold of operations into a document.

/** Yield {id, event, data} from a response body, whatever way its bytes are cut. */
export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const fields = { id: null, event: "message", data: null };
        for (const line of block.split("\n")) {
          const colon = line.indexOf(":");
          if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
        }
        if (fields.data !== null) yield { ...fields, data: JSON.parse(fields.data) };
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

const unescapeToken = (token) => token.replaceAll("~1", "/").replaceAll("~0", "~");

/** Apply `add`, `replace` and `append` (RFC 6902, and ours) in order; the document is changed in place. */
export function fold(document, ops) {
  for (const { op, path, value } of ops) {
    if (path === "") {
      document = op === "append" ? document + value : value;
      continue;
    }
    const tokens = path.split("/").slice(1).map(unescapeToken);
    const last = tokens.pop();
    let target = document;
    for (const token of tokens) target = target[token];
    if (op === "append") target[last] += value;
    else if (Array.isArray(target) && op === "add") target.splice(last === "-" ? target.length : Number(last), 0, value);
    else target[last] = value;
  }
  return document;
}
