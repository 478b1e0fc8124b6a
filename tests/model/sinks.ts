/** The receivers of the model, and the rule that they keep: what arrives for the first time arrives in commit order. */
import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { pause } from '../../src/clock.ts';
import type { Event } from '../../src/event.ts';
import { DELIVERED, type Batch, type Verdicts } from '../../src/pipeline.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { MOODS, ORGANIZATIONS, SINKS, type Mood } from './commands.ts';

const TIMEOUT_MS = 2_000;
const SLOW_MS = 500;

const laneKey = (sink: string, organization: string): string => `${sink} ${organization}`;

export class ModelSinks {
  readonly delivered = new Set<string>();
  readonly poisoned = new Set<string>();
  duplicates = 0;
  private readonly highest = new Map<string, number>();
  private readonly moods = new Map<string, Mood>();
  private readonly clock: ManualClock;
  private readonly isDead: (key: string) => boolean;

  constructor(clock: ManualClock, isDead: (key: string) => boolean) {
    this.clock = clock;
    this.isDead = isDead;
  }

  setMood(sink: string, organization: string | null, mood: Mood): void {
    for (const each of organization === null ? ORGANIZATIONS : [organization])
      this.moods.set(laneKey(sink, each), mood);
  }

  recover(): void {
    for (const sink of SINKS) this.setMood(sink, null, MOODS[0]);
  }

  async deliver(sink: string, batch: Batch, signal: AbortSignal): Promise<Verdicts> {
    const { organizationId, events } = batch;
    setMaxListeners(0, signal);
    if (signal.aborted) return { kind: 'unavailable', reason: 'aborted' };
    for (const event of events) {
      assert.equal(event.organizationId, organizationId, 'a batch of two organizations');
      assert.ok(event.origin.visible, `event ${event.eventId} is sent before it is visible`);
    }
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
        return { kind: 'unavailable', reason: 'status 500', answered: true };
      case 'hanging':
        await pause(this.clock, TIMEOUT_MS, signal);
        return { kind: 'unavailable', reason: 'timeout', slow: true };
      case 'mute':
        this.take(sink, events);
        return { kind: 'unavailable', reason: 'connection reset' };
      case 'half': {
        const half = Math.ceil(events.length / 2);
        if (this.take(sink, events.slice(0, half)) !== DELIVERED) return { kind: 'failed', reason: 'status 422' };
        return events.map((_, index) => (index < half ? DELIVERED : { kind: 'unavailable', reason: 'status 429' }));
      }
    }
  }

  /** All or nothing: a batch with an event that the sink never accepts is refused as a whole. */
  private take(sink: string, events: readonly Event[]): Verdicts {
    if (events.some((event) => this.poisoned.has(event.eventId))) return { kind: 'failed', reason: 'status 422' };
    for (const event of events) this.arrive(sink, event);
    return DELIVERED;
  }

  private arrive(sink: string, { eventId, organizationId }: Event): void {
    const key = `${sink} ${eventId}`;
    if (this.delivered.has(key)) {
      this.duplicates += 1;
      return;
    }
    this.delivered.add(key);
    if (this.isDead(key)) return; // a dead letter has left the order
    const lane = laneKey(sink, organizationId);
    const before = this.highest.get(lane) ?? 0;
    assert.ok(Number(eventId) > before, `event ${eventId} comes to ${lane} after event ${before}`);
    this.highest.set(lane, Number(eventId));
  }
}
