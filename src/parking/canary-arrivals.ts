/**
 * Notes the canaries of `walpost verify` as the stream brings them, in that order, in walpost.canaries.
 *
 * A canary is settled when its row is committed, as a dead letter is. So one that never arrives there was lost before, and
 * that is what the command looks for.
 */
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import type { Event } from '../event.ts';
import type { Logger } from '../observe/log.ts';
import { stallRemedy } from '../observe/stall-remedy.ts';
import type { Stall } from '../observe/status-report.ts';
import { ownCopy } from '../own-copy.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { FENCE, OWNED, writeFenced } from '../postgres/cursor/fence.ts';
import { DurableQueue } from './durable-queue.ts';

/** More do not wait at once: no run sends so many, and any application may insert events of this type. */
const MOST_WAITING = 10_000;

/** Their sending is not looked up: it may be committed and not yet visible to this statement. */
const INSERT = `
  WITH fence AS (${FENCE}),
  noted AS (
    INSERT INTO walpost.canaries (event_id, arrived_at, slot)
    SELECT e.event_id, clock_timestamp(), fence.slot
      FROM fence, unnest($3::text[]) WITH ORDINALITY AS e (event_id, place)
     ORDER BY e.place
  )
  ${OWNED}`;

export interface CanaryArrivalsOptions {
  readonly pool: pg.Pool;
  readonly cursor: CursorStore;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'error'>;
  /** Further writes are pointless: this process is not the leader any more. */
  readonly onLost: (error: unknown) => void;
}

export class CanaryArrivals {
  private readonly queue: DurableQueue<string>;

  constructor({ pool, cursor, clock, log, onLost }: CanaryArrivalsOptions) {
    this.queue = new DurableQueue({
      writer: {
        write: async (eventIds) => {
          await writeFenced(pool, cursor, { what: 'noting canaries', sql: INSERT, values: [eventIds] });
        },
        writeReduced: () => Promise.resolve(), // its id is none of ours: walpost verify sends uuids
        sizeOf: (eventId) => eventId.length,
      },
      clock,
      onStall: (message, waiting) =>
        log.error({ waiting, remedy: stallRemedy(message) }, `canaries cannot be noted, the slot waits: ${message}`),
      onLost,
    });
  }

  arrived({ eventId, origin }: Event): void {
    if (this.queue.length >= MOST_WAITING) return;
    origin.expect(1);
    this.queue.add(ownCopy(eventId), () => origin.settle());
  }

  get stalls(): readonly Stall[] {
    return this.queue.stallsOf('canaries');
  }

  close(): void {
    this.queue.close();
  }
}
