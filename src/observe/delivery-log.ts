/**
 * walpost.delivery_log: what became of each attempt, for people who ask later.
 *
 * It is written beside the path of the events and never holds it up: attempts gather in a bounded buffer, a writer takes
 * them out in chunks, and where the database is slower than the attempts the oldest rows are left out and counted.
 */
import type pg from 'pg';
import { pause, type Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import { Fifo } from '../fifo.ts';
import type { Batch, Verdict, Verdicts } from '../pipeline.ts';
import { scrub } from './redact.ts';

export interface DeliveryLogOptions {
  readonly mode: Config['delivery']['log'];
  readonly clock: Clock;
  /** So many rows were left out. */
  readonly onDropped: (count: number) => void;
  readonly onError: (message: string) => void;
}

export interface Attempt {
  readonly sink: string;
  readonly batch: Batch;
  readonly verdicts: Verdicts;
  readonly milliseconds: number;
}

export interface LogTarget {
  readonly pool: pg.Pool;
  readonly slot: string;
  /** The database cannot be reached any more. */
  readonly broken: AbortSignal;
}

interface Row {
  readonly values: readonly (string | number | null)[];
  readonly size: number;
}

const MOST_ROWS = 5_000;
const MOST_BYTES = 4 * 1024 ** 2;
const CHUNK = 500;
const GATHER_MS = 500;
const AGAIN_MS = 5_000;
const LAST_WRITE_MS = 2_000;
const REASON_LENGTH = 300;

const INSERT = `
  INSERT INTO walpost.delivery_log
    (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, job, outcome, reason, duration_ms, at)
  SELECT $1, e.sink, e.organization, e.ids ->> 0, e.ids ->> -1, ARRAY(SELECT jsonb_array_elements_text(e.ids)),
         jsonb_array_length(e.ids), e.attempt, e.job, e.outcome, e.reason, e.took, to_timestamp(e.at / 1000)
    FROM unnest($2::text[], $3::text[], $4::jsonb[], $5::integer[], $6::text[], $7::text[], $8::text[], $9::real[],
                $10::float8[]) AS e (sink, organization, ids, attempt, job, outcome, reason, took, at)`;

/** Old rows go in small deletes. */
const PRUNE = `
  DELETE FROM walpost.delivery_log WHERE id IN (
    SELECT id FROM walpost.delivery_log WHERE at < clock_timestamp() - make_interval(hours => walpost.setting('delivery_log_hours', 168)::integer)
     ORDER BY at LIMIT $1)`;
const PRUNE_ROWS = 1_000;

export class DeliveryLog {
  private readonly options: DeliveryLogOptions;
  private readonly rows = new Fifo<Row>();
  private bytes = 0;

  constructor(options: DeliveryLogOptions) {
    this.options = options;
  }

  get waiting(): number {
    return this.rows.length;
  }

  readonly attempted = ({ sink, batch, verdicts, milliseconds }: Attempt): void => {
    const { mode, clock } = this.options;
    if (mode === 'off') return;
    const verdict = worst(verdicts);
    if (mode === 'failures' && verdict.kind === 'delivered') return;
    const { organizationId, events, attempt, job = null } = batch;
    const ids = JSON.stringify(events.map(({ eventId }) => eventId)); // a copy: the ids are slices of rows
    const reason = verdict.kind === 'delivered' ? null : scrub(verdict.reason).slice(0, REASON_LENGTH);
    const values = [
      sink,
      Buffer.from(organizationId).toString(),
      ids,
      attempt,
      job,
      verdict.kind,
      reason,
      milliseconds,
      clock.wallTime(),
    ];
    this.add({ values, size: ids.length + 300 });
  };

  /** Writes what gathers until it is disposed, and then what is left, if that is quick. */
  writeTo({ pool, slot, broken }: LogTarget): AsyncDisposable {
    const ending = new AbortController();
    const writing = this.options.mode === 'off' ? Promise.resolve() : this.writeUntil(ending.signal, pool, slot);
    return {
      [Symbol.asyncDispose]: async () => {
        ending.abort();
        if (broken.aborted) return;
        await Promise.race([writing, pause(this.options.clock, LAST_WRITE_MS)]);
      },
    };
  }

  private add(row: Row): void {
    this.rows.push(row);
    this.bytes += row.size;
    let dropped = 0;
    while (this.rows.length > MOST_ROWS || this.bytes > MOST_BYTES) {
      this.bytes -= this.rows.shift()?.size ?? 0;
      dropped += 1;
    }
    if (dropped > 0) this.options.onDropped(dropped);
  }

  private async writeUntil(signal: AbortSignal, pool: pg.Pool, slot: string): Promise<void> {
    const { clock, onError } = this.options;
    for (;;) {
      await pause(clock, GATHER_MS, signal);
      try {
        while (this.rows.length > 0) await this.writeChunk(pool, slot);
      } catch (error) {
        if (signal.aborted) return;
        onError(messageOf(error));
        await pause(clock, AGAIN_MS, signal);
      }
      if (signal.aborted && this.rows.length === 0) return;
    }
  }

  /** A chunk that cannot be written is left out: what is wrong with it may not go away. */
  private async writeChunk(pool: pg.Pool, slot: string): Promise<void> {
    const chunk: Row[] = [];
    for (let row = this.rows.shift(); row; row = chunk.length < CHUNK ? this.rows.shift() : undefined) {
      chunk.push(row);
      this.bytes -= row.size;
    }
    const columns = Array.from({ length: 9 }, (_, index) => chunk.map(({ values }) => values[index]));
    try {
      await pool.query(INSERT, [slot, ...columns]);
    } catch (error) {
      this.options.onDropped(chunk.length);
      throw error;
    }
  }
}

/** Removes what is older than `delivery_log_hours` of walpost.settings; resolves with the number of rows. */
export async function pruneDeliveryLog(pool: pg.Pool, signal: AbortSignal): Promise<number> {
  let pruned = 0;
  for (let full = true; full && !signal.aborted;) {
    const { rowCount } = await pool.query(PRUNE, [PRUNE_ROWS]);
    pruned += rowCount ?? 0;
    full = rowCount === PRUNE_ROWS;
  }
  return pruned;
}

/** The first answer that is not `delivered`. */
function worst(verdicts: Verdicts): Verdict {
  if (!Array.isArray(verdicts)) return verdicts as Verdict;
  const each = verdicts as readonly Verdict[];
  return each.find(({ kind }) => kind !== 'delivered') ?? { kind: 'delivered' };
}
