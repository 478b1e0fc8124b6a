/**
 * walpost.endpoint_positions: which changes of endpoints the slot has brought, and where they committed.
 *
 * With it the endpoints are known at any place where the stream may begin again. A change whose row is missing, or lies at
 * that place or later, comes again in the stream. So a change is settled, as an event is, once its row is committed.
 */
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import type { EndpointChange } from '../endpoint.ts';
import { formatLsn, LSN_ZERO } from '../lsn.ts';
import type { Logger } from '../observe/log.ts';
import { stallRemedy } from '../observe/stall-remedy.ts';
import type { Stall } from '../observe/status-report.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { FENCE, OWNED, writeFenced } from '../postgres/cursor/fence.ts';
import { DurableQueue } from './durable-queue.ts';

/** A row that is there came from an earlier connection, at the same place. */
const INSERT = `
  WITH fence AS (${FENCE}),
  noted AS (
    INSERT INTO walpost.endpoint_positions (slot, change_id, commit_lsn)
    SELECT fence.slot, p.change_id, p.commit_lsn
      FROM fence, unnest($3::bigint[], $4::pg_lsn[]) AS p (change_id, commit_lsn)
    ON CONFLICT DO NOTHING
  )
  ${OWNED}`;

/** A row of a change in the table: about as much as its numbers take. */
const ROW_BYTES = 64;

interface Position {
  readonly changeId: string;
  readonly commitLsn: string;
}

export interface ChangePositionsOptions {
  readonly pool: pg.Pool;
  readonly cursor: CursorStore;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'error'>;
  /** Further writes are pointless: this process is not the leader any more. */
  readonly onLost: (error: unknown) => void;
}

export class ChangePositions {
  private readonly queue: DurableQueue<Position>;

  constructor({ pool, cursor, clock, log, onLost }: ChangePositionsOptions) {
    this.queue = new DurableQueue({
      writer: {
        write: async (positions) => {
          const values = [positions.map(({ changeId }) => changeId), positions.map(({ commitLsn }) => commitLsn)];
          await writeFenced(pool, cursor, { what: 'noting changes of endpoints', sql: INSERT, values });
        },
        sizeOf: () => ROW_BYTES,
      },
      clock,
      onStall: (message, waiting) =>
        log.error(
          { waiting, remedy: stallRemedy(message) },
          `changes of endpoints cannot be noted, the slot waits: ${message}`,
        ),
      onLost,
    });
  }

  /** Calls back once the row is durable. */
  note({ changeId, origin }: Pick<EndpointChange, 'changeId' | 'origin'>, noted: () => void): void {
    this.queue.add({ changeId, commitLsn: formatLsn(origin.commitLsn ?? LSN_ZERO) }, noted);
  }

  get stalls(): readonly Stall[] {
    return this.queue.stallsOf('endpoints');
  }

  close(): void {
    this.queue.close();
  }
}
