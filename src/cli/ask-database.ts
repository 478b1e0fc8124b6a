import type pg from 'pg';
import type { Config } from '../config/schema.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import { scrub } from '../observe/redact.ts';
import type { StatusReport } from '../observe/status-report.ts';
import { countDeadLetters } from '../parking/dead-letter-counts.ts';
import { countParked } from '../parking/parked-sinks.ts';
import { createPool } from '../postgres/pool.ts';
import { slotName } from '../relay-ground.ts';
import { inspectSlot, type SlotState } from '../slot/slot-state.ts';

/** What SQL alone can tell. */
export type DatabaseFacts = Pick<StatusReport, 'slot' | 'deadLetters' | 'parked'> & {
  readonly lag: Omit<StatusReport['lag'], 'seconds'>;
};

export type DatabaseAnswer =
  { readonly kind: 'answered'; readonly facts: DatabaseFacts } | { readonly kind: 'silent'; readonly reason: string };

/** Looks at the slot and the stored events; one connection, closed again. */
export async function askDatabase(config: Config): Promise<DatabaseAnswer> {
  const pool = createPool(config.database.url, { applicationName: 'walpost status', max: 1 });
  try {
    const { rows } = await pool.query<{ name: string }>('SELECT current_database() AS name');
    const slot = slotName(config, rows[0]?.name ?? '');
    const state = await inspectSlot(pool, slot);
    const deadLetters = (await exists(pool, 'walpost.dead_letters')) ? await countDeadLetters(pool) : [];
    const parked = (await exists(pool, 'walpost.parked')) ? await countParked(pool, slot) : [];
    return { kind: 'answered', facts: { ...slotFacts(slot, state), deadLetters, parked } };
  } catch (error) {
    if (error instanceof WalpostError && error.policy === 'usage') throw error;
    return { kind: 'silent', reason: `The database could not be asked (${scrub(messageOf(error))}).` };
  } finally {
    await pool.end();
  }
}

/** A database that is not migrated, or not up to date, still has a slot to show. */
async function exists(pool: pg.Pool, table: string): Promise<boolean> {
  const { rows } = await pool.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [table]);
  return rows[0]?.there === true;
}

function slotFacts(name: string, state: SlotState): Pick<DatabaseFacts, 'slot' | 'lag'> {
  const facts = state.kind === 'missing' ? undefined : state.facts;
  const walStatus = facts === undefined ? 'missing' : state.kind === 'lost' ? 'lost' : (facts.walStatus ?? 'unknown');
  return {
    slot: {
      name,
      walStatus,
      active: facts?.holder != null,
      restartLsn: lsnText(facts?.restartLsn),
      confirmedLsn: lsnText(facts?.confirmedFlushLsn),
    },
    lag: {
      unreadBytes: null,
      unconfirmedBytes: facts?.unconfirmedBytes ?? null,
      retainedBytes: facts?.retainedBytes ?? null,
      safeBytes: facts?.safeBytes ?? null,
    },
  };
}

function lsnText(lsn: Lsn | null | undefined): string | null {
  return lsn == null ? null : formatLsn(lsn);
}
