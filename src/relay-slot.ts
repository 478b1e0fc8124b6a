/** The slot of a new leader: sound, made for the first time, or lost and to be healed before anything is streamed. */
import type pg from 'pg';
import { WalpostError } from './errors.ts';
import type { Job } from './jobs/job.ts';
import { openJobs, requestJob } from './jobs/job-rows.ts';
import { JobStore } from './jobs/job-store.ts';
import { formatLsn, type Lsn, LSN_ZERO, parseLsn } from './lsn.ts';
import type { Logger } from './observe/log.ts';
import { knowTheFuture, newestSettled } from './postgres/checkpoint-lookup.ts';
import { CheckpointStore } from './postgres/checkpoints.ts';
import type { CursorStore } from './postgres/cursor-store.ts';
import { databaseError } from './postgres/database-error.ts';
import { INCOMPLETE } from './postgres/source-identity.ts';
import { inTransaction } from './postgres/transaction.ts';
import { SlotHealing } from './relay-healing.ts';
import { makeSlot, type NewSlotOptions } from './relay-new-slot.ts';
import { outboxTable } from './relay-outbox.ts';
import { type SlotLoss, slotFate } from './slot/slot-fate.ts';
import { inspectSlot, slotProblem, type SlotState } from './slot/slot-state.ts';

export interface SlotOptions extends NewSlotOptions {
  readonly log: Logger;
  readonly cursor: CursorStore;
  /** On a first installation: also send the rows that are there already. */
  readonly deliverExisting: boolean;
}

const EXISTING = 'The rows that were there before the first start are to be delivered.';

/** Leaves a slot that can be streamed from, or gives back the healing that has to run first. */
export async function prepareSlot(options: SlotOptions): Promise<SlotHealing | undefined> {
  const { config, log, pool, server, slot, cursor } = options;
  const state = await inspectSlot(pool, slot, config.source.plugin);
  const futureKnown = await knowTheFuture(pool, { slot, systemIdentifier: server.systemIdentifier });
  const fate = slotFate({ slot: state, cursor, server, walEnd: await walEnd(pool), futureKnown });
  if (fate.kind === 'unfit') throw slotProblem(state) ?? new Error(`slot ${slot} is ${state.kind}`);
  const open = (await openJobs(pool, slot)).find((job) => job.kind === 'heal');
  const foreign = fate.kind === 'lost' && !fate.loss.proves;
  if (open && !foreign) return healing(options, open);
  if (fate.kind === 'lost') return heal(options, fate.loss, open);
  if (options.deliverExisting && fate.kind !== 'first') {
    log.warn({ slot }, 'this is no first start: the rows that are there already are not sent again (walpost replay)');
  }
  if (fate.kind === 'first') return firstSlot(options);
  if (fate.kind === 'unknown') await cursor.adopt(server, fate.confirmed);
  else if (cursor.recorded?.timeline !== server.timeline) await cursor.adopt(server, cursor.lsn);
  warnIfBehind(state, log);
  return undefined;
}

/** Rows that are there already are outside the promise; the first checkpoint covers them, and says so. */
async function firstSlot(options: SlotOptions): Promise<SlotHealing | undefined> {
  const { pool, cursor, server, slot, log, config } = options;
  if (options.deliverExisting) {
    return healing(options, await commitHealing(options, { reason: EXISTING, proves: false }));
  }
  await using made = await makeSlot(options);
  const { consistentPoint: lsn, snapshot, source } = made;
  await inTransaction(pool, async (client) => {
    await cursor.adopt(server, lsn, client);
    await cursor.adoptSource(source ?? INCOMPLETE, client);
    await new CheckpointStore(pool, cursor).record({ lsn, snapshot }, client);
  });
  log.info(
    { slot, plugin: config.source.plugin, from: formatLsn(lsn) },
    'slot created; what is committed from here on is sent',
  );
  return undefined;
}

async function heal(options: SlotOptions, loss: SlotLoss, open: Job | undefined): Promise<SlotHealing> {
  const { config, log, slot } = options;
  if (config.source.on_slot_lost === 'stop') {
    throw new WalpostError(loss.code, { detail: `Slot "${slot}": ${loss.reason}` });
  }
  log.error({ slot, code: loss.code }, loss.reason);
  return healing(options, await commitHealing(options, loss, open));
}

/** Orders a healing, which the next connection begins with. Where nothing is proven, the old history ends with the same commit. */
export async function commitHealing(
  options: Pick<SlotOptions, 'pool' | 'slot' | 'cursor' | 'server'>,
  { reason, proves }: Pick<SlotLoss, 'reason' | 'proves'>,
  open?: Job,
): Promise<Job> {
  const { pool, slot, cursor, server } = options;
  const floor = proves ? await newestSettled(pool, { slot, systemIdentifier: server.systemIdentifier }) : undefined;
  return inTransaction(pool, async (client) => {
    await cursor.hold(client);
    if (open) await new JobStore(pool, cursor).end(open.id, { state: 'failed', error: reason }, client);
    if (!proves) {
      await cursor.beginEra(server, client);
      await new CheckpointStore(pool, cursor).forget(client);
    }
    return requestJob(client, {
      slot,
      kind: 'heal',
      reason,
      spec: {},
      fromLsn: floor?.lsn ?? null,
      afterSnapshot: floor?.snapshot ?? null,
      beforeXid: null,
    });
  });
}

function healing(options: SlotOptions, job: Job): SlotHealing {
  const { pool, cursor, config } = options;
  return new SlotHealing({
    ...options,
    job,
    jobs: new JobStore(pool, cursor),
    checkpoints: new CheckpointStore(pool, cursor),
    source: outboxTable(config.source),
  });
}

async function walEnd(pool: pg.Pool): Promise<Lsn> {
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
