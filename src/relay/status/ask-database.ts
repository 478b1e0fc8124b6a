/** What `walpost status` asks the database, over one connection of its own and whatever state it is in. */
import type pg from 'pg';
import type { Config } from '../../config/schema.ts';
import { messageOf, WalpostError } from '../../errors.ts';
import { scrub } from '../../observe/redact.ts';
import type { StatusReport } from '../../observe/status-report.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { createPool, SILENCE_MS } from '../../postgres/pool.ts';
import { withMissingRole } from '../../postgres/schema/relay-rights.ts';
import { COUNT_LIMIT, slotOf, usualSlot } from '../starts/start-facts.ts';
import { readAlerts } from './alerts.ts';
import { type DatabaseFacts, existing, known, readDatabaseFacts } from './database-facts.ts';
import { startObstacle } from './start-obstacle.ts';

export type DatabaseAnswer =
  | {
      readonly kind: 'answered';
      /** Alerts as walpost.alerts has them; null when they could not be read. */
      readonly facts: DatabaseFacts & Pick<StatusReport, 'alerts'>;
      readonly notes: readonly string[];
    }
  | { readonly kind: 'silent'; readonly reason: string };

export async function askDatabase(config: Config): Promise<DatabaseAnswer> {
  const pool = createPool(config.database.url, {
    applicationName: 'walpost status',
    max: 1,
    queryTimeoutMs: SILENCE_MS,
  });
  try {
    const isThere = await existing(pool);
    const slot = await slotName(pool, config, isThere.installation);
    const facts = await readDatabaseFacts(pool, slot);
    // A table that is gone takes the view along, and not the rest of the status.
    const alerts = isThere.holders && isThere.alerts ? await readAlerts(pool).catch(() => null) : null;
    const isLed = facts.slot?.active === true || facts.sessions?.leader != null;
    const obstacle = isLed ? undefined : await startObstacle(config, pool);
    const notes = [
      ...(isThere.installation ? ((await known(neverRun(pool))) ?? []) : []),
      ...(isThere.installation ? await starts(pool, slot, isLed) : []),
      ...(obstacle === undefined ? [] : [obstacle]),
    ];
    return { kind: 'answered', facts: { ...facts, alerts }, notes };
  } catch (error) {
    if (error instanceof WalpostError && error.policy === 'usage') throw error;
    return { kind: 'silent', reason: silentText(await withMissingRole(databaseError(error), pool)) };
  } finally {
    await pool.end();
  }
}

function silentText(error: Error): string {
  if (!(error instanceof WalpostError)) return scrub(`The database could not be asked: ${messageOf(error)}`);
  const person = error.code === 'PERMISSION_DENIED' ? ' For the login of a person, walpost_operator is enough.' : '';
  return scrub(`The database could not be asked: ${error.message} ${error.remedy}${person}`);
}

async function slotName(pool: pg.Pool, config: Config, isInstalled: boolean): Promise<string> {
  const recorded = isInstalled ? await known(slotOf(pool, config.source)) : null;
  if (recorded !== null) return recorded;
  const { rows } = await pool.query<{ name: string }>('SELECT current_database()::text AS name');
  return config.source.slot ?? usualSlot(rows[0]?.name ?? '');
}

/** A note when rows wait in walpost.outbox and no relay has ever read them. */
async function neverRun(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ rows: number; since: string }>(
    `SELECT count(*)::integer AS rows, to_char(min(e.created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since
       FROM walpost_internal.pending_events('', ${COUNT_LIMIT + 1}) AS e
      WHERE NOT EXISTS (SELECT FROM walpost.cursor) HAVING count(*) > 0`,
  );
  const found = rows[0];
  if (!found) return [];
  const count = found.rows > COUNT_LIMIT ? `More than ${COUNT_LIMIT}` : found.rows;
  const wait = found.rows === 1 ? 'row of walpost.outbox waits' : 'rows of walpost.outbox wait';
  return [`${count} ${wait} since ${found.since} UTC, and no relay has ever run.`];
}

interface StartsRow {
  readonly starts: number;
  readonly progressed: boolean;
  readonly event: string | null;
  readonly sink: string | null;
  readonly claimed: string;
}

/** What the cursor row says of starts that ended: src/leader/crash-record.ts. */
async function starts(pool: pg.Pool, slot: string, isLed: boolean): Promise<string[]> {
  const asked = pool.query<StartsRow & object>(
    `SELECT c.starts, c.starts_lsn IS DISTINCT FROM c.lsn AS progressed, c.in_flight ->> 'event_id' AS event, c.in_flight ->> 'sink' AS sink,
            walpost_internal.time_text(c.claimed_at) AS claimed
       FROM walpost.cursor AS c WHERE c.slot = $1`,
    [slot],
  );
  const row = (await known(asked))?.rows[0];
  if (!row || row.starts === 0) return [];
  if (!isLed && (row.progressed || row.starts === 1)) {
    return [
      `The relay that has led since ${row.claimed} did not end in good order: it was killed, or lost its server.`,
    ];
  }
  if (row.starts < 2 || row.progressed) return [];
  const suspect = row.event === null ? '' : `; event ${row.event} was with sink ${row.sink} then`;
  return [
    `${row.starts} starts in a row, the last at ${row.claimed}, were followed by no confirmation and no orderly end${suspect}. ` +
      'The process was killed, or died: see its log, and the memory that it may use.',
  ];
}
