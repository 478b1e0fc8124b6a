/**
 * The receivers of the model, and the rules that they keep: what arrives for the first time arrives in commit order, but
 * for events that were refused alone; and nobody gives up a healthy event because of a receiver that takes nothing.
 */
import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { pause } from '../../src/clock.ts';
import type { Event } from '../../src/event.ts';
import { DELIVERED, type Batch, type Verdict, type Verdicts } from '../../src/pipeline.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import type { Transaction } from './server.ts';
import { MOODS, ORGANIZATIONS, SINKS, type Mood } from './commands.ts';
import { laneOfEntity } from '../../src/router/lanes/lane-rule.ts';

const TIMEOUT_MS = 2_000;
const SLOW_MS = 500;
const MAX_ATTEMPTS = 3;
const CRASHES: Verdict = { kind: 'unavailable', reason: 'status 500', answered: true };
const REFUSES: Verdict = { kind: 'failed', reason: 'status 422' };
const UNSENT: Verdict = { kind: 'unavailable', reason: 'not sent', unsent: true };

const laneKey = (sink: string, organization: string): string => `${sink} ${organization}`;

export class ModelSinks {
  readonly delivered = new Set<string>();
  readonly poisoned = new Map<string, 'refused' | 'crashes'>();
  duplicates = 0;
  /** `sink event`: requests that held it, since the faults stopped. */
  readonly tries = new Map<string, number>();
  private readonly log: readonly Transaction[];
  /** `sink event`: how often it was refused alone. */
  private readonly alone = new Map<string, number>();
  /** `sink event`: what the sink had accepted when it first refused the event. */
  private readonly refusedAt = new Map<string, number>();
  private readonly accepted = new Map<string, number>();
  private readonly moods = new Map<string, Mood>();
  private readonly clock: ManualClock;
  private readonly isDead: (key: string) => boolean;

  constructor(clock: ManualClock, log: readonly Transaction[], isDead: (key: string) => boolean) {
    this.clock = clock;
    this.log = log;
    this.isDead = isDead;
  }

  /** Some event meets an error of the sink's own, or is alone: only others that are accepted meanwhile make that its fault. */
  get needsOthers(): boolean {
    return this.poisoned.size > 0;
  }

  setMood(sink: string, organization: string | null, mood: Mood): void {
    for (const each of organization === null ? ORGANIZATIONS : [organization])
      this.moods.set(laneKey(sink, each), mood);
  }

  recover(): void {
    this.tries.clear();
    for (const sink of SINKS) this.setMood(sink, null, MOODS[0]);
  }

  async deliver(sink: string, batch: Batch, signal: AbortSignal): Promise<Verdicts> {
    const { organizationId, events } = batch;
    setMaxListeners(0, signal);
    if (signal.aborted) return { kind: 'unavailable', reason: 'aborted' };
    for (const event of events) {
      assert.equal(event.organizationId, organizationId, 'a batch of two organizations');
      assert.ok(event.origin.visible, `event ${event.eventId} is sent before it is visible`);
      assert.ok(isInItsLane(sink, batch, event), `event ${event.eventId} is in lane ${batch.lane} of ${sink}`);
    }
    for (const { eventId } of events) bump(this.tries, `${sink} ${eventId}`);
    const verdicts = await this.answer(sink, batch, signal);
    if (!Array.isArray(verdicts)) this.noteRefusal(sink, verdicts as Verdict, events);
    else for (const [at, event] of events.entries()) this.noteRefusal(sink, verdicts[at] as Verdict, [event]);
    return verdicts;
  }

  /** It was given up as its own failure. */
  checkDeath(sink: string, eventId: string): void {
    if (this.poisoned.has(eventId)) return;
    const then = this.refusedAt.get(`${sink} ${eventId}`);
    assert.ok(then !== undefined, `healthy event ${eventId} was given up, and ${sink} never refused it`);
    const since = (this.accepted.get(sink) ?? 0) - then;
    assert.ok(since > 0, `healthy event ${eventId} was given up, and ${sink} accepted nothing since it refused it`);
  }

