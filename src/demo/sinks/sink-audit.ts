/** The comparison for each sink: its share of what was committed, and what arrived there. */
import { type Clock, pause } from '../../clock.ts';
import { type Audit, audit, isClean, type WrittenEvent } from '../audit.ts';
import { eventTypeOf } from '../event-mix.ts';
import type { DemoSink } from './demo-sink.ts';
import type { EverySink, SinkName } from './every-sink.ts';

export interface SinkAudit {
  readonly name: SinkName | 'webhook';
  readonly eventTypes: readonly string[];
  readonly audit: Audit;
  /** False where neither order nor repetitions can be seen. */
  readonly isSequence: boolean;
}

export interface EverySinkAudit {
  readonly audits: readonly SinkAudit[];
  readonly leftOut: ReadonlyMap<string, string>;
}

export function isCleanSink({ audit: result, isSequence }: SinkAudit): boolean {
  return isClean(isSequence ? result : { ...result, outOfOrder: 0 });
}

export async function auditSinks(
  { sinks, leftOut }: EverySink,
  written: readonly WrittenEvent[],
): Promise<EverySinkAudit> {
  const audits = [...sinks].map(async ([name, sink]) => ({
    name,
    eventTypes: sink.statuses.map(eventTypeOf),
    audit: await auditSink(sink, written),
    isSequence: sink.isSequence,
  }));
  return { audits: await Promise.all(audits), leftOut };
}

const POLL_MS = 250;

/** Resolves when every sink has its share, when nothing more arrives for too long, or when the signal aborts. */
export async function waitForSinks(
  { sinks }: EverySink,
  written: readonly WrittenEvent[],
  { clock, signal, patienceMs }: { clock: Clock; signal: AbortSignal; patienceMs: number },
): Promise<void> {
  let waiting = [...sinks.values()];
  let fewestMissing = Infinity;
  let lastArrival = clock.now();
  for (;;) {
    const missing = await Promise.all(waiting.map(async (sink) => (await auditSink(sink, written)).missing));
    waiting = waiting.filter((_, index) => missing[index] !== 0);
    if (waiting.length === 0) return;
    const total = missing.reduce((sum, count) => sum + count, 0);
    if (total < fewestMissing) lastArrival = clock.now();
    fewestMissing = Math.min(fewestMissing, total);
    if (signal.aborted || clock.now() - lastArrival > patienceMs) return;
    await pause(clock, POLL_MS, signal);
  }
}

/** A destination that cannot be read any more has nothing to show: its whole share is missing. */
async function auditSink(sink: DemoSink, written: readonly WrittenEvent[]): Promise<Audit> {
  const types = new Set(sink.statuses.map(eventTypeOf));
  const share = written.filter(({ eventType }) => types.has(eventType));
  return audit(share, await sink.arrivals().catch(() => []));
}
