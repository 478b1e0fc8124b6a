/**
 * What every sink keeps, whatever it delivers to, as tests that any runner can run:
 *
 *   for (const { name, run } of sinkContract(makeHarness)) test(name, run);
 *
 * The harness starts the real destination. walpost's own sinks are tested with the same code.
 */
import assert from 'node:assert/strict';
import { envelopeOf } from '../../envelope.ts';
import type { Verdict } from '../../pipeline.ts';
import { wireBytes, wireToText } from '../../wire-text.ts';
import type { SinkEvent } from '../custom-sink.ts';
import { BoundedHarness, MARKED_PAYLOAD, showsNone } from './bounded-harness.ts';
import { type SinkHarness, takeLog } from './harness.ts';
import { sampleEvent } from './sample-events.ts';

/** Payloads that a parse and a print would change, and text that breaks naive writers. */
const ODD_PAYLOADS: Readonly<Record<string, string>> = {
  'a number of 19 digits': '{"n": 9223372036854775808}',
  'a trailing zero': '{"n": 0.10, "m": 100.000}',
  'a number beyond a double': '{"n": 1e400}',
  'a text of 100 KB': JSON.stringify({ text: 'långt '.repeat(17_000) }),
  'an emoji, as it is and escaped': '{"a": "🧾 👩‍👩‍👧", "b": "\\ud83e\\uddfe"}',
  'line separators': '{"a": "\u2028\u2029", "b": "\\u2028"}',
  'quotes, backslashes and control characters': '{"a": "\\"\\\\\\n\\t\\u0001"}',
  'a bare scalar': '"text"',
  null: 'null',
};

const ABORT_BOUND = 2000;

export interface ContractTest {
  readonly name: string;
  readonly run: () => Promise<void>;
}

type Check = (subject: BoundedHarness) => Promise<void>;

/**
 * One test each; every one makes a harness of its own.
 *
 * @param longestWait milliseconds; a sink that has not settled by then fails
 */
export function sinkContract(makeHarness: () => Promise<SinkHarness>, longestWait = 10_000): readonly ContractTest[] {
  const odd = Object.entries(ODD_PAYLOADS).map(([name, payload]): [string, Check] => [
    `the bytes of ${name} arrive as they are`,
    (subject) => arrivesAsItIs(subject, payload),
  ]);
  const checks: [string, Check][] = [
    ['it delivers every event, in order', deliversInOrder],
    ['batches in flight together keep their orders', deliversTogether],
    ...odd,
    ['it leaves the event as it was', leavesTheEvent],
    ['behind an event that is refused nothing arrives', stopsAtRefused],
    ['an abort ends the work within a bound, and what is known is answered', endsOnAbort],
    ['a signal that has aborted already starts nothing', startsNothing],
    ['close releases what was opened', releases],
    ['a verdict is one line, and shows no secret and no payload', keepsSecrets],
  ];
  return checks.map(([name, check]) => ({
    name,
    run: async () => {
      takeLog();
      await using harness = await makeHarness();
      await check(new BoundedHarness(harness, longestWait));
      showsNone(takeLog(), harness.secrets, 'the log');
    },
  }));
}

async function deliversInOrder(subject: BoundedHarness): Promise<void> {
  const events = Array.from({ length: 50 }, () => sampleEvent());
  for (const part of [events.slice(0, 1), events.slice(1, 12), events.slice(12)]) await deliversAll(subject, part);
  await arrived(subject, events);
  await subject.close();
}

async function deliversTogether(subject: BoundedHarness): Promise<void> {
  const batches = ['1', '2', '3'].map((end) => {
    const organizationId = `3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f000${end}`;
    return Array.from({ length: 10 }, () => sampleEvent({ organizationId }));
  });
  await Promise.all(batches.map((events) => deliversAll(subject, events)));
  for (const events of batches) await arrived(subject, events);
  await subject.close();
}

async function arrivesAsItIs(subject: BoundedHarness, payload: string): Promise<void> {
  const event = sampleEvent({ payload, headers: '{"x": 1.50}' });
  const bytes = wireBytes(event.payload);
  await deliversAll(subject, [event]);
  const received = await subject.harness.received();
  if (received) assert.ok(holdsMember(received, bytes), 'the payload has not arrived as it is');
  await subject.close();
}

