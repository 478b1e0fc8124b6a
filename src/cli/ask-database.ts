import type { Config } from '../config/schema.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import { scrub } from '../observe/redact.ts';
import type { StatusReport } from '../observe/status-report.ts';
import { countDeadLetters } from '../parking/dead-letter-counts.ts';
import { createPool } from '../postgres/pool.ts';
import { slotName } from '../relay-ground.ts';
import { inspectSlot, type SlotState } from '../slot/slot-state.ts';

/** What SQL alone can tell. */
export type DatabaseFacts = Pick<StatusReport, 'slot' | 'deadLetters'> & {
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
    const migrated = await pool.query<{ there: boolean }>(
      `SELECT to_regclass('walpost.dead_letters') IS NOT NULL AS there`,
    );
    const deadLetters = migrated.rows[0]?.there === true ? await countDeadLetters(pool) : [];
    return { kind: 'answered', facts: { ...slotFacts(slot, state), deadLetters } };
  } catch (error) {
    if (error instanceof WalpostError && error.policy === 'usage') throw error;
    return { kind: 'silent', reason: `The database could not be asked (${scrub(messageOf(error))}).` };
  } finally {
    await pool.end();
  }
}

function slotFacts(name: string, state: SlotState): Omit<DatabaseFacts, 'deadLetters'> {
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
