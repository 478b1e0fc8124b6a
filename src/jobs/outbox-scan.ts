/**
 * The outbox as a source of a scan.
 *
 * A page is one statement over a span of the index (created_xid, seq), which begins at the xmin of the snapshot whose rows
 * are left out; that snapshot then decides row by row. Filters only choose within the span, so that a filter that fits
 * hardly anything still comes to an end of each statement, and the place moves on.
 *
 * Row-level security could hide rows without an error. With row_security off it is an error; where a policy lets the
 * relay see every row, which is looked at in the same transaction, security stays on.
 */
import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import type { Origin } from '../event.ts';
import { databaseError } from '../postgres/database-error.ts';
import { quoteIdentifier, quoteQualified } from '../postgres/identifiers.ts';
import { mayHideRows } from '../postgres/row-security.ts';
import { filterCondition, Values } from './job-filter.ts';
import { filterColumns, type OutboxRange, type OutboxTable, spanCondition, wantedCondition } from './outbox-range.ts';
import type { PageLimits, Place, ScanItem, ScanPage, ScanSource } from './scan.ts';

export interface OutboxScanOptions extends OutboxRange {
  readonly source: OutboxTable;
  /** Deliver only to these. */
  readonly sinks?: readonly string[] | undefined;
  /** Runs the work in one transaction: a new one each time, or one that stays open with a snapshot. */
  readonly inTransaction: <T>(work: (client: pg.ClientBase) => Promise<T>) => Promise<T>;
}

/** Rows that one statement looks at, at least; most are wanted when there is no filter. */
const SPAN = 1_000;
const FILTERED_SPAN = 10_000;

/** Everything as Postgres prints it, whatever the type. */
type RawRow = (string | null)[];
const RAW = { getTypeParser: () => (value: string) => value };

/** xid, seq, wanted, number in the span, whether nothing is behind; then the columns of the event. */
const OWN_COLUMNS = 5;

export class OutboxScan implements ScanSource {
  private readonly options: OutboxScanOptions;
  private readonly columns: readonly string[];

  constructor(options: OutboxScanOptions) {
    this.options = options;
    this.columns = [...new Set(Object.values(options.source.mapping).filter((column) => column !== null))];
  }

  async read(after: Place | null, origin: Origin, limits: PageLimits): Promise<ScanPage> {
    const values = new Values();
    const text = this.statement(after, limits, values);
    const result = await this.options.inTransaction(async (client) => {
      await watchRowSecurity(client, this.options.source.table);
      try {
        return await client.query<RawRow>({ text, values: values.list, rowMode: 'array', types: RAW });
      } catch (error) {
        throw databaseError(error, `scanning ${this.options.source.table}`);
      }
    });
    const fields = result.fields.slice(OWN_COLUMNS).map(({ name, dataTypeID }) => ({ name, type: dataTypeID }));
    const read = this.options.source.readerFor(fields);
    const { sinks } = this.options;
    const items = result.rows
      .filter(([, , wanted]) => wanted === 't')
      .map((row): ScanItem => {
        const item = Object.assign(read(row.slice(OWN_COLUMNS), origin), { jobRow: `${row[0]}/${row[1]}` });
        return sinks === undefined ? { item } : { item, sinks };
      });
    const [xid, seq, , number, isEnd] = result.rows.at(-1) ?? [];
    if (xid == null || seq == null) return { items, scanned: 0, place: after, last: true };
    return { items, scanned: Number(number), place: { xid, seq }, last: isEnd === 't' };
  }

  /** The wanted rows within the limits, and the last row of the span, wanted or not, so that the place moves on. */
  private statement(after: Place | null, limits: PageLimits, values: Values): string {
    const { source, filter } = this.options;
    const isFiltered = filterCondition(filter, filterColumns(source), new Values()) !== 'true';
    const span = isFiltered ? FILTERED_SPAN : Math.max(SPAN, limits.maxRows);
    const chosen = this.columns.map(quoteIdentifier);
    const bytes = ['payload', 'headers']
      .flatMap((field) => source.mapping[field] ?? [])
      .map((column) => `coalesce(octet_length(${quoteIdentifier(column)}::text), 0)`);
    return `
      WITH span AS (
        SELECT created_xid, seq, ${chosen.map((column, index) => `${column} AS c${index}`).join(', ')},
               CASE WHEN walpost_wanted THEN ${bytes.join(' + ')} ELSE 0 END AS bytes, walpost_wanted AS wanted
          FROM (SELECT *, ${wantedCondition(this.options, source, values)} AS walpost_wanted
                  FROM ${quoteQualified(source.table)}
                 WHERE ${spanCondition(this.options, after, values)}
                 ORDER BY created_xid, seq LIMIT ${span}) AS source
      ), counted AS (
        SELECT *, row_number() OVER place AS number, count(*) OVER () AS total,
               count(*) FILTER (WHERE wanted) OVER place AS events, sum(bytes) OVER place - bytes AS bytes_before
          FROM span WINDOW place AS (ORDER BY created_xid, seq ROWS UNBOUNDED PRECEDING)
      )
      SELECT created_xid::text, seq::text, wanted, number::integer, number = total AND total < ${span},
             ${chosen.map((column, index) => `c${index} AS ${column}`).join(', ')}
        FROM counted
       WHERE (wanted OR number = total) AND bytes_before < ${values.add(limits.maxBytes)}
         AND events <= ${values.add(limits.maxRows)}
       ORDER BY number`;
  }
}

/** Makes hidden rows an error for the rest of the transaction, unless security is on and surely hides none. */
export async function watchRowSecurity(client: pg.ClientBase, table: string): Promise<void> {
  const { rows } = await client.query<{ active: boolean }>('SELECT row_security_active($1::regclass) AS active', [
    quoteQualified(table),
  ]);
  if (rows[0]?.active === true && !(await mayHideRows(client, table))) return;
  await client.query('SET LOCAL row_security = off');
}

/** Scans need to know which transaction wrote a row, and the order in it; `why` is what the scan is for. */
export async function requireScanColumns(db: Pick<pg.Pool, 'query'>, table: string, why = ''): Promise<void> {
  const { rows } = await db.query<{ name: string; type: string }>(
    `SELECT attname::text AS name, atttypid::regtype::text AS type FROM pg_attribute
      WHERE attrelid = $1::regclass AND NOT attisdropped AND attname IN ('created_xid', 'seq')`,
    [quoteQualified(table)],
  );
  const types = new Map(rows.map(({ name, type }) => [name, type]));
  const missing = [
    ...(types.get('created_xid') === 'xid8' ? [] : ['created_xid xid8 NOT NULL DEFAULT pg_current_xact_id()']),
    ...(types.get('seq') === 'bigint' ? [] : ['seq bigint GENERATED ALWAYS AS IDENTITY']),
  ];
  if (missing.length === 0) return;
  const name = quoteQualified(table);
  throw new WalpostError('SCAN_COLUMNS', {
    detail: `${table} has no ${missing.map((column) => `column ${column}`).join(', and no ')}. ${why}`.trimEnd(),
    remedy:
      `ALTER TABLE ${name} ${missing.map((column) => `ADD COLUMN ${column}`).join(', ')}; ` +
      `CREATE INDEX CONCURRENTLY ON ${name} (created_xid, seq);`,
  });
}
