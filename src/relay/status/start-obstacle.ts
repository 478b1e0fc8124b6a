/** Why no relay streams, as far as a look can tell: what would stop a start of `walpost run` now. It changes nothing. */
import type pg from 'pg';
import { hasEndpoints } from '../../config/endpoint-sinks.ts';
import type { Config } from '../../config/schema.ts';
import { WalpostError } from '../../errors.ts';
import { openJobs } from '../../jobs/job-rows.ts';
import { scrub } from '../../observe/redact.ts';
import { assertMigratedForRelay } from '../../postgres/schema/relay-rights.ts';
import { requiredColumns } from '../../postgres/source/column-mapping.ts';
import { checkEndpointPublication } from '../../postgres/source/endpoint-changes.ts';
import { checkSource } from '../../postgres/source/source-checks.ts';
import { checkServer } from '../../slot/server-checks.ts';
import { inspectSlot, slotProblem } from '../../slot/slot-state.ts';
import { decideFrom, lookAtSlotName } from '../starts/decide.ts';

/** One sentence or two; undefined when nothing is found that would stop it. */
export async function startObstacle(config: Config, pool: pg.Pool): Promise<string | undefined> {
  try {
    await look(config, pool);
    return undefined;
  } catch (error) {
    // What passes by itself stops no start: it is tried again.
    if (!(error instanceof WalpostError) || error.policy === 'retry') return undefined;
    return `A start of \`walpost run\` would end with ${error.code}: ${scrub(error.message)} ${error.remedy}`;
  }
}

/** A healing that was begun is resumed, also with source.on_slot_lost: stop, unless the history has ended: that is not looked for here. */
async function refuseGone(pool: pg.Pool, slot: string): Promise<void> {
  if ((await openJobs(pool, slot)).some(({ kind }) => kind === 'heal')) return;
  throw new WalpostError('SLOT_LOST', { detail: `Slot "${slot}": The slot is missing.` });
}

/** The checks of a start that write nothing: see leadership/preflight.ts. */
async function look(config: Config, pool: pg.Pool): Promise<void> {
  const { url } = config.database;
  const { slot: named, publication, table, plugin, row_filter: rowFilter, on_slot_lost: onLost } = config.source;
  await checkServer({ url, ...(named === undefined ? {} : { slot: named }) });
  await assertMigratedForRelay(pool);
  const { slot, isFirst, facts } = await lookAtSlotName(config, pool);
  if (!isFirst) {
    const columns = requiredColumns(config.source);
    await checkSource({ db: pool, publication, table, columns, plugin, slot, rowFilter });
    if (hasEndpoints(config.sinks)) await checkEndpointPublication(pool, publication);
  }
  const start = await decideFrom(facts, config, pool);
  const state = await inspectSlot(pool, slot, plugin);
  if (state.kind === 'missing' && start.kind === 'continue' && onLost === 'stop') await refuseGone(pool, slot);
  const problem = slotProblem(state);
  if (problem && state.kind !== 'in_use' && (state.kind !== 'lost' || onLost === 'stop')) throw problem;
}
