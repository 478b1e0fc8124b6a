/** The contract suite finds what it is there for: a sink with one fault fails the test that is named after it. */
import { expect, test } from 'vitest';
import { DELIVERED, type Verdict, type Verdicts } from '../../src/pipeline.ts';
import type { CustomSink, SinkBatch, SinkEvent } from '../../src/sink/custom-sink.ts';
import { type SinkHarness, testContext } from '../../src/sink/testing/harness.ts';
import { sinkContract } from '../../src/sink/testing/sink-contract.ts';
import { envelopeOf } from '../../src/envelope.ts';
import { wireToText } from '../../src/wire-text.ts';

const TOKEN = 'tok-5d41402abc4b2a76';

/** A destination in memory. */
class Place {
  readonly lines: string[] = [];
  refused = '';
  failing = false;
  hanging = false;
  open = 1;
  private begun: (() => void) | undefined;
  readonly asked = new Promise<void>((resolve) => (this.begun = resolve));

  begin(): void {
    this.begun?.();
  }

  take(event: SinkEvent): 'ok' | 'no' | 'away' {
    if (this.failing) return 'away';
    if (event.eventId === this.refused) return 'no';
    this.lines.push(wireToText(envelopeOf(event)));
    return 'ok';
  }
}

const unavailable = (reason: string): Verdict => ({ kind: 'unavailable', reason });

async function send(place: Place, events: readonly SinkEvent[], signal: AbortSignal): Promise<Verdicts> {
  if (signal.aborted) return unavailable('aborted');
  place.begin();
  if (place.hanging) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return unavailable('aborted');
  }
  const verdicts: Verdict[] = [];
  for (const event of events) {
    const before = verdicts.at(-1);
    if (before && before.kind !== 'delivered') verdicts.push(unavailable('not sent'));
    else {
      const answer = place.take(event);
      verdicts.push(
        answer === 'ok' ? DELIVERED : answer === 'no' ? { kind: 'rejected', reason: 'no' } : unavailable('away'),
      );
    }
  }
  return verdicts;
}

type Fault = (place: Place, batch: SinkBatch, signal: AbortSignal) => Promise<Verdicts> | Verdicts;

const good: Fault = (place, { events }, signal) => send(place, events, signal);

