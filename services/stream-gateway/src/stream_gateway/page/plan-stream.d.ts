/** Types of plan-stream.js; the protocol itself is in docs/protocol.md. */

export type Status = "generating" | "partial" | "completed" | "failed";
export type Phase = "queued" | "connecting" | "streaming" | "retrying" | "validating";

export interface Task { description: string; focus_area: string; start_time: string; end_time: string }
export interface Week { week: number; focus: string; goals: string[]; daily_tasks: Record<string, Task[]> }
/** While it is written, any part may be missing or unfinished. */
export interface Plan { monthly_summary: string; weekly_breakdown: Week[] }
export type PartialPlan = { [K in keyof Plan]?: Plan[K] };

export interface Progress {
  phase: Phase | null;
  weeksCompleted: number;
  weeksTotal: number;
  percent: number;
  chars: number;
  tokensPerSecond: number;
  elapsedMs: number;
}

export type Op = { op: "add" | "replace" | "append"; path: string; value: unknown };

interface At { planId: string; attempt: number; seq: number }
export type PlanEvent =
  | { event: "connected"; id: null; data: { planId: string; status: Status; phase: Phase | null } }
  | { event: "snapshot"; id: string; data: At & { plan: PartialPlan | null; progress: Progress } }
  | { event: "progress"; id: string; data: At & { ops: Op[]; progress: Progress } }
  | { event: "complete"; id: string; data: At & { status: "completed"; plan: Plan; usage: unknown; progress: Progress } }
  | { event: "cancelled"; id: string; data: At & { status: "partial" | "failed"; plan?: PartialPlan } }
  | { event: "error"; id: string; data: At & { status: "failed"; code: string; message: string; retryable: boolean; plan?: PartialPlan } };

export interface StartRequest { preferenceId: string; userId: string; onDisconnect?: "abort" | "continue" }

export declare class PlanStreamError extends Error {
  /** Of the server's list, or "network". */
  code: string;
  /** HTTP; 0 when there was no answer. */
  status: number;
  /** Seconds. */
  retryAfter: number | null;
}

export declare class PlanWatch implements AsyncIterable<PlanEvent> {
  planId: string | null;
  plan: PartialPlan | null;
  progress: Progress | null;
  status: Status;
  phase: Phase | null;
  error: { code: string; message: string; retryable: boolean } | null;
  lastEventId: string | null;
  reconnects: number;
  ended: boolean;
  [Symbol.asyncIterator](): AsyncIterator<PlanEvent>;
  finished(): Promise<PlanWatch>;
  cancel(): Promise<Status | "cancelling">;
}

export interface Options {
  baseUrl?: string;
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  transport?: "fetch" | "eventsource";
  fetch?: typeof fetch;
  EventSource?: unknown;
}

export interface Asked { idempotencyKey?: string; signal?: AbortSignal }

export declare class PlanStream {
  constructor(options?: Options);
  saveInputs(inputs: Record<string, unknown>, options?: { signal?: AbortSignal }): Promise<string>;
  start(request: StartRequest, options?: Asked): PlanWatch;
  watch(planId: string, options?: { lastEventId?: string | null; signal?: AbortSignal }): PlanWatch;
  cancel(planId: string): Promise<Status | "cancelling">;
  status(planId: string): Promise<{ planId: string; status: Status; phase: Phase | null; progress: Progress | null; seq: number; attempt: number; error: unknown }>;
  plan(planId: string): Promise<{ planId: string; status: Status; plan: PartialPlan | null; progress: Progress | null; usage: unknown; error: unknown }>;
  plans(options?: { limit?: number; cursor?: string }): Promise<{ plans: { planId: string; status: Status; [more: string]: unknown }[]; nextCursor: string | null }>;
  quota(): Promise<{ limit: number | null; used: number; reserved: number; remaining: number | null; resetsAt: string }>;
  generate(request: StartRequest, options?: Asked): Promise<{ planId: string; status: Status; plan: Plan; usage: unknown }>;
}

export declare class EventParser {
  lastEventId: string;
  retry: number | null;
  push(text: string): { event: string; data: string; id: string }[];
}

export declare function fold(document: unknown, ops: Op[]): unknown;
