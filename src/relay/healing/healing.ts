/**
 * Healing a lost slot: the rows that the stream will not bring any more are read from the table.
 *
 *   1. A heal job is committed, with its first position and its reason. From here on no new row counts as proven.
 *   2. From here on the events of the job that are parked have a place before everything that the old slot had not confirmed:
 *      see `orderLsn`. Rows that were loaded from another cluster get a new created_xid: see restored-rows.ts.
 *   3. What is left of the slot is dropped, and the slot is recreated with its snapshot.
 *   4. Nothing is sent before every session sees what the snapshot sees: see `awaitVisible`.
 *   5. Rows are sent that the slot's snapshot sees and the snapshot of the last settled checkpoint does not. In their lanes they
 *      go before anything that is streamed, in the order in which their transactions began (jobs/scan.ts). The step ends when
 *      all of them are delivered, parked or dead letters.
 *   6. One transaction moves the cursor to the new slot's beginning, adopts publication and table as the snapshot sees them,
 *      records the checkpoint there, and closes the job.
 *   7. Only then the stream starts. From here on the events of jobs that are parked have a place after where the new slot begins.
 *
 * When the process is killed at any point, the job stays open: the next leader drops the new slot and begins again at step 2.
 * Events of the first try come again, and none is missed.
 */
import { beginEndpointsAnew, seenChanges } from '../../endpoints/endpoint-rows.ts';
import { formatLsn, type Lsn, LSN_ZERO } from '../../lsn.ts';
import type { Logger } from '../../observe/log.ts';
import { type Clock, pause } from '../../clock.ts';
import { type Job, jobName } from '../../jobs/job.ts';
import type { JobStore } from '../../jobs/job-store.ts';
import type { OutboxTable } from '../../jobs/outbox-range.ts';
import { OutboxScan, requireScanColumns } from '../../jobs/outbox-scan.ts';
import { addCounts, runScan, type ScanOutlet, type ScanProgress, type SentCounts } from '../../jobs/scan.ts';
import type { CheckpointStore } from '../../postgres/cursor/checkpoints.ts';
import type { CursorStore } from '../../postgres/cursor/cursor-store.ts';
import { currentSnapshot, parseSnapshot, seesAllOf } from '../../postgres/snapshot.ts';
import { restampLoaded, restampRestored } from '../../postgres/source/restored-rows.ts';
import { INCOMPLETE } from '../../postgres/source/completeness.ts';
import { inTransaction } from '../../postgres/transaction.ts';
import type { PendingHealing, SlotBeginning } from '../term.ts';
import { recreateSlot, type NewSlot, type NewSlotOptions } from './recreate-slot.ts';

export interface HealingOptions extends NewSlotOptions {
  readonly job: Job;
  readonly cursor: CursorStore;
  readonly jobs: JobStore;
  readonly checkpoints: CheckpointStore;
  readonly source: OutboxTable;
  readonly log: Logger;
}

const POLL_EVERY_MS = 50;
/** Polls before the wait is logged. */
const POLLS_BEFORE_LOG = 20;
const HIDDEN = 'healing waits for commits that are written and not visible: is a synchronous standby away?';

export class SlotHealing implements PendingHealing {
  readonly job: Job;
  private readonly options: HealingOptions;
  private order: Lsn = LSN_ZERO;

  constructor(options: HealingOptions) {
    this.options = options;
    this.job = options.job;
  }

  /**
   * The position under which events of jobs are parked. During the healing it is one below what the old slot had confirmed:
   * the lane may have later events parked, while an earlier one was neither delivered nor parked when the slot was lost. That
   * one is a row of this job, and must go first. After the healing it is where the new slot begins.
   */
  get orderLsn(): Lsn {
    return this.order;
  }

  /** Resolves when all is settled and the stream may start. */
  async run(outlet: ScanOutlet, clock: Clock, signal: AbortSignal, beginning?: SlotBeginning): Promise<void> {
    const { job, jobs, cursor, pool, source, log } = this.options;
    const from = job.fromLsn === null ? null : formatLsn(job.fromLsn);
    const what = { slot: cursor.slot, job: jobName(job) };
    log.warn({ ...what, from, reason: job.reason }, 'healing: what the slot missed is read from the table');
    await requireScanColumns(pool, source.table);
    await jobs.begin(job.id);
    const confirmed = (await cursor.read())?.lsn ?? LSN_ZERO;
    this.order = confirmed > LSN_ZERO ? confirmed - 1n : LSN_ZERO;
    const restamp = job.afterSnapshot === null ? restampRestored : restampLoaded;
    await restamp({ ...this.options, table: source.table, signal });
    await using slot = await recreateSlot(this.options);
    const total = { scanned: 0, events: 0, sent: {} as SentCounts, unrouted: 0 };
    const save = async (progress: ScanProgress): Promise<void> => {
      await jobs.save(job.id, progress);
      total.scanned += progress.scanned;
      total.events += progress.settled;
      total.sent = addCounts(total.sent, progress.sent);
      total.unrouted += progress.unrouted;
    };
    await beginning?.(slot.client);
    await this.awaitVisible(slot, clock, signal);
    const scan = this.scanOf(slot);
    await runScan({ job: jobName(job), source: scan, outlet, clock, from: null, save }, signal);
    const report = { reason: job.reason, from_lsn: from, to_lsn: formatLsn(slot.consistentPoint), ...total };
    await this.close(slot, report);
    this.order = slot.consistentPoint;
    const { events: settled, ...range } = report; // the logger redacts a field named `events`
    log.warn({ ...what, ...range, settled }, 'healed: the stream goes on from here');
  }

  /**
   * The snapshot of a slot sees what was committed by the record in the WAL. Where commits wait for a standby, others may not
   * see it yet, and nothing is sent before they do.
   */
  private async awaitVisible({ snapshot }: NewSlot, clock: Clock, signal: AbortSignal): Promise<void> {
    const { pool, log, slot, config } = this.options;
    if (!config.delivery.wait_visible) return;
    const own = parseSnapshot(snapshot);
    for (let tries = 0; !seesAllOf(await currentSnapshot(pool), own); tries++) {
      if (tries === POLLS_BEFORE_LOG) log.warn({ slot }, HIDDEN);
      await pause(clock, POLL_EVERY_MS, signal);
      signal.throwIfAborted();
    }
  }

  private scanOf({ client }: NewSlot): OutboxScan {
    const { job, source } = this.options;
    return new OutboxScan({
      source,
      afterSnapshot: job.afterSnapshot,
      beforeXid: null,
      filter: {},
      inTransaction: (work) => work(client),
    });
  }

  private async close(slot: NewSlot, report: Readonly<Record<string, unknown>>): Promise<void> {
    const { pool, server, cursor, checkpoints, jobs, job } = this.options;
    const seen = await seenChanges(slot.client);
    await inTransaction(pool, async (client) => {
      await cursor.adopt(server, slot.consistentPoint, client);
      await beginEndpointsAnew(client, cursor, seen);
      await cursor.adoptSource(slot.source ?? INCOMPLETE, client);
      await checkpoints.record({ lsn: slot.consistentPoint, snapshot: slot.snapshot }, client);
      await jobs.end(job.id, { state: 'done', report }, client);
    });
  }
}
