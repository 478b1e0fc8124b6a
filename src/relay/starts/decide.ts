/** Decides about a start for the relay: a refusal is thrown, and what a person should know is logged. */
import type pg from 'pg';
import type { Config } from '../../config/schema.ts';
import { withPages } from '../../pages.ts';
import type { Logger } from '../../observe/log.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { OWN_TABLE } from '../../postgres/own-table.ts';
import { refusalError } from './refusals.ts';
import { decideStart, type Start, type StartDecision, type StartFacts } from './start.ts';
import { countWhereNeeded, lookAtStart, readStartFacts } from './start-facts.ts';

/** Throws where a person has to decide. */
export async function decide({ source }: Config, db: pg.Pool): Promise<Start> {
  const { facts, decision } = await lookAtStart(db, source);
  return startOf(decision, facts, source);
}

/** The same from facts that were read before, without reading them again. */
export async function decideFrom(facts: StartFacts, { source }: Config, db: pg.Pool): Promise<Start> {
  const { facts: counted, decision } = await countWhereNeeded(facts, db, source.table);
  return startOf(decision, counted, source);
}

function startOf(decision: StartDecision, facts: StartFacts, source: Config['source']): Start {
  if ('start' in decision) return decision.start;
  if ('refusal' in decision) throw refusalError(decision.refusal, facts, source);
  throw new Error('the start cannot be decided');
}

export interface SlotNameLook {
  readonly slot: string;
  /** Nothing of this source is known. A publication that is missing now was never made; later it was dropped. */
  readonly isFirst: boolean;
  readonly facts: StartFacts;
}

/** The name of the slot, before the source has been checked. The publication of walpost.outbox comes from the migrations. */
export async function lookAtSlotName({ source }: Config, db: pg.Pool): Promise<SlotNameLook> {
  const facts = await readStartFacts(db, source);
  const decision = decideStart(facts);
  if ('refusal' in decision) throw refusalError(decision.refusal, facts, source);
  const { slot } = 'start' in decision ? decision.start : decision;
  const isKnown =
    source.table === OWN_TABLE || facts.cursors.some((cursor) => cursor.slot === slot || cursor.source === 'ours');
  return { slot, isFirst: !isKnown, facts };
}

export interface WarnOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly pool: pg.Pool;
  readonly start: Start;
}

const UNREAD = `
  SELECT k.slot, k.source_table AS table, k.publication
    FROM walpost.cursor AS k LEFT JOIN pg_replication_slots AS s ON s.slot_name = k.slot AND s.database = current_database()
   WHERE k.slot <> $1 AND s.active IS NOT TRUE ORDER BY k.slot`;

/**
 * Warns of slots that were left behind, since they keep WAL and keep rows from being pruned, and of a source.existing that
 * was left in the configuration, since it would decide for a copy of the database too.
 */
export async function warnOfOthers({ config, log, pool, start }: WarnOptions): Promise<void> {
  const { existing } = config.source;
  if (start.kind === 'continue' && existing !== undefined) {
    log.warn(
      { existing },
      'source.existing has nothing to decide here: leave it out, so that a copy of this database asks',
    );
  }
  try {
    const { rows } = await pool.query<{ slot: string }>(UNREAD, [start.slot]);
    const why = withPages(
      'nobody reads from another slot of walpost: if its relay is gone for good, see docs/operations.md',
    );
    for (const row of rows) log.warn(row, why);
  } catch (error) {
    throw databaseError(error, 'reading the cursors');
  }
}
