/**
 * What the relay keeps in Postgres for later: parked events, dead letters, and which lanes wait for a person. Operators
 * change these tables too; a notification tells.
 */
import { pause, type Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import { messageOf } from './errors.ts';
import type { Lsn } from './lsn.ts';
import type { Logger } from './observe/log.ts';
import type { Stall } from './observe/status-report.ts';
import { readBlockedLanes } from './parking/blocked-lanes.ts';
import { DeadLetterOffice } from './parking/dead-letter-office.ts';
import { DeadLetterStore } from './parking/dead-letter-store.ts';
import { adoptParkedSinks } from './parking/parked-sinks.ts';
import { ParkedStore } from './parking/parked-store.ts';
import { ParkingLot } from './parking/parking-lot.ts';
import { parseWakeMessage, WAKE_CHANNEL } from './parking/wake-message.ts';
import { Listener } from './postgres/listener.ts';
import type { Ground } from './relay-ground.ts';
import type { Router } from './router/router.ts';

export interface RelayCustodyOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly ground: Ground;
  readonly received: () => Lsn;
  readonly fail: (error: unknown) => void;
}

const LOOK_AGAIN_MS = 1_000;

export class RelayCustody implements AsyncDisposable {
  readonly lot: ParkingLot;
  readonly letters: DeadLetterOffice;
  private readonly options: RelayCustodyOptions;
  private readonly parked: ParkedStore;
  private readonly closing = new AbortController();
  private listener: Listener | undefined;
  private looking: Promise<void> | undefined;
  private lookAgain = false;

  constructor(options: RelayCustodyOptions) {
    const { log, clock, ground, received, fail: onLost } = options;
    this.options = options;
    this.letters = new DeadLetterOffice({
      write: new DeadLetterStore(ground.pool, ground.cursor).storeDeadLetters,
      clock,
      onStall: (message, waiting) =>
        log.error({ waiting }, `dead letters cannot be stored, the slot waits: ${message}`),
      onLost,
    });
    this.parked = new ParkedStore(ground.pool, ground.cursor);
    this.lot = new ParkingLot({
      store: this.parked,
      clock,
      received,
      onStall: (message, waiting) => log.error({ waiting }, `events cannot be parked, the slot waits: ${message}`),
      onLost,
    });
  }

  /** What waits in Postgres is older than anything the slot will send. */
  async restore(router: Router): Promise<void> {
    const { ground, config } = this.options;
    await adoptParkedSinks(ground.pool, ground.cursor, config.sinks);
    router.restore(await this.parked.lanes(), await readBlockedLanes(ground.pool, ground.slot));
  }

  /** Hears from here on what operators change. */
  start(router: Router): void {
    const { config, clock, ground, log } = this.options;
    this.listener = new Listener({
      url: config.database.url,
      applicationName: 'walpost wake',
      channel: WAKE_CHANNEL,
      clock,
      onMessage: (payload) => {
        const message = parseWakeMessage(payload);
        if (message?.slot !== ground.slot) return;
        if (message.retry) router.wake(message);
        this.look(router);
      },
      onListening: () => this.look(router),
      onError: (message) => log.warn(`until LISTEN works again, what operators change is not noticed: ${message}`),
    });
  }

  /** What cannot be stored now, and so holds the slot. */
  get stalls(): readonly Stall[] {
    return [...this.lot.stalls, ...this.letters.stalls];
  }

  close(): void {
    this.closing.abort();
    this.letters.close();
    this.lot.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.listener?.[Symbol.asyncDispose]();
    await this.looking;
  }

  /** Frees the lanes whose dead letters are gone; one look at a time, and one more for what came meanwhile. */
  private look(router: Router): void {
    this.lookAgain = true;
    this.looking ??= this.lookWhileAsked(router).finally(() => {
      this.looking = undefined;
    });
  }

  private async lookWhileAsked(router: Router): Promise<void> {
    const { ground, clock, log } = this.options;
    const { signal } = this.closing;
    while (this.lookAgain && !signal.aborted) {
      this.lookAgain = false;
      const asked = router.blocked();
      if (asked.length === 0) continue;
      try {
        const still = await readBlockedLanes(ground.pool, ground.slot);
        if (!signal.aborted) router.unblock(asked, still);
      } catch (error) {
        if (signal.aborted) return;
        log.warn(`trying again to ask which blocked lanes may go on: ${messageOf(error)}`);
        this.lookAgain = true;
        await pause(clock, LOOK_AGAIN_MS, signal);
      }
    }
  }
}
