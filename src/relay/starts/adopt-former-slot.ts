/**
 * From one slot to another (source.takes_over). All that is kept under the old name moves to the new one in one
 * transaction, with a heal job: the new slot begins now, and what the old one had not brought is read from the table. The
 * old slot is named in the cursor until it is dropped, so that a crash in between leaves nothing behind.
 *
 * An old name that never had a position has brought nothing: then a first start decides about the rows.
 */
import type pg from 'pg';
import type { Config } from '../../config/schema.ts';
import { WalpostError } from '../../errors.ts';
import { openJobs, requestJob } from '../../jobs/job-rows.ts';
import { requireScanColumns } from '../../jobs/outbox-scan.ts';
import type { Logger } from '../../observe/log.ts';
import { newestSettled } from '../../postgres/cursor/checkpoint-lookup.ts';
import { type CursorStore, readCursor } from '../../postgres/cursor/cursor-store.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { moveSlotRows } from '../../postgres/cursor/slot-rows.ts';
import { inTransaction } from '../../postgres/transaction.ts';
import type { ServerFacts } from '../../slot/server-checks.ts';
import { dropSlot } from '../../slot/slot-setup.ts';
import { inspectSlot, slotProblem } from '../../slot/slot-state.ts';
import { endOlderStream, type OlderStreamOptions } from './older-stream.ts';
import type { Start } from './start.ts';

export interface MoveOptions extends OlderStreamOptions {
  readonly server: ServerFacts;
  readonly from: string;
  /**
   * `take_over`: the old slot is dropped, and what it had not brought is read from the table. `first`: it is dropped, and
   * the first start decides about the rows. `copy`: the old slot is that of the original.
   */
  readonly kind: Extract<Start, { from?: unknown }>['kind'];
  /** Claims the cursor of that slot, so that writes of an older leader are refused. */
  readonly claim: (slot: string) => Promise<CursorStore>;
}

/** Call it while the lock of the old slot is held, so that no process can lead with it. */
export async function moveToSlot(options: MoveOptions): Promise<void> {
  const { config, log, pool, server, slot, from, kind, claim } = options;
  const heals = kind === 'take_over';
  const isOurs = kind !== 'copy';
  const reason = `It takes over from slot "${from}".`;
  if (heals) await requireScanColumns(pool, config.source.table, reason);
  if (!(await readCursor(pool, from))) throw movedMeanwhile(from); // a claim would make it again
  const old = await claim(from);
  if (isOurs) await endOlderStream({ config, log, pool, slot: from });
  const floor = await newestSettled(pool, { slot: from, systemIdentifier: server.systemIdentifier });
  const isHealing = (await openJobs(pool, from)).some((job) => job.kind === 'heal');
  await inTransaction(pool, async (client) => {
    await old.lockEpoch(client);
    await moveSlotRows(client, from, slot);
    if (isOurs) await nameFormerSlot(client, slot, from);
    if (!heals || isHealing) return;
    const range = { fromLsn: floor?.lsn ?? null, afterSnapshot: floor?.snapshot ?? null, beforeXid: null };
    await requestJob(client, { slot, kind: 'heal', reason, spec: {}, ...range });
  });
  log.warn({ slot, from }, 'all that was kept for the old slot has moved to the new one');
}

function movedMeanwhile(from: string): WalpostError {
  return new WalpostError('LEADERSHIP_LOST', { detail: `What was kept for slot "${from}" was moved meanwhile.` });
}

async function nameFormerSlot(client: pg.ClientBase, slot: string, former: string): Promise<void> {
  try {
    await client.query('UPDATE walpost.cursor SET former_slot = $2 WHERE slot = $1', [slot, former]);
  } catch (error) {
    throw databaseError(error, 'writing the cursor');
  }
}

export interface FormerSlotOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly pool: pg.Pool;
  readonly cursor: CursorStore;
}

/** Nothing is read from it any more, and it would keep WAL for ever. */
export async function dropFormerSlot({ config, log, pool, cursor }: FormerSlotOptions): Promise<void> {
  const former = await cursor.formerSlot();
  if (former === undefined) return;
  await endOlderStream({ config, log, pool, slot: former });
  const state = await inspectSlot(pool, former);
  if (state.kind === 'healthy' || state.kind === 'lost') {
    await dropSlot(pool, former);
    log.warn({ slot: former }, 'the slot that was taken over is dropped');
  } else if (state.kind === 'in_use') {
    throw slotProblem(state) ?? new Error(`slot ${former} is in use`);
  }
  await cursor.forgetFormerSlot();
}
