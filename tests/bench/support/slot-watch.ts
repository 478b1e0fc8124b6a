import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';

export interface Drained {
  /** From the start of the walsender to the confirmation of the last event. */
  readonly seconds: number;
}

const LOOK_EVERY_MS = 20;

/**
 * Watches one slot from the server's side, which is the same yardstick for every client: from the moment the walsender's
 * session began until the slot is confirmed beyond `target`.
 */
export async function untilDrained(
  client: pg.Client,
  { slot, target, limitMs, ended }: { slot: string; target: string; limitMs: number; ended?: () => string | undefined },
): Promise<Drained> {
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
    const end = ended?.();
    if (end !== undefined) throw new Error(`the client of ${slot} ended before it was done: ${end}`);
    if (performance.now() > deadline) throw new Error(`${slot} was not drained within ${limitMs} ms`);
    await delay(LOOK_EVERY_MS);
  }
}