function harnessOf(fault: Fault, close: (place: Place) => Promise<void>): SinkHarness {
  const place = new Place();
  const sink: CustomSink = { deliver: async (batch, signal) => fault(place, batch, signal), close: () => close(place) };
  return {
    sink,
    received: () => Promise.resolve(Buffer.from(place.lines.join('\n'))),
    hang: () => Promise.resolve((place.hanging = true)),
    asked: () => place.asked,
    fail: () => Promise.resolve((place.failing = true)),
    refuse: (eventId) => {
      place.refused = eventId;
      return Promise.resolve();
    },
    released: () => (place.open === 0 ? Promise.resolve() : new Promise(() => undefined)),
    secrets: [TOKEN],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const closes = (place: Place): Promise<void> => {
  place.open -= 1;
  return Promise.resolve();
};

/** The first test that fails, with its message. */
async function firstFailure(fault: Fault, close = closes, longestWait?: number): Promise<string | undefined> {
  for (const { name, run } of sinkContract(() => Promise.resolve(harnessOf(fault, close)), longestWait)) {
    const message = await run().then(
      () => undefined,
      (error: unknown) => (error as Error).message,
    );
    if (message !== undefined) return `${name}: ${message}`;
  }
  return undefined;
}

test('a sink that keeps the contract passes', async () => {
  expect(await firstFailure(good)).toBeUndefined();
});

const abortable = 'an abort ends the work within a bound, and what is known is answered';
const quiet = 'a verdict is one line, and shows no secret and no payload';
const away =
  (verdict: (event: SinkEvent | undefined) => unknown): Fault =>
  (place, batch, signal) =>
    place.failing ? (verdict(batch.events[0]) as Verdict) : good(place, batch, signal);

const FAULTS: readonly (readonly [string, Fault, string])[] = [
  [
    'sends large batches backwards',
    (place, { events, ...batch }, signal) =>
      good(place, { ...batch, events: events.length > 30 ? events.toReversed() : events }, signal),
    'it delivers every event, in order: each event arrives once, in order',
  ],
  [
    'sends each event twice',
    (place, { events, ...batch }, signal) => good(place, { ...batch, events: [...events, ...events] }, signal),
    'it delivers every event, in order: one verdict for all, or one for each',
  ],
  [
    'goes on behind a refused event',
    async (place, { events }, signal) => {
      const verdicts = await Promise.all(events.map((event) => send(place, [event], signal)));
      return verdicts.flat();
    },
    'behind an event that is refused nothing arrives: the refused event and what is behind it is not delivered',
  ],
  [
    'goes on, and does not say it',
    async (place, batch, signal) => {
      const verdicts = (await good(place, batch, signal)) as Verdict[];
      if (place.refused !== '') for (const event of batch.events.slice(3)) place.take(event);
      return verdicts;
    },
    'behind an event that is refused nothing arrives: an event behind the refused one was sent',
  ],
  [
    'swallows what goes wrong',
    (place, batch, signal) => (place.failing ? DELIVERED : good(place, batch, signal)),
    `${quiet}: every delivery goes wrong after fail(), and the sink said delivered`,
  ],
  ['shows a token', away(() => unavailable(`401 for ${TOKEN}`)), `${quiet}: a verdict shows a secret`],
  [
    'shows a token as base64',
    away(() => unavailable(`401 for ${Buffer.from(TOKEN).toString('base64')}`)),
    `${quiet}: a verdict shows a secret`,
  ],
  [
    'shows the payload',
    away((event) => unavailable(`cannot take ${event ? wireToText(event.payload) : ''}`)),
    `${quiet}: a verdict shows the payload`,
  ],
  [
    'logs a token',
    (place, batch, signal) => {
      testContext.log.warn({ token: TOKEN }, 'sent');
      return good(place, batch, signal);
    },
    'it delivers every event, in order: the log shows a secret',
  ],
  [
    'has a verdict of its own',
    away(() => ({ kind: 'refused', reason: 'no' })),
    `${quiet}: kind is one of delivered, rejected, failed, unavailable, not refused`,
  ],
  ['gives no reason', away(() => ({ kind: 'failed' })), `${quiet}: a verdict of the kind failed has a reason`],
  [
    'gives a code of two words',
    away(() => ({ kind: 'failed', reason: 'no', code: 'NOT NOW' })),
    `${quiet}: a code is one word`,
  ],
  [
    'waits for ever',
    away(() => ({ kind: 'failed', reason: 'no', retryAfter: 1e12 })),
    `${quiet}: retryAfter is in milliseconds, at most an hour`,
  ],
  [
    'changes the origin',
    (place, batch, signal) => {
      Object.assign(batch.events[0]?.origin ?? {}, { job: 'mine' });
      return good(place, batch, signal);
    },
    'it leaves the event as it was',
  ],
];

test.each(FAULTS)('a sink that %s is found', async (_fault, fault, message) => {
  expect(await firstFailure(fault)).toContain(message);
});

test('a sink that ignores the signal, or never closes, is found in a bounded time', async () => {
  const deaf: Fault = (place, batch, signal) =>
    place.hanging && !signal.aborted ? (place.begin(), new Promise(() => undefined)) : good(place, batch, signal);
  expect(await firstFailure(deaf, closes, 50)).toBe(`${abortable}: deliver had not settled after 50 ms`);
  const leaks = await firstFailure(good, () => Promise.resolve(), 50);
  expect(leaks).toBe(`${abortable}: what the sink opened: its release after close had not settled after 50 ms`);
  const stays = await firstFailure(good, () => new Promise(() => undefined), 50);
  expect(stays).toBe('it delivers every event, in order: close had not settled after 50 ms');
});
