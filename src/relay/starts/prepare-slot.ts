/** In the step `slot` of relay.ts: is the slot sound, new or lost? Returns a healing when rows must be sent before the stream. */
import type pg from 'pg';
import { WalpostError } from '../../errors.ts';
import type { Job } from '../../jobs/job.ts';
import { openJobs } from '../../jobs/job-rows.ts';
import { JobStore } from '../../jobs/job-store.ts';
import { type Lsn, LSN_ZERO, parseLsn } from '../../lsn.ts';
import type { Logger } from '../../observe/log.ts';
import { checkpointsAheadOfServer } from '../../postgres/cursor/checkpoint-lookup.ts';
import { CheckpointStore } from '../../postgres/cursor/checkpoints.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { SlotHealing } from '../healing/healing.ts';
import { outboxTable } from '../outbox-reader.ts';
import { type FirstSlotOptions, prepareCopiedSlot, prepareFirstSlot } from './first-slot.ts';
import { enqueueHealJob } from '../healing/heal-job.ts';
import type { Start } from './start.ts';
import { type SlotLoss, diagnoseSlot } from '../../slot/slot-diagnosis.ts';
import { inspectSlot, slotProblem, type SlotState } from '../../slot/slot-state.ts';

export interface SlotOptions extends FirstSlotOptions {
  readonly start: Start;
}

/**
 * Resolves when the slot can be streamed from, with a healing when rows have to be sent first:
 *
 *   start      slot                   healing
 *   copy       any                    as source.existing says
 *   first      any                    of the rows that exist; of a mapped table, as source.existing says
 *   take_over  any                    as continue; adopt-former-slot.ts has left an open heal job
 *   continue   lost, history ends     begun anew, of the whole table; or refused (source.on_slot_lost: stop), open job or not
 *   continue   any, heal job open     the open job is resumed, also when the slot was recreated by it (SLOT_REPLACED)
 *   continue   lost                   begun, from the last settled checkpoint; or refused (source.on_slot_lost: stop)
 *   continue   sound                  none
 *
 * A start continues when the cursor has a position or a heal job is open, whether the slot is there or not (start-facts.ts).
 */
export async function prepareSlot(options: SlotOptions): Promise<SlotHealing | undefined> {
  const { config, log, pool, server, slot, cursor, start } = options;
  const state = await inspectSlot(pool, slot, config.source.plugin);
  const checkpointsAhead = await checkpointsAheadOfServer(pool, { slot, systemIdentifier: server.systemIdentifier });
  const diagnosis = diagnoseSlot({ slot: state, cursor, walEnd: await walEnd(pool), checkpointsAhead });
  if (diagnosis.kind === 'unfit') throw slotProblem(state) ?? new Error(`slot ${slot} is ${state.kind}`);
  const open = (await openJobs(pool, slot)).find((job) => job.kind === 'heal');
  if (start.kind === 'copy') return healingOf(options, await prepareCopiedSlot(options, start, open));
  if (start.kind === 'first') {
    const confirmed = diagnosis.kind === 'unknown' ? diagnosis.confirmed : undefined;
    return healingOf(options, await prepareFirstSlot(options, start, open, confirmed));
  }
  const historyEnds = diagnosis.kind === 'lost' && diagnosis.loss.historyEnds;
  if (open && !historyEnds) return resumeHealing(options, open);
  if (diagnosis.kind === 'lost') return startHealing(options, diagnosis.loss, open);
  if (cursor.recorded?.timeline !== server.timeline) await cursor.adopt(server, cursor.lsn);
  warnIfBehind(state, log);
  return undefined;
}

async function startHealing(options: SlotOptions, loss: SlotLoss, open: Job | undefined): Promise<SlotHealing> {
  const { config, log, slot } = options;
  if (config.source.on_slot_lost === 'stop') {
    throw new WalpostError(loss.code, { detail: `Slot "${slot}": ${loss.reason}` });
  }
  log.error({ slot, code: loss.code }, loss.reason);
  return resumeHealing(options, await enqueueHealJob(options, loss, open));
}

function healingOf(options: SlotOptions, job: Job | undefined): SlotHealing | undefined {
  return job && resumeHealing(options, job);
}

function resumeHealing(options: SlotOptions, job: Job): SlotHealing {
  const { pool, cursor, config } = options;
  return new SlotHealing({
    ...options,
    job,
    jobs: new JobStore(pool, cursor),
    checkpoints: new CheckpointStore(pool, cursor),
    source: outboxTable(config.source),
  });
}

/** Where the server writes next. */
export async function walEnd(pool: pg.Pool): Promise<Lsn> {
  try {
    const { rows } = await pool.query<{ lsn: string }>(
      `SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text AS lsn`,
    );
    return parseLsn(rows[0]?.lsn ?? '') ?? LSN_ZERO;
  } catch (error) {
    throw databaseError(error, 'asking for the end of the WAL');
  }
}

function warnIfBehind(state: SlotState, log: Logger): void {
  if (state.kind === 'missing' || state.facts.walStatus === 'reserved') return;
  const { name: slot, walStatus } = state.facts;
  log.warn({ slot, walStatus }, 'the slot needs WAL that the server may soon remove: look at max_slot_wal_keep_size');
}
