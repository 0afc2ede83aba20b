// Follows a plan as the AI SDK's chat does; prints the kinds of parts, the last message, and the errors.
import { DefaultChatTransport, readUIMessageStream } from "ai";

const [url, user] = process.argv.slice(2);
const transport = new DefaultChatTransport({
  headers: { "X-User-Id": user },
  prepareReconnectToStreamRequest: () => ({ api: url }),
});
const stream = await transport.reconnectToStream({ chatId: "plan" });
if (stream === null) {
  console.log(JSON.stringify({ nothing: true }));
} else {
  const types = [];
  const errors = [];
  const watched = stream.pipeThrough(
    new TransformStream({
      transform(chunk, controller) {
        types.push(chunk.type);
        controller.enqueue(chunk);
      },
    }),
  );
  let message;
  let states = 0;
  const onError = (error) => errors.push(error.message);
  for await (const state of readUIMessageStream({ stream: watched, onError })) {
    message = structuredClone(state);
    states += 1;
  }
  console.log(JSON.stringify({ types, errors, message, states }));
}
