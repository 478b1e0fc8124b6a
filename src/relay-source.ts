/**
 * Looks now and then whether the stream still holds every row of the source table.
 *
 * A table that has left the publication, or whose rows do not reach the WAL, streams nothing, and no error comes of it. So
 * the checks of the start are made again and again, and what they find ends the relay as it would have refused to start.
 *
 * That alone is not enough: the table may be back before anybody looks, or before the relay is started again. What
 * source-identity.ts compares shows it. Then everything that the last settled checkpoint does not see is read from the
 * table, by a replay. It is asked for only when every transaction that was open at the change has ended, since such a one
 * may have written outside the publication and commit late; until then no checkpoint is taken, so nothing is lost by a
 * crash on the way: whoever leads next finds the same difference.
 */
import { WalpostError } from './errors.ts';
import { columnMapping, requiredColumns } from './decoder/column-mapping.ts';
import { jobName } from './jobs/job.ts';
import { requestJob } from './jobs/job-rows.ts';
import { requireScanColumns } from './jobs/outbox-scan.ts';
import { formatLsn } from './lsn.ts';
import { newestSettled } from './postgres/checkpoint-lookup.ts';
import { INCOMPLETE, lookAtSource, type SourceLook, xidOfNow } from './postgres/source-identity.ts';
import { inTransaction } from './postgres/transaction.ts';
import type { RelayOptions } from './relay.ts';
import type { Chore } from './relay-chores.ts';
import { checkSource } from './slot/source-checks.ts';

export class SourceWatch {
  private readonly options: Pick<RelayOptions, 'config' | 'log' | 'ground'>;
  /** The change that was seen last, and the transaction before which all have to end. */
  private change: { readonly present: string; readonly horizon: string } | undefined;
  private hidden: string | undefined;

  constructor(options: Pick<RelayOptions, 'config' | 'log' | 'ground'>) {
    this.options = options;
  }

  get chore(): Chore {
    const every = this.options.config.source.checkpoint_interval;
    return { name: 'looking at the source table', every, run: () => this.look() };
  }

  async look(): Promise<void> {
    const { ground, config } = this.options;
    await this.check();
    const look = await lookAtSource(ground.pool, ground.cursor, config.source);
    if (look.present === null || look.present === look.recorded) return;
    if (look.recorded === null) return ground.cursor.adoptSource(look.present);
    await this.catchUp(look, look.present);
  }

  /** What only hides rows from scans is said, once; what keeps them out of the stream ends it. */
  private async check(): Promise<void> {
    const { config, ground, log } = this.options;
    const { publication, table } = config.source;
    try {
      const columns = requiredColumns(columnMapping(config.source));
      await checkSource({ db: ground.pool, publication, table, columns });
      this.hidden = undefined;
    } catch (error) {
      if (!(error instanceof WalpostError) || error.policy === 'retry') throw error;
      const { code, message, remedy } = error;
      if (code !== 'ROW_SECURITY' && code !== 'PERMISSION_DENIED') {
        await ground.cursor.adoptSource(INCOMPLETE);
        throw error;
      }
      if (this.hidden !== code) log.error({ code, remedy }, message);
      this.hidden = code;
    }
  }

  private async catchUp({ recorded, oldest }: SourceLook, present: string): Promise<void> {
    const { log, config } = this.options;
    const changed = new WalpostError('SOURCE_CHANGED');
    if (this.change?.present !== present) {
      this.change = { present, horizon: await xidOfNow(this.options.ground.pool) };
      log.error({ code: changed.code, recorded, present }, changed.message);
    }
    if (BigInt(oldest) <= BigInt(this.change.horizon)) return;
    await requireScanColumns(this.options.ground.pool, config.source.table, changed.message);
    await this.replay(present, this.change.horizon);
    this.change = undefined;
  }

  private async replay(present: string, beforeXid: string): Promise<void> {
    const { log, ground } = this.options;
    const { pool, cursor, slot, server } = ground;
    const floor = await newestSettled(pool, { slot, systemIdentifier: server.systemIdentifier });
    const job = await inTransaction(pool, async (client) => {
      await cursor.adoptSource(present, client);
      return requestJob(client, {
        slot,
        kind: 'replay',
        reason: new WalpostError('SOURCE_CHANGED').message,
        spec: {},
        fromLsn: floor?.lsn ?? null,
        afterSnapshot: floor?.snapshot ?? null,
        beforeXid,
      });
    });
    const from = floor ? formatLsn(floor.lsn) : null;
    log.warn({ job: jobName(job), from }, 'what the stream may lack is read from the table');
  }
}
