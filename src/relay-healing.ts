/**
 * Healing a lost slot: what the stream will not bring any more is read from the table.
 *
 *   1. A heal job is committed, with where it begins and why. From here on nothing new is proven.
 *   2. From here on what is parked is parked before the position that the old slot had confirmed: see `orderLsn`.
 *   3. What is left of the slot is dropped, and it is made anew with its snapshot.
 *   4. Nothing is sent before everybody sees what the snapshot sees: see `awaitVisible`.
 *   5. The rows that the snapshot sees and the last settled checkpoint does not are sent, as a phase of their lanes before
 *      anything that is streamed, until all of them are delivered, parked or dead letters.
 *   6. One transaction moves the cursor to the new slot's beginning, adopts publication and table as the snapshot sees them,
 *      records the checkpoint there, and closes the job.
 *   7. Only then the stream starts, and what jobs park from here on stands where the new slot begins.
 *
 * Killed at any point, the job is still open: the next leader drops the new slot and begins again at step 2. Events of the
 * first try come again, and nothing is missed.
 */
import { formatLsn, type Lsn, LSN_ZERO } from './lsn.ts';
import type { Logger } from './observe/log.ts';
import { type Clock, pause } from './clock.ts';
import { type Job, jobName } from './jobs/job.ts';
import type { JobStore } from './jobs/job-store.ts';
import type { OutboxTable } from './jobs/outbox-range.ts';
import { OutboxScan, requireScanColumns } from './jobs/outbox-scan.ts';
import { runScan, type ScanOutlet, type ScanProgress } from './jobs/scan.ts';
import type { CheckpointStore } from './postgres/checkpoints.ts';
import type { CursorStore } from './postgres/cursor-store.ts';
import { currentSnapshot, parseSnapshot, seesAllOf } from './postgres/snapshot.ts';
import { INCOMPLETE } from './postgres/source-identity.ts';
import { inTransaction } from './postgres/transaction.ts';
import { makeSlot, type NewSlot, type NewSlotOptions } from './relay-new-slot.ts';

export interface HealingOptions extends NewSlotOptions {
  readonly job: Job;
  readonly cursor: CursorStore;
  readonly jobs: JobStore;
  readonly checkpoints: CheckpointStore;
  readonly source: OutboxTable;
  readonly log: Logger;
}

const LOOK_EVERY_MS = 50;
/** So many looks later it is worth a line in the log. */
const TELL_AFTER = 20;
const HIDDEN = 'healing waits for commits that are written and not visible: is a synchronous standby away?';

export class SlotHealing {
  readonly job: Job;
  private readonly options: HealingOptions;
  private order: Lsn = LSN_ZERO;

  constructor(options: HealingOptions) {
    this.options = options;
    this.job = options.job;
  }

  /**
   * Where the events of jobs stand among what is parked. What is healed stands before all that the old slot had not
   * confirmed: a row of it may have been parked behind an event that was not, and that only the table has now. What comes
   * later stands where the new slot begins.
   */
  get orderLsn(): Lsn {
    return this.order;
  }

  /** Resolves when all is settled and the stream may start. */
  async run(outlet: ScanOutlet, clock: Clock, signal: AbortSignal): Promise<void> {
    const { job, jobs, cursor, pool, source, log } = this.options;
    const from = job.fromLsn === null ? null : formatLsn(job.fromLsn);
    log.warn({ job: jobName(job), from, reason: job.reason }, 'healing: what the slot missed is read from the table');
    await requireScanColumns(pool, source.table);
    await jobs.begin(job.id);
    const confirmed = (await cursor.read())?.lsn ?? LSN_ZERO;
    this.order = confirmed > LSN_ZERO ? confirmed - 1n : LSN_ZERO;
    await using slot = await makeSlot(this.options);
    const total = { scanned: 0, events: 0 };
    const save = async (progress: ScanProgress): Promise<void> => {
      await jobs.save(job.id, progress);
      total.scanned += progress.scanned;
      total.events += progress.settled;
    };
    await this.awaitVisible(slot, clock, signal);
    const scan = this.scanOf(slot);
    await runScan({ job: jobName(job), source: scan, outlet, clock, from: null, save }, signal);
    const report = { reason: job.reason, from_lsn: from, to_lsn: formatLsn(slot.consistentPoint), ...total };
    await this.close(slot, report);
    this.order = slot.consistentPoint;
    const { events: settled, ...range } = report; // a log never shows what is called events
    log.warn({ job: jobName(job), ...range, settled }, 'healed: the stream goes on from here');
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
      if (tries === TELL_AFTER) log.warn({ slot }, HIDDEN);
      await pause(clock, LOOK_EVERY_MS, signal);
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
    await inTransaction(pool, async (client) => {
      await cursor.adopt(server, slot.consistentPoint, client);
      await cursor.adoptSource(slot.source ?? INCOMPLETE, client);
      await checkpoints.record({ lsn: slot.consistentPoint, snapshot: slot.snapshot }, client);
      await jobs.end(job.id, { state: 'done', report }, client);
    });
  }
}
