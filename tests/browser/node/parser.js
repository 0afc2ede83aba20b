// Server-Sent Events cut at every place, and operations; prints what the module makes of them.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [module, cases] = process.argv.slice(2);
const { EventParser, fold } = await import(pathToFileURL(module));
const { streams, folds } = JSON.parse(await readFile(cases));

function parsed(pieces) {
  const parser = new EventParser();
  return { events: pieces.flatMap((piece) => parser.push(piece)), last: parser.lastEventId, retry: parser.retry };
}

console.log(JSON.stringify({
  streams: streams.map((text) => [...Array(text.length + 1).keys()].map((at) => parsed([text.slice(0, at), text.slice(at)]))),
  folds: folds.map((ops) => fold(null, ops)),
}));
