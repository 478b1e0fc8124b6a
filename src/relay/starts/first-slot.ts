/**
 * The slot of a first start, or of a start in a copy: nothing that is kept says what was sent, so a person or the rule for
 * walpost.outbox does.
 *
 * `deliver` is a healing from nothing: every row that the snapshot of the new slot sees is sent, in the order of a scan
 * (jobs/scan.ts), before the stream starts. `skip` is a checkpoint which says that all of them are settled. Either is one
 * transaction, with the row that makes this place the one where walpost is installed.
 */
import type pg from 'pg';
import { beginEndpointsAnew, seenChanges } from '../../endpoints/endpoint-rows.ts';
import type { Job } from '../../jobs/job.ts';
import { requireScanColumns } from '../../jobs/outbox-scan.ts';
import { formatLsn, type Lsn } from '../../lsn.ts';
import type { Logger } from '../../observe/log.ts';
import { CheckpointStore } from '../../postgres/cursor/checkpoints.ts';
import type { CursorStore } from '../../postgres/cursor/cursor-store.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { quoteQualified } from '../../postgres/identifiers.ts';
import { moveInstallation } from '../../postgres/schema/installation.ts';
import { restampRestored } from '../../postgres/source/restored-rows.ts';
import { INCOMPLETE } from '../../postgres/source/completeness.ts';
import { inTransaction } from '../../postgres/transaction.ts';
import { recreateSlot, type NewSlot, type NewSlotOptions } from '../healing/recreate-slot.ts';
import { dropSlot } from '../../slot/slot-setup.ts';
import { enqueueHealJob } from '../healing/heal-job.ts';
import { rowsAfterAll } from './refusals.ts';
import type { Start } from './start.ts';

export interface FirstSlotOptions extends NewSlotOptions {
  readonly log: Logger;
  readonly cursor: CursorStore;
}

const EXISTING = 'The rows that were there before the first start are to be delivered.';
const LEFT = 'It was left by a relay that is gone: the slot begins anew.';
const ELSEWHERE = 'It was asked for in another database.';
const COPIED = 'The database is a copy, and its rows are to be delivered (source.existing).';

/** The job that has to run before the stream; none where nothing is to be sent. `confirmed` is the place of a slot that is there. */
export async function prepareFirstSlot(
  options: FirstSlotOptions,
  start: Extract<Start, { kind: 'first' }>,
  open: Job | undefined,
  confirmed?: Lsn,
): Promise<Job | undefined> {
  const { pool, cursor, server, config, slot } = options;
  const { table } = config.source;
  const isEmpty = !(await hasRows(pool, table));
  if (start.existing === 'deliver' && !isEmpty) return deliver(options, EXISTING, open);
  if (isEmpty && confirmed !== undefined) {
    await inTransaction(pool, async (client) => {
      await cursor.adopt(server, confirmed, client);
      await beginEndpointsAnew(client, cursor, await seenChanges(client));
      await cancelJobs(client, slot, LEFT, ['heal']);
      await moveInstallation(client, 'run');
    });
    return undefined;
  }
  await restampRestored({ ...options, table });
  {
    await using made = await recreateSlot(options);
    if (start.existing === 'skip' || !(await hasRows(made.client, table))) {
      await inTransaction(pool, async (client) => {
        await beginAt(options, made, client);
        await cancelJobs(client, slot, LEFT, ['heal']);
      });
      tell(options, made);
      return undefined;
    }
  } // rows came between the first look and the beginning of the slot
  if (start.existing === 'deliver') return deliver(options, EXISTING, open);
  await dropSlot(pool, slot);
  throw rowsAfterAll(table);
}

/** What is said of a copy holds for all of it: what is parked is sent with the rows, or is removed. */
export async function prepareCopiedSlot(
  options: FirstSlotOptions,
  start: Extract<Start, { kind: 'copy' }>,
  open: Job | undefined,
): Promise<Job | undefined> {
  const { pool, slot, cursor, server, log } = options;
  if (start.existing === 'deliver') {
    const job = await deliver(options, COPIED, open);
    log.warn(
      { slot },
      'this database is a copy: all of its rows and what is parked are sent (source.existing: deliver)',
    );
    return job;
  }
  await restampRestored({ ...options, table: options.config.source.table });
  await using made = await recreateSlot(options);
  const left = await inTransaction(pool, async (client) => {
    await cursor.lockEpoch(client);
    const gone = { parked: await removeParked(client, slot), jobs: await cancelJobs(client, slot, ELSEWHERE) };
    await cursor.beginHistory(server, client);
    await new CheckpointStore(pool, cursor).forget(client);
    await beginAt(options, made, client, start.existing);
    return gone;
  });
  const what =
    'this database is a copy: its rows count as settled, and what was parked is removed (source.existing: skip)';
  log.warn({ slot, ...left }, what);
  tell(options, made);
  return undefined;
}

async function deliver(options: FirstSlotOptions, reason: string, open?: Job): Promise<Job> {
  const { pool, config } = options;
  await requireScanColumns(pool, config.source.table, reason);
  return enqueueHealJob(options, { reason, historyEnds: true }, open, async (client) => {
    await moveInstallation(client, 'deliver');
  });
}

async function beginAt(
  options: FirstSlotOptions,
  made: NewSlot,
  client: pg.ClientBase,
  decision = 'run',
): Promise<void> {
  const { pool, cursor, server } = options;
  const { consistentPoint: lsn, snapshot, source } = made;
  await cursor.adopt(server, lsn, client);
  await beginEndpointsAnew(client, cursor, await seenChanges(made.client));
  await cursor.adoptSource(source ?? INCOMPLETE, client);
  await new CheckpointStore(pool, cursor).record({ lsn, snapshot }, client);
  await moveInstallation(client, decision);
}

function tell({ log, slot, config }: FirstSlotOptions, { consistentPoint }: NewSlot): void {
  const { plugin } = config.source;
  log.info({ slot, plugin, from: formatLsn(consistentPoint) }, 'slot created; what is committed from here on is sent');
}

async function hasRows(db: Pick<pg.ClientBase, 'query'>, table: string): Promise<boolean> {
  try {
    const { rows } = await db.query<{ some: boolean }>(`SELECT EXISTS (SELECT FROM ${quoteQualified(table)}) AS some`);
    return rows[0]?.some === true;
  } catch (error) {
    throw databaseError(error, `reading ${table}`);
  }
}

async function removeParked(client: pg.ClientBase, slot: string): Promise<number> {
  return (await client.query('DELETE FROM walpost.parked WHERE slot = $1', [slot])).rowCount ?? 0;
}

/** Of some kinds, or all. */
async function cancelJobs(
  client: pg.ClientBase,
  slot: string,
  reason: string,
  kinds: readonly string[] | null = null,
): Promise<number> {
  const { rowCount } = await client.query(
    `UPDATE walpost.jobs SET state = 'cancelled', ended_at = clock_timestamp(), error = $2
      WHERE slot = $1 AND state IN ('queued', 'running') AND ($3::text[] IS NULL OR kind = ANY ($3))`,
    [slot, reason, kinds],
  );
  return rowCount ?? 0;
}
