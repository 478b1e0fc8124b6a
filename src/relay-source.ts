/**
 * Looks now and then whether the stream still holds every row of the source table.
 *
 * A table that has left the publication, or whose rows do not reach the WAL, streams nothing, and no error comes of it. So
 * the checks of the start are made again and again, and what they find ends the relay as it would have refused to start.
 *
 * That alone is not enough: the table may be back before anybody looks, or before the relay is started again. What
 * source-identity.ts compares shows it. Then everything that the last settled checkpoint does not see is read from the
 * table, by a replay. It is asked for only when every transaction that was open at the change has ended, since such a one
 * may have written outside the publication and commit late.
 *
 * From the change to the end of the replay no checkpoint is taken, so nothing is lost by a crash on the way: whoever leads
 * next finds the same difference, or the job that the cursor names. When that job fails, or is cancelled, another is asked
 * for: the rows are missing none the less. (Whoever can do without them says so in walpost.cursor.source.)
 */
import { WalpostError } from './errors.ts';
import { columnMapping, requiredColumns } from './decoder/column-mapping.ts';
import { jobName } from './jobs/job.ts';
import { readJob, requestJob } from './jobs/job-rows.ts';
import { requireScanColumns } from './jobs/outbox-scan.ts';
import { formatLsn } from './lsn.ts';
import { newestSettled } from './postgres/checkpoint-lookup.ts';
import { awaitedJob, awaiting, INCOMPLETE, lookAtSource, xidOfNow } from './postgres/source-identity.ts';
import { inTransaction } from './postgres/transaction.ts';
import type { RelayOptions } from './relay.ts';
import type { Chore } from './relay-chores.ts';
import type { Ground } from './relay-ground.ts';
import { checkSource } from './slot/source-checks.ts';

export interface SourceWatchOptions extends Pick<RelayOptions, 'config' | 'log'> {
  readonly ground: Pick<Ground, 'pool' | 'cursor' | 'slot' | 'server'>;
}

export class SourceWatch {
  private readonly options: SourceWatchOptions;
  /** The change that was seen last, and the transaction before which all have to end. */
  private change: { readonly recorded: string; readonly present: string; readonly horizon: string } | undefined;
  private hidden: string | undefined;

  constructor(options: SourceWatchOptions) {
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
    if (this.hidden !== undefined) return; // a replay could not read them
    await this.catchUp(look.recorded, look.present, look.oldest);
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

  private async catchUp(recorded: string, present: string, oldest: string): Promise<void> {
    const { log, config, ground } = this.options;
    if (await this.isOnItsWay(recorded)) return;
    const changed = new WalpostError('SOURCE_CHANGED');
    if (this.change?.present !== present || this.change.recorded !== recorded) {
      this.change = { recorded, present, horizon: await xidOfNow(ground.pool) };
      log.error({ code: changed.code, recorded, present }, changed.message);
    }
    if (BigInt(oldest) <= BigInt(this.change.horizon)) return;
    await requireScanColumns(ground.pool, config.source.table, changed.message);
    await this.replay(present, this.change.horizon);
    this.change = undefined;
  }

  /** The job that the cursor waits for is not over, or has just ended well. */
  private async isOnItsWay(recorded: string): Promise<boolean> {
    const id = awaitedJob(recorded);
    const job = id === undefined ? undefined : await readJob(this.options.ground.pool, id);
    return job !== undefined && job.state !== 'failed' && job.state !== 'cancelled';
  }

  private async replay(present: string, beforeXid: string): Promise<void> {
    const { log, ground } = this.options;
    const { pool, cursor, slot, server } = ground;
    const floor = await newestSettled(pool, { slot, systemIdentifier: server.systemIdentifier });
    const job = await inTransaction(pool, async (client) => {
      const asked = await requestJob(client, {
        slot,
        kind: 'replay',
        reason: new WalpostError('SOURCE_CHANGED').message,
        spec: {},
        fromLsn: floor?.lsn ?? null,
        afterSnapshot: floor?.snapshot ?? null,
        beforeXid,
      });
      await cursor.adoptSource(awaiting(asked.id, present), client);
      return asked;
    });
    const from = floor ? formatLsn(floor.lsn) : null;
    log.warn({ job: jobName(job), from }, 'what the stream may lack is read from the table');
  }
}
