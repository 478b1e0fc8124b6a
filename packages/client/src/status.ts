import { runStatement, type Database } from './database.ts';
import { PublishError } from './errors.ts';

/** pending: not delivered everywhere yet. delivered, parked, dead: the worst of its sinks. null: no such event, or none any more. */
export type EventStatus = 'pending' | 'delivered' | 'parked' | 'dead' | null;

export interface StatusOptions {
  /** For a login that is held to row-level security: the organization of the event. */
  readonly organizationId?: string | undefined;
}

export interface WaitOptions extends StatusOptions {
  /** 30 s by default. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const STATUS = 'SELECT walpost.event_status($1::text::uuid) AS status';
/** The setting ends with the transaction, which is this statement where there is no other. */
const STATUS_FOR = `
  WITH organization AS MATERIALIZED (SELECT set_config('app.current_org_id', $2::text, true))
  SELECT walpost.event_status($1::text::uuid) AS status FROM organization`;

/** What became of an event. A pool will do. */
export async function status(database: Database, eventId: string, options: StatusOptions = {}): Promise<EventStatus> {
  const { organizationId } = options;
  const [row] = await runStatement<{ readonly status: EventStatus }>(
    database,
    organizationId === undefined ? STATUS : STATUS_FOR,
    organizationId === undefined ? [eventId] : [eventId, organizationId],
  );
  return row?.status ?? null;
}

/**
 * Waits until the event is delivered, parked or dead. For scripts and tests: walpost notes progress every few seconds, and
 * each look is a query. Give a pool, after the commit; a transaction never sees its own event delivered.
 */
export function waitFor(database: Database, eventId: string, options: WaitOptions = {}): Promise<EventStatus> {
  return waitUntilSettled(() => status(database, eventId, options), options);
}

export async function waitUntilSettled(look: () => Promise<EventStatus>, options: WaitOptions): Promise<EventStatus> {
  const timeout = options.timeoutMs ?? 30_000;
  const until = performance.now() + timeout;
  for (let pause = 50; ; pause = Math.min(pause * 2, 1_000)) {
    options.signal?.throwIfAborted();
    const found = await look();
    if (found !== 'pending' && found !== null) return found;
    const left = until - performance.now();
    if (left <= 0) {
      const what = found === null ? 'there is no such event, or it is not visible here' : 'it is still pending';
      throw new PublishError(`walpost: waited ${timeout} ms for an event: ${what}`, {
        hint: 'Is walpost running, and was the transaction committed? A login that is held to row-level security names organizationId.',
      });
    }
    await pauseFor(Math.min(pause, left), options.signal);
  }
}

/** Ends early when the signal fires. */
export function pauseFor(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
  });
}
