import { configSchema, type Config } from '../../src/config/schema.ts';
import type { Event, Origin } from '../../src/event.ts';
import type { Batch, DeadLetter, LaneRule, Verdicts } from '../../src/pipeline.ts';
import { DELIVERED } from '../../src/pipeline.ts';
import { MemoryLot } from './memory-lot.ts';
import type { Refusal } from '../../src/router/lanes/refusal.ts';
import { Router } from '../../src/router/router.ts';
import { asWire } from '../../src/wire-text.ts';
import { plainOrigin } from '../support/plain-origin.ts';
import { ManualClock, settleMicrotasks } from '../support/manual-clock.ts';

export interface Sent {
  readonly sink: string;
  readonly organization: string;
  readonly events: readonly string[];
  readonly at: number;
  readonly attempt: number;
  /** Absent for the own lane of the organization. */
  readonly lane?: string;
}

export type Answer = (batch: Batch, sink: string) => Verdicts | Promise<Verdicts>;

let sequence = 0;
/** What origins of this file expect and have settled, over all tests of a thread. */
const tally = { expected: 0, settled: 0 };

export function makeOrigin(overrides: Partial<Origin> = {}): Origin {
  sequence += 1;
  const commitLsn = BigInt(sequence * 100);
  return plainOrigin({
    commitLsn,
    xid: 700,
    committedAtMicros: 0n,
    expect: (count) => void (tally.expected += count),
    settle: () => void (tally.settled += 1),
    ...overrides,
  });
}

export function event(organizationId: string, eventId: string, overrides: Partial<Event> = {}): Event {
  return {
    kind: 'event',
    eventId,
    organizationId,
    eventType: 'job.completed',
    eventVersion: 1,
    topic: 'default',
    entityType: null,
    entityId: null,
    target: null,
    idempotencyKey: null,
    payload: asWire('{}'),
    headers: asWire('{}'),
    createdAt: null,
    expiresAt: null,
    origin: makeOrigin(),
    ordinal: 0,
    size: 100,
    parkedId: null,
    ...overrides,
  };
}

export interface HarnessOptions {
  readonly config?: Record<string, unknown>;
  readonly sinks?: readonly string[];
  readonly concurrency?: number;
  readonly answer?: Answer;
  readonly lot?: MemoryLot;
  readonly laneRule?: LaneRule;
  readonly isMapped?: boolean;
}

/** A router between a script of answers and a list of what it did, on a clock that the test turns. */
export class Harness {
  readonly clock = new ManualClock();
  readonly sent: Sent[] = [];
  readonly letters: DeadLetter[] = [];
  readonly refusals: Refusal[] = [];
  readonly recoveries: Refusal[] = [];
  /** Refusals that ended because the event that was refused first left the lane. */
  readonly givenUp: Refusal[] = [];
  readonly pressure: boolean[] = [];
  /** Aborted by the router on a fault of its own. */
  readonly failure = new AbortController();
  readonly router: Router;
  readonly lot: MemoryLot;
  private readonly before = { ...tally };
  closedFor = 0;
  isSerial = false;
  /** Dead letters wait in `unstored` while set. */
  lettersStall = false;
  readonly unstored: (() => void)[] = [];
  parked = 0;
  received = 0;
  asked = 0;
  dropped = 0;
  answer: Answer;

  constructor(options: HarnessOptions = {}) {
    const names = options.sinks ?? ['a'];
    this.answer = options.answer ?? (() => DELIVERED);
    this.lot = options.lot ?? new MemoryLot();
    const closedFor = (): number => this.closedFor;
    const isSerial = (): boolean => this.isSerial;
    this.router = new Router({
      config: this.config(options.config ?? {}, names),
      isMapped: options.isMapped ?? false,
      destinations: names.map((name) => ({
        name,
        concurrency: options.concurrency ?? 4,
        ...(options.laneRule && { laneRule: options.laneRule }),
        get closedFor() {
          return closedFor();
        },
        get isSerial() {
          return isSerial();
        },
        deliver: async (batch: Batch) => {
          const { organizationId: organization, attempt, lane } = batch;
          this.sent.push({
            sink: name,
            organization,
            attempt,
            ...(lane !== undefined && { lane }),
            events: batch.events.map((e) => e.eventId),
            at: this.clock.now(),
          });
          return this.answer(batch, name);
        },
      })),
      deadLetters: {
        store: (letter, stored) => {
          this.letters.push(letter);
          if (this.lettersStall) this.unstored.push(stored);
          else stored();
        },
      },
      lot: this.lot,
      clock: this.clock,
      watcher: {
        parked: (_sink, count) => void (this.parked += count),
        delivered: () => undefined,
        deadLettered: () => undefined,
        dropped: () => void (this.dropped += 1),
        refusing: (refusal) => this.refusals.push(refusal),
        refusingOver: (refusal, isAccepted) => (isAccepted ? this.recoveries : this.givenUp).push(refusal),
        windowWait: () => undefined,
      },
      askVisible: () => void (this.asked += 1),
      onPressure: (full) => this.pressure.push(full),
      random: () => 0.5,
      failure: this.failure,
    });
  }

  /** Deliveries and inserts that events were to have since the harness was made … */
  get held(): number {
    return tally.expected - this.before.expected;
  }

  /** … and those that settled. */
  get settled(): number {
    return tally.settled - this.before.settled;
  }

  accept(organization: string, ...ids: string[]): void {
    for (const id of ids) {
      this.router.accept(event(organization, id, { origin: makeOrigin({ receivedAt: this.clock.now() }) }));
    }
  }

  /** What each request held, in order. */
  get batches(): string[] {
    return this.sent.map((sent) => `${sent.organization}:${sent.events.join(',')}`);
  }

  readonly settle = settleMicrotasks;

  private config(overrides: Record<string, unknown>, names: readonly string[]): Config {
    return configSchema.parse({
      database: { url: 'postgres://127.0.0.1/x' },
      sinks: Object.fromEntries(names.map((name) => [name, { type: 'discard' }])),
      routes: [{ to: [...names] }],
      ...overrides,
    });
  }
}
