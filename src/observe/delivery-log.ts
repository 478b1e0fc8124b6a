/**
 * walpost.delivery_log: the outcome of each attempt, for operators.
 *
 * It is written beside the path of the events and never delays it. Attempts collect in a bounded buffer, and a writer stores
 * them in chunks. When the database is slower than the attempts, the oldest rows are left out and counted.
 */
import type pg from 'pg';
import { pause, type Clock } from '../clock.ts';
import type { Config } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import { Fifo } from '../fifo.ts';
import { ownCopy } from '../own-copy.ts';
import { type Batch, OWN_LANE, type Verdict, type Verdicts } from '../pipeline.ts';
import { asciiText, refusesContent } from '../postgres/storable.ts';

export interface DeliveryLogOptions {
  readonly mode: Config['delivery']['log'];
  /** Sinks of which nothing is written (`log: false`). */
  readonly leftOut?: ReadonlySet<string>;
  readonly clock: Clock;
  /** Rows were left out, because the buffer was full. */
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
  readonly revoked: AbortSignal;
}

interface Row {
  readonly values: readonly (string | number | null)[];
  readonly size: number;
}

const MAX_ROWS = 5_000;
const MAX_BYTES = 4 * 1024 ** 2;
const CHUNK = 500;
const GATHER_MS = 500;
const AGAIN_MS = 5_000;
const LAST_WRITE_MS = 2_000;

const INSERT = `
  INSERT INTO walpost.delivery_log
    (slot, sink, organization_id, lane, first_event_id, last_event_id, event_ids, events, attempt, job, outcome, reason, answer, duration_ms, at)
  SELECT $1, e.sink, e.organization, e.lane, e.ids ->> 0, e.ids ->> -1, ARRAY(SELECT jsonb_array_elements_text(e.ids)),
         jsonb_array_length(e.ids), e.attempt, e.job, e.outcome, e.reason, e.answer, e.took, to_timestamp(e.at / 1000)
    FROM unnest($2::text[], $3::text[], $4::text[], $5::jsonb[], $6::integer[], $7::text[], $8::text[], $9::text[],
                $10::text[], $11::real[], $12::float8[]) AS e (sink, organization, lane, ids, attempt, job, outcome, reason, answer, took, at)`;

/** Old rows go in small deletes. */
const PRUNE = `
  DELETE FROM walpost.delivery_log WHERE id IN (
    SELECT id FROM walpost.delivery_log WHERE at < clock_timestamp() - make_interval(hours => walpost_internal.setting('delivery_log_hours', 168)::integer)
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
    const { mode, leftOut, clock } = this.options;
    if (mode === 'off' || leftOut?.has(sink) === true) return;
    const verdict = worst(verdicts);
    if (mode === 'failures' && verdict.kind === 'delivered' && !hasCanary(batch)) return;
    const { organizationId, lane = OWN_LANE, events, attempt, job = null } = batch;
    const ids = JSON.stringify(events.map(({ eventId }) => eventId)); // a copy: the ids are slices of rows
    const { reason = null, answer = null } = verdict.kind === 'delivered' ? {} : verdict;
    const values = [
      sink,
      ownCopy(organizationId),
      lane,
      ids,
      attempt,
      job,
      verdict.kind,
      reason,
      answer,
      milliseconds,
      clock.wallTime(),
    ];
    this.add({ values, size: ids.length + 300 + (answer?.length ?? 0) });
  };

  /** Writes what gathers until it is disposed, and then what is left, if that is quick. */
  writeTo({ pool, slot, revoked }: LogTarget): AsyncDisposable {
    const ending = new AbortController();
    const writing = this.options.mode === 'off' ? Promise.resolve() : this.writeUntil(ending.signal, pool, slot);
    return {
      [Symbol.asyncDispose]: async () => {
        ending.abort();
        if (revoked.aborted) return;
        const written = new AbortController(); // a timer that is left would keep the process alive
        const last = writing.finally(() => written.abort());
        await Promise.race([last, pause(this.options.clock, LAST_WRITE_MS, written.signal)]);
      },
    };
  }

  private add(row: Row): void {
    this.rows.push(row);
    this.bytes += row.size;
    let dropped = 0;
    while (this.rows.length > MAX_ROWS || this.bytes > MAX_BYTES) {
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
    try {
      await this.insert(chunk, pool, slot);
    } catch (error) {
      this.options.onDropped(chunk.length);
      throw error;
    }
  }

  /** Where the server refuses what a row holds, what we and receivers said goes in ASCII, and a row that does not is left out. */
  private async insert(chunk: readonly Row[], pool: pg.Pool, slot: string): Promise<void> {
    const columns = (rows: readonly Row[]) =>
      Array.from({ length: 11 }, (_, at) => rows.map(({ values }) => values[at]));
    for (const form of [chunk, chunk.map(inAscii)]) {
      try {
        await pool.query(INSERT, [slot, ...columns(form)]);
        return;
      } catch (error) {
        if (!refusesContent(error)) throw error;
      }
    }
    if (chunk.length === 1) return this.options.onDropped(1);
    const half = chunk.length >> 1;
    await this.insert(chunk.slice(0, half), pool, slot);
    await this.insert(chunk.slice(half), pool, slot);
  }
}

/** From here on the values are not the event's. */
const OWN_VALUES = 6;

/** `walpost verify --sink` looks for its canaries in the log. */
function hasCanary({ events }: Batch): boolean {
  return events.some(({ origin }) => origin.carriesCanary === true);
}

function inAscii({ values, size }: Row): Row {
  return {
    size,
    values: values.map((value, at) => (at >= OWN_VALUES && typeof value === 'string' ? asciiText(value) : value)),
  };
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

/** The first answer that is not `delivered`; an event that was not sent has none. */
function worst(verdicts: Verdicts): Verdict {
  if (!Array.isArray(verdicts)) return verdicts as Verdict;
  const each = verdicts as readonly Verdict[];
  return each.find((verdict) => verdict.kind !== 'delivered' && !('unsent' in verdict)) ?? { kind: 'delivered' };
}
