/**
 * Checks periodically that the stream still brings every row of the source table.
 *
 * A table that has left the publication, or whose rows do not reach the WAL, streams nothing, and the server reports no
 * error. So the checks of the start are repeated, and a problem that would have refused the start ends the relay.
 *
 * The checks alone are not enough, because the table may be back before the next one, or before the relay is started again.
 * postgres/source/completeness.ts compares the source with what the cursor recorded, and so notices. Then a replay job reads
 * from the table every row that the last settled checkpoint does not see. The job is requested only when every transaction
 * that was open at the change has ended: such a transaction may have written outside the publication and may commit late.
 *
 * No checkpoint is taken between the change and the end of the replay, so a crash in between loses nothing: the next leader
 * finds the same difference, or the job that the cursor names. When that job fails or is cancelled, another is requested,
 * because the rows are still missing. (An operator who does not need them writes that into walpost.cursor.source.)
 */
import { WalpostError } from '../../errors.ts';
import { requiredColumns } from '../../postgres/source/column-mapping.ts';
import { jobName } from '../../jobs/job.ts';
import { readJob, requestJob } from '../../jobs/job-rows.ts';
import { requireScanColumns } from '../../jobs/outbox-scan.ts';
import { formatLsn } from '../../lsn.ts';
import { newestSettled } from '../../postgres/cursor/checkpoint-lookup.ts';
import { awaitedJob, awaiting, INCOMPLETE, lookAtSource, xidOfNow } from '../../postgres/source/completeness.ts';
import { inTransaction } from '../../postgres/transaction.ts';
import type { RelayOptions } from '../dependencies.ts';
import type { Chore } from '../chores.ts';
import type { LeaderTerm } from '../term.ts';
import { checkSource } from '../../postgres/source/source-checks.ts';

export interface SourceWatchOptions extends Pick<RelayOptions, 'config' | 'log'> {
  readonly term: Pick<LeaderTerm, 'pool' | 'cursor' | 'slot' | 'server'>;
}

export class SourceWatch {
  private readonly options: SourceWatchOptions;
  /** The change that was seen last, and the transaction id below which every transaction has to end. */
  private change: { readonly recorded: string; readonly present: string; readonly horizon: string } | undefined;
  private hidden: string | undefined;

  constructor(options: SourceWatchOptions) {
    this.options = options;
  }

  get chore(): Chore {
    const every = this.options.config.source.checkpoint_interval;
    return { name: 'checking the source table', every, run: () => this.check() };
  }

  async check(): Promise<void> {
    const { term, config } = this.options;
    await this.checkSource();
    const look = await lookAtSource(term.pool, term.cursor, config.source);
    if (look.present === null || look.present === look.recorded) return;
    if (look.recorded === null) return term.cursor.adoptSource(look.present);
    if (this.hidden !== undefined) return; // a replay could not read them
    await this.catchUp(look.recorded, look.present, look.oldest);
  }

  /** A problem that hides rows from scans only is logged, once. A problem that keeps rows out of the stream is thrown. */
  private async checkSource(): Promise<void> {
    const { config, term, log } = this.options;
    const { publication, table, plugin, row_filter: rowFilter } = config.source;
    try {
      const columns = requiredColumns(config.source);
      await checkSource({ db: term.pool, publication, table, columns, plugin, slot: term.slot, rowFilter });
      this.hidden = undefined;
    } catch (error) {
      if (!(error instanceof WalpostError) || error.policy === 'retry') throw error;
      const { code, message, remedy } = error;
      if (code !== 'ROW_SECURITY' && code !== 'PERMISSION_DENIED') {
        await term.cursor.adoptSource(INCOMPLETE);
        throw error;
      }
      if (this.hidden !== code) log.error({ code, remedy }, message);
      this.hidden = code;
    }
  }

  private async catchUp(recorded: string, present: string, oldest: string): Promise<void> {
    const { log, config, term } = this.options;
    if (await this.isOnItsWay(recorded)) return;
    const changed = new WalpostError('SOURCE_CHANGED');
    if (this.change?.present !== present || this.change.recorded !== recorded) {
      this.change = { recorded, present, horizon: await xidOfNow(term.pool) };
      log.error({ code: changed.code, recorded, present }, changed.message);
    }
    if (BigInt(oldest) <= BigInt(this.change.horizon)) return;
    await requireScanColumns(term.pool, config.source.table, changed.message);
    await this.replay(present, this.change.horizon);
    this.change = undefined;
  }

  /** The job that the cursor waits for is queued, running, or done. */
  private async isOnItsWay(recorded: string): Promise<boolean> {
    const id = awaitedJob(recorded);
    const job = id === undefined ? undefined : await readJob(this.options.term.pool, id);
    return job !== undefined && job.state !== 'failed' && job.state !== 'cancelled';
  }

  private async replay(present: string, beforeXid: string): Promise<void> {
    const { log, term } = this.options;
    const { pool, cursor, slot, server } = term;
    const floor = await newestSettled(pool, { slot, systemIdentifier: server.systemIdentifier });
    const job = await inTransaction(pool, async (client) => {
      const requested = await requestJob(client, {
        slot,
        kind: 'replay',
        reason: new WalpostError('SOURCE_CHANGED').message,
        spec: { repairs: true },
        fromLsn: floor?.lsn ?? null,
        afterSnapshot: floor?.snapshot ?? null,
        beforeXid,
      });
      await cursor.adoptSource(awaiting(requested.id, present), client);
      return requested;
    });
    const from = floor ? formatLsn(floor.lsn) : null;
    log.warn({ job: jobName(job), from }, 'what the stream may lack is read from the table');
  }
}
