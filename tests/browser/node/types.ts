import { PlanStream, PlanStreamError, type PlanEvent } from "./plan-stream.js";

export async function written(user: string): Promise<string | undefined> {
  const client = new PlanStream({ baseUrl: "https://plans.example.com", headers: () => ({ Authorization: "Bearer …" }) });
  const stop = new AbortController();
  const preferenceId = await client.saveInputs({ userId: user, goals: "Sing" });
  const watch = client.start({ preferenceId, userId: user }, { signal: stop.signal });
  const take = ({ event, data }: PlanEvent): number => (event === "progress" ? data.ops.length : 0);
  try {
    for await (const event of watch) take(event);
  } catch (error) {
    if (error instanceof PlanStreamError && error.code === "quota_exceeded") return undefined;
    throw error;
  }
  // @ts-expect-error: there is no such status
  if (watch.status === "done") stop.abort();
  return watch.plan?.monthly_summary;
}
