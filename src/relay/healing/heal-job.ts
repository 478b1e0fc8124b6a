import type pg from 'pg';
import type { Job } from '../../jobs/job.ts';
import { requestJob } from '../../jobs/job-rows.ts';
import { JobStore } from '../../jobs/job-store.ts';
import { newestSettled } from '../../postgres/cursor/checkpoint-lookup.ts';
import { CheckpointStore } from '../../postgres/cursor/checkpoints.ts';
import type { CursorStore } from '../../postgres/cursor/cursor-store.ts';
import { inTransaction } from '../../postgres/transaction.ts';
import type { ServerFacts } from '../../slot/server-checks.ts';
import type { SlotLoss } from '../../slot/slot-diagnosis.ts';

export interface HealJobOptions {
  readonly pool: pg.Pool;
  readonly slot: string;
  readonly cursor: CursorStore;
  readonly server: ServerFacts;
}

/**
 * Commits a heal job, which the next connection begins with. Where the history ends, the same commit begins
 * a new one. What `within` writes is part of that commit.
 */
export async function enqueueHealJob(
  { pool, slot, cursor, server }: HealJobOptions,
  { reason, historyEnds }: Pick<SlotLoss, 'reason' | 'historyEnds'>,
  open?: Job,
  within?: (client: pg.ClientBase) => Promise<void>,
): Promise<Job> {
  const floor = historyEnds
    ? undefined
    : await newestSettled(pool, { slot, systemIdentifier: server.systemIdentifier });
  return inTransaction(pool, async (client) => {
    await cursor.lockEpoch(client);
    if (open) await new JobStore(pool, cursor).end(open.id, { state: 'failed', error: reason }, client);
    if (historyEnds) {
      await cursor.beginHistory(server, client);
      await new CheckpointStore(pool, cursor).forget(client);
      await new JobStore(pool, cursor).endReplays(`${reason} Ask for the replay again.`, client);
    }
    await within?.(client);
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
