/**
 * The step `checks` of relay.ts: everything that only a person can change is checked before the lock, so that a standby reports a wrong
 * configuration while another process leads.
 */
import type pg from 'pg';
import { hasEndpoints } from '../../config/endpoint-sinks.ts';
import type { Config } from '../../config/schema.ts';
import { type ErrorCode, WalpostError } from '../../errors.ts';
import type { Logger } from '../../observe/log.ts';
import { assertMigratedForRelay } from '../../postgres/schema/relay-rights.ts';
import { columnMapping, requiredColumns } from '../../postgres/source/column-mapping.ts';
import { refuseColumnTypes } from '../../postgres/source/column-types.ts';
import { markIncomplete } from '../../postgres/source/completeness.ts';
import { checkEndpointPublication } from '../../postgres/source/endpoint-changes.ts';
import { ensurePublication } from '../../postgres/source/publication.ts';
import { checkSource } from '../../postgres/source/source-checks.ts';
import { checkServer, type ServerFacts } from '../../slot/server-checks.ts';
import { inspectSlot, slotProblem } from '../../slot/slot-state.ts';
import { decideFrom, lookAtSlotName } from '../starts/decide.ts';
import type { Start } from '../starts/start.ts';

export interface PreflightOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly pool: pg.Pool;
}

export interface Preflight {
  readonly server: ServerFacts;
  readonly slot: string;
  /** The OID of the source table. */
  readonly tableId: number;
  readonly start: Start;
}

/** These faults leave no trace once they are corrected, so they are recorded: rows may be missing from the stream. */
const LEAVES_NO_TRACE: ReadonlySet<ErrorCode> = new Set(['SOURCE_UNLOGGED', 'SOURCE_DIVERTED', 'PLUGIN_PARTITIONS']);

/** Throws the first problem. A slot that is in use or lost is none here: the leader deals with it. */
export async function preflight({ config, log, pool }: PreflightOptions): Promise<Preflight> {
  const { url } = config.database;
  const { publication, table, plugin, slot: named } = config.source;
  const server = await checkServer({ url, ...(named === undefined ? {} : { slot: named }) });
  if (!server.isPrimary) {
    throw new WalpostError('HOT_STANDBY', { detail: `At ${server.place}: pg_is_in_recovery() is true.` });
  }
  await assertMigratedForRelay(pool);
  const { slot, isFirst, facts } = await lookAtSlotName(config, pool);
  const endpoints = hasEndpoints(config.sinks);
  if (isFirst && (await ensurePublication({ db: pool, publication, table, endpoints }))) {
    log.info({ publication, table }, 'publication created');
  }
  const tableId = await checkSourceOf(slot, config, pool);
  const start = await decideFrom(facts, config, pool);
  const state = await inspectSlot(pool, slot, plugin);
  const problem = slotProblem(state);
  if (problem && state.kind !== 'in_use' && state.kind !== 'lost') throw problem;
  return { server, slot, tableId, start };
}

async function checkSourceOf(slot: string, config: Config, pool: pg.Pool): Promise<number> {
  const { publication, table, plugin, row_filter: rowFilter } = config.source;
  const mapping = columnMapping(config.source);
  const columns = requiredColumns(config.source);
  try {
    const tableId = await checkSource({ db: pool, publication, table, columns, plugin, slot, rowFilter });
    await refuseColumnTypes({ db: pool, table, tableId, mapping, plugin });
    if (hasEndpoints(config.sinks)) await checkEndpointPublication(pool, publication);
    return tableId;
  } catch (error) {
    if (error instanceof WalpostError && LEAVES_NO_TRACE.has(error.code)) await markIncomplete(pool, slot);
    throw error;
  }
}
