import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';

export interface Drained {
  /** From the start of the walsender to the confirmation of the last event. */
  readonly seconds: number;
}

export interface SlotWatch {
  readonly slot: string;
  readonly target: string;
  readonly limitMs: number;
  /** Why its client ended; undefined while it runs. */
  readonly ended?: (() => string | undefined) | undefined;
}

const LOOK_EVERY_MS = 20;

/**
 * Watches one slot from the server's side, which is the same yardstick for every client: from the moment the walsender's
 * session began until the slot is confirmed beyond `target`.
 */
export async function untilDrained(client: pg.Client, { slot, target, limitMs, ended }: SlotWatch): Promise<Drained> {
  const deadline = performance.now() + limitMs;
  let begun: number | undefined;
  for (;;) {
    const { rows } = await client.query<{ begun: number | null; now: number; done: boolean }>({
      name: 'watch',
      text: `SELECT extract(epoch FROM r.backend_start)::float8 AS begun, extract(epoch FROM clock_timestamp())::float8 AS now,
                    s.confirmed_flush_lsn > $2::pg_lsn AS done
               FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE s.slot_name = $1`,
      values: [slot, target],
    });
    const row = rows[0];
    if (!row) throw new Error(`slot ${slot} is gone`);
    begun ??= row.begun ?? undefined;
    if (row.done && begun !== undefined) return { seconds: row.now - begun };
    stopWatching({ slot, limitMs, ended, deadline });
    await delay(LOOK_EVERY_MS);
  }
}

/** A walsender serves the slot. */
export async function untilBegun(client: pg.Client, { slot, limitMs, ended }: SlotWatch): Promise<void> {
  const deadline = performance.now() + limitMs;
  const text = 'SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active';
  while ((await client.query({ name: 'begun', text, values: [slot] })).rowCount === 0) {
    stopWatching({ slot, limitMs, ended, deadline });
    await delay(1);
  }
}

function stopWatching({ slot, limitMs, ended, deadline }: Omit<SlotWatch, 'target'> & { deadline: number }): void {
  const end = ended?.();
  if (end !== undefined) throw new Error(`the client of ${slot} ended before it was done: ${end}`);
  if (performance.now() > deadline) throw new Error(`${slot} was not drained within ${limitMs} ms`);
}

/**
 * Resolves once nothing that the slot's relay has parked is left, with the rows that were parked when it was called, and the
 * seconds that it took. What waits longer than `park_after` is confirmed before it is delivered.
 */
export async function untilUnparked(
  client: pg.Client,
  { slot, limitMs }: { slot: string; limitMs: number },
): Promise<{ readonly parked: number; readonly seconds: number }> {
  const begun = performance.now();
  const count = async (): Promise<number> => {
    const { rows } = await client.query<{ parked: number }>({
      name: 'parked',
      text: 'SELECT count(*)::int AS parked FROM walpost.parked WHERE slot = $1',
      values: [slot],
    });
    return rows[0]?.parked ?? 0;
  };
  const parked = await count();
  for (let left = parked; left > 0; left = await count()) {
    if (performance.now() - begun > limitMs)
      throw new Error(`${left} events of ${slot} are parked after ${limitMs} ms`);
    await delay(LOOK_EVERY_MS);
  }
  return { parked, seconds: parked === 0 ? 0 : (performance.now() - begun) / 1000 };
}