  private noteRefusal(sink: string, said: Verdict, events: readonly Event[]): void {
    if (said.kind !== 'failed' && (said.kind !== 'unavailable' || said.answered !== true)) return;
    for (const { eventId } of events) {
      const key = `${sink} ${eventId}`;
      if (events.length === 1) bump(this.alone, key);
      if (!this.refusedAt.has(key)) this.refusedAt.set(key, this.accepted.get(sink) ?? 0);
    }
  }

  private async answer(sink: string, batch: Batch, signal: AbortSignal): Promise<Verdicts> {
    const { organizationId, events } = batch;
    switch (this.moods.get(laneKey(sink, organizationId)) ?? 'up') {
      case 'up':
        return this.take(sink, events);
      case 'slow': {
        const verdicts = this.take(sink, events);
        await pause(this.clock, SLOW_MS, signal);
        return verdicts;
      }
      case 'down':
        return { kind: 'unavailable', reason: 'connection refused' };
      case 'broken':
        return CRASHES;
      case 'refusing':
        return REFUSES;
      case 'hanging':
        await pause(this.clock, TIMEOUT_MS, signal);
        return { kind: 'unavailable', reason: 'timeout', slow: true };
      case 'mute':
        this.take(sink, events);
        return { kind: 'unavailable', reason: 'connection reset' };
      case 'half': {
        const half = Math.ceil(events.length / 2);
        const taken = this.take(sink, events.slice(0, half));
        if (!Array.isArray(taken) && taken !== DELIVERED) return taken;
        const each = Array.isArray(taken) ? (taken as readonly Verdict[]) : [];
        return events.map((_, index) =>
          index < half ? (each[index] ?? DELIVERED) : { kind: 'unavailable', reason: 'status 429' },
        );
      }
    }
  }

  /** All or nothing: a batch with an event that the sink never accepts is refused as a whole. `c` takes one after the other. */
  private take(sink: string, events: readonly Event[]): Verdicts {
    if (sink === 'c') return this.takeEach(sink, events);
    const bad = events.map(({ eventId }) => this.poisoned.get(eventId)).find((kind) => kind !== undefined);
    if (bad) return bad === 'crashes' ? CRASHES : REFUSES;
    for (const event of events) this.arrive(sink, event);
    this.accepted.set(sink, (this.accepted.get(sink) ?? 0) + events.length);
    return DELIVERED;
  }

  private takeEach(sink: string, events: readonly Event[]): Verdicts {
    let isOver = false;
    return events.map((event): Verdict => {
      if (isOver) return UNSENT;
      const bad = this.poisoned.get(event.eventId);
      isOver = bad !== undefined;
      if (bad) return bad === 'crashes' ? CRASHES : REFUSES;
      this.arrive(sink, event);
      this.accepted.set(sink, (this.accepted.get(sink) ?? 0) + 1);
      return DELIVERED;
    });
  }

  private arrive(sink: string, event: Event): void {
    const { eventId } = event;
    const key = `${sink} ${eventId}`;
    if (this.delivered.has(key)) {
      this.duplicates += 1;
      return;
    }
    this.delivered.add(key);
    if (this.isDead(key)) return; // a dead letter has left the order
    if (sink !== 'c') this.checkOrder(sink, event);
  }

  /**
   * Whatever of its lane was committed before it and is still to come was refused alone, and an event before them all as
   * often as `max_attempts` says. A crash may have kept the relay from noting that that one has arrived, or is given up.
   */
  private checkOrder(sink: string, { eventId, organizationId, entityId }: Event): void {
    let most = 0;
    for (const event of this.log.flatMap(({ events }) => events)) {
      if (Number(event.id) >= Number(eventId)) return;
      const key = `${sink} ${event.id}`;
      if (event.organization !== organizationId || (sink === 'b' && event.entity !== entityId)) continue;
      const alone = this.alone.get(key) ?? 0;
      most = Math.max(most, alone);
      if (this.delivered.has(key) || this.isDead(key)) continue;
      const allowed = alone >= 1 && most >= MAX_ATTEMPTS;
      assert.ok(allowed, `event ${eventId} overtakes ${event.id}, which ${sink} refused alone ${alone} times`);
    }
  }
}

function isInItsLane(sink: string, { lane, events }: Batch, event: Event): boolean {
  if (lane === undefined) return sink !== 'b' || event.entityId === null;
  return sink === 'b' ? lane === laneOfEntity(event) : sink === 'c' && events.length === 1 && lane === event.eventId;
}

function bump(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
