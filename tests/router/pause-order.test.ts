import { expect, test } from 'vitest';
import type { Origin } from '../../src/event.ts';
import { type Batch, DELIVERED, type PausedPart, type Verdict, type Verdicts } from '../../src/pipeline.ts';
import { DOWN } from './deliveries.ts';
import { event, Harness, makeOrigin } from './harness.ts';

const REJECTED: Verdict = { kind: 'rejected', reason: '410 gone' };
const ORGANIZATIONS = ['x', 'y', 'z'];
const STEPS = 300;

/** The same numbers for the same seed, from 0 to below 1. */
function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A day of one sink: events come, are seen late, are refused; operators pause and resume what they like. */
class Day {
  readonly harness: Harness;
  readonly accepted = new Map<string, string[]>();
  readonly delivered = new Map<string, string[]>();
  readonly sentWhilePaused: string[] = [];
  private readonly random: () => number;
  private readonly unseen: Origin[] = [];
  private healthy = true;

  constructor(seed: number) {
    this.random = numbersFrom(seed);
    const sink = {
      type: 'discard',
      ...(seed % 3 === 0 && { mode: 'adaptive' }),
      ...(seed % 2 === 0 && { max_age: '20s' }),
      ...(seed % 5 === 0 && { organization_rate: '5/s' }),
    };
    this.harness = new Harness({
      concurrency: 1 + (seed % 2),
      config: {
        sinks: { a: sink },
        batching: { max_events: 3, leading_edge: seed % 3 === 1 },
        delivery: { max_attempts: 100, park_after: '2s' },
      },
      answer: (batch) => this.answer(batch),
    });
    const { lot } = this.harness;
    const read = lot.read.bind(lot);
    lot.read = async (...asked) => {
      const page = await read(...asked);
      await this.passes(50);
      return page;
    };
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step += 1) await this.act();
    this.healthy = true;
    this.see();
    this.harness.lot.release();
    this.harness.router.pause([]);
    for (let minute = 0; minute < 30; minute += 1) await this.harness.clock.advance(60_000);
  }

  private async act(): Promise<void> {
    const { router, lot, clock } = this.harness;
    const what = Math.floor(this.random() * 12);
    if (what < 4) this.accept();
    else if (what === 4) this.healthy = this.random() < 0.6;
    else if (what === 5) this.see();
    else if (what < 8) router.pause(this.parts());
    else if (what === 8) router.wake();
    else if (what === 9) lot.stalled = true;
    else if (what === 10) lot.release();
    await clock.advance(Math.floor(this.random() ** 3 * 3_000));
  }

  private accept(): void {
    const organization = ORGANIZATIONS[Math.floor(this.random() * 3)] as string;
    const known = this.accepted.get(organization) ?? [];
    const origin = makeOrigin({ receivedAt: this.harness.clock.now(), visible: this.random() < 0.7 });
    if (!origin.visible) this.unseen.push(origin);
    const count = 1 + Math.floor(this.random() * 4);
    for (let n = 0; n < count; n += 1) {
      const id = `${organization}${known.length + 1}`;
      known.push(id);
      const createdAt = new Date(this.harness.clock.wallTime()).toISOString();
      this.harness.router.accept(event(organization, id, { origin, createdAt, ordinal: n }));
    }
    this.accepted.set(organization, known);
  }

  /** Some time, at most that many milliseconds. */
  private passes(most: number): Promise<void> {
    return new Promise((resolve) => void this.harness.clock.schedule(this.random() * most, resolve));
  }

  private see(): void {
    for (const origin of this.unseen.splice(0)) origin.visible = true;
    this.harness.router.seen();
  }

  private parts(): PausedPart[] {
    if (this.random() < 0.4) return [];
    if (this.random() < 0.3) return [{ sink: 'a', organizationId: null }];
    return ORGANIZATIONS.filter(() => this.random() < 0.5).map((organizationId) => ({ sink: 'a', organizationId }));
  }

  private async answer({ organizationId, events }: Batch): Promise<Verdicts> {
    if (this.harness.router.isPaused({ sink: 'a', organizationId, lane: '' }))
      this.sentWhilePaused.push(organizationId);
    const judged = this.healthy;
    const verdicts = events.map(() => (this.random() < 0.1 ? REJECTED : DELIVERED));
    await this.passes(200);
    if (!judged) return DOWN;
    const known = this.delivered.get(organizationId) ?? [];
    known.push(...events.flatMap(({ eventId }, at) => (verdicts[at] === DELIVERED ? [eventId] : [])));
    this.delivered.set(organizationId, known);
    return verdicts;
  }
}

const numberOf = (id: string): number => Number(id.slice(1));

test.each(Array.from({ length: 30 }, (_, seed) => seed))(
  'day %i: whatever is paused and resumed, nothing is lost, doubled or out of order',
  async (seed) => {
    const day = new Day(seed);
    await day.run();
    const { harness, accepted, delivered } = day;
    expect(harness.failure.signal.aborted).toBe(false);
    expect(day.sentWhilePaused).toEqual([]);
    const letters = harness.letters.map(({ item }) => (item.kind === 'event' ? item.eventId : ''));
    for (const [organization, ids] of accepted) {
      const own = delivered.get(organization) ?? [];
      expect(own).toEqual(own.toSorted((a, b) => numberOf(a) - numberOf(b)));
      const dead = letters.filter((id) => id.startsWith(organization));
      expect([...own, ...dead].toSorted()).toEqual(ids.toSorted());
    }
    expect(harness.lot.rows).toEqual([]);
    expect(harness.router.state().bufferedBytes).toBe(0);
    expect(Object.values(harness.router.state().lanes).every((count) => count === 0)).toBe(true);
  },
);
