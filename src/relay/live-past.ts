/**
 * What a reader of the live channel may have missed, from the outbox: the rows of its organization that the last settled
 * checkpoint at or below its position does not see. That is what a replay from there would send (jobs/replay-plan.ts).
 *
 * A row that leaves walpost.outbox takes along the checkpoints that do not see it, so a checkpoint that is there proves that all of its rows
 * are. A table of one's own has no such rule, and events of walpost.emit are in no table: then nothing can be told.
 */
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import type { Event } from '../event.ts';
import { OutboxScan } from '../jobs/outbox-scan.ts';
import { PageTicket } from '../jobs/page-ticket.ts';
import type { ScanLimits, ScanPlace } from '../jobs/scan.ts';
import { type Lsn, LSN_ZERO } from '../lsn.ts';
import { lastSettledBefore } from '../postgres/cursor/checkpoint-lookup.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import { inTransaction } from '../postgres/transaction.ts';
import { RouteTable } from '../router/route-table.ts';
import { PastGoneError } from '../sinks/live/live-term.ts';
import { outboxTable } from './outbox-reader.ts';
import type { LeaderTerm } from './term.ts';

export interface LivePastOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly term: Pick<LeaderTerm, 'slot' | 'server'>;
  /** Its own, so that readers who come back hold up nothing else. */
  readonly pool: pg.Pool;
  readonly sink: string;
}

/** A scan leaves redacted rows out, and the reader would never learn of them. */
const REDACTED = `
  SELECT FROM walpost.outbox
   WHERE created_xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(created_xid, $1::pg_snapshot)
     AND redacted_at IS NOT NULL AND organization_id::text = $2 LIMIT 1`;
const LIMITS: ScanLimits = { maxRows: 500, maxBytes: 256 * 1024 };
/** Of all organizations: beyond, reading the state anew costs less than reading the rows. */
const MOST_SCANNED = 200_000;
const MOST_EVENTS = 10_000;

export class LivePast {
  private readonly options: LivePastOptions;
  private readonly routes: RouteTable;
  private readonly sinkIndex: number;

  constructor(options: LivePastOptions) {
    const { config, sink } = options;
    const names = Object.keys(config.sinks);
    this.options = options;
    this.routes = new RouteTable(config.routes, names);
    this.sinkIndex = names.indexOf(sink);
  }

  /** Page by page; throws PastGoneError. */
  async *read(organizationId: string, from: Lsn, signal: AbortSignal): AsyncGenerator<readonly Event[]> {
    const scan = await this.scanOf(organizationId, from);
    const ticket = new PageTicket('live', this.options.clock.now());
    let place: ScanPlace | null = null;
    let [scanned, found] = [0, 0];
    for (let last = false; !last && !signal.aborted;) {
      const page = await scan.read(place, ticket, LIMITS);
      scanned += page.scanned;
      found += page.items.length;
      if (scanned > MOST_SCANNED || found > MOST_EVENTS) throw new PastGoneError('too many rows');
      ({ place, last } = page);
      const items = page.items.map(({ item }) => item).filter((item) => item.kind === 'event');
      yield items.filter((event) => this.routes.sinksFor(event).includes(this.sinkIndex));
    }
  }

  private async scanOf(organization: string, from: Lsn): Promise<OutboxScan> {
    const { config, term, pool } = this.options;
    if (config.source.messages || config.source.table !== OWN_TABLE) throw new PastGoneError('not in walpost.outbox');
    const { slot, server } = term;
    const checkpoint =
      from === LSN_ZERO
        ? undefined
        : await lastSettledBefore(pool, { slot, systemIdentifier: server.systemIdentifier }, { lsn: from });
    if (!checkpoint) throw new PastGoneError('no checkpoint is that old');
    const { rows } = await pool.query(REDACTED, [checkpoint.snapshot, organization]);
    if (rows.length > 0) throw new PastGoneError('rows are redacted');
    return new OutboxScan({
      source: outboxTable(config.source),
      afterSnapshot: checkpoint.snapshot,
      beforeXid: null,
      filter: { organization },
      inTransaction: (work) => inTransaction(pool, work),
    });
  }
}