async function leavesTheEvent(subject: BoundedHarness): Promise<void> {
  const event = sampleEvent({ payload: '{"a": "é"}' });
  const before = { fields: { ...event, origin: { ...event.origin } }, envelope: wireToText(envelopeOf(event)) };
  await subject.deliver([event]);
  assert.equal(wireToText(event.payload), '{"a": "é"}');
  assert.equal(wireToText(envelopeOf(event)), before.envelope);
  assert.deepEqual({ ...event, origin: { ...event.origin } }, before.fields);
  await subject.close();
}

async function stopsAtRefused(subject: BoundedHarness): Promise<void> {
  const events = Array.from({ length: 5 }, () => sampleEvent());
  const [first, second, refused] = events;
  if (!subject.harness.refuse || !first || !second || !refused) return await subject.close();
  await subject.harness.refuse(refused.eventId);
  const verdicts = kinds(await subject.deliver(events));
  assert.deepEqual(verdicts.slice(0, 2), ['delivered', 'delivered'], 'what came before the refused event is delivered');
  assert.ok(
    verdicts.slice(2).every((kind) => kind !== 'delivered'),
    `the refused event and what is behind it is not delivered, but ${verdicts.slice(2).join(', ')}`,
  );
  const received = await subject.harness.received();
  if (received) {
    const ids = new Set(idsIn(received, events));
    ids.delete(refused.eventId); // whether it came that far is the destination's matter
    assert.deepEqual([...ids], [first.eventId, second.eventId], 'an event behind the refused one was sent');
  }
  await subject.close();
}

async function endsOnAbort(subject: BoundedHarness): Promise<void> {
  if (!(await subject.harness.hang())) return await subject.close();
  const controller = new AbortController();
  const delivering = subject.deliver([sampleEvent(), sampleEvent(), sampleEvent()], controller.signal);
  delivering.catch(() => undefined); // it is awaited below
  await subject.within('the request to the destination', subject.harness.asked());
  controller.abort();
  const verdicts = await subject.within('deliver after the abort', delivering, ABORT_BOUND);
  assert.deepEqual(kinds(verdicts), ['unavailable', 'unavailable', 'unavailable']);
  await subject.close();
  await subject.released();
}

async function startsNothing(subject: BoundedHarness): Promise<void> {
  if (!(await subject.harness.hang())) return await subject.close();
  const events = [sampleEvent()];
  assert.deepEqual(kinds(await subject.deliver(events, AbortSignal.abort())), ['unavailable']);
  await subject.close();
  const received = await subject.harness.received();
  if (received) assert.deepEqual(idsIn(received, events), []);
}

async function releases(subject: BoundedHarness): Promise<void> {
  await subject.deliver([sampleEvent(), sampleEvent()]);
  await subject.close();
  await subject.released();
}

/** `deliver` looks at each verdict. */
async function keepsSecrets(subject: BoundedHarness): Promise<void> {
  if (!(await subject.harness.fail())) return await subject.close();
  const events = [sampleEvent({ payload: MARKED_PAYLOAD }), sampleEvent({ payload: MARKED_PAYLOAD })];
  const verdicts = kinds(await subject.deliver(events));
  assert.ok(
    verdicts.some((kind) => kind !== 'delivered'),
    'every delivery goes wrong after fail(), and the sink said delivered',
  );
  await subject.close();
}

async function deliversAll(subject: BoundedHarness, events: readonly SinkEvent[]): Promise<void> {
  const wanted = events.map(() => 'delivered');
  assert.deepEqual(kinds(await subject.deliver(events)), wanted, 'what arrived is delivered');
}

async function arrived(subject: BoundedHarness, events: readonly SinkEvent[]): Promise<void> {
  const received = await subject.harness.received();
  const ids = events.map(({ eventId }) => eventId);
  if (received) assert.deepEqual(idsIn(received, events), ids, 'each event arrives once, in order');
}

const kinds = (verdicts: readonly Verdict[]): string[] => verdicts.map(({ kind }) => kind);

/** As the value of some member of a JSON object. */
function holdsMember(received: Buffer, value: Buffer): boolean {
  return ['}', ','].some((end) => received.includes(Buffer.concat([Buffer.from('":'), value, Buffer.from(end)])));
}

/** The ids of the events as they occur in what arrived. */
function idsIn(received: Buffer, events: readonly SinkEvent[]): string[] {
  const known = new Set(events.map(({ eventId }) => eventId));
  const found = received.toString('latin1').match(/[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/g) ?? [];
  return found.filter((id) => known.has(id));
}
