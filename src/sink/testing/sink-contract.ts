/**
 * What every sink keeps, whatever it delivers to, as tests that any runner can run:
 *
 *   for (const { name, run } of sinkContract(makeHarness)) test(name, run);
 *
 * The harness starts the real destination. walpost's own sinks are tested with the same code.
 */
import assert from 'node:assert/strict';
import { systemClock } from '../../clock.ts';
import { envelopeOf } from '../../envelope.ts';
import type { Verdict, Verdicts } from '../../pipeline.ts';
import type { SinkContext } from '../../sink-context.ts';
import { wireBytes, wireToText } from '../../wire-text.ts';
import type { CustomSink, SinkEvent } from '../custom-sink.ts';
import { sampleBatch, sampleEvent } from './sample-events.ts';

export interface SinkHarness extends AsyncDisposable {
  readonly sink: CustomSink;
  /** The bytes of what the destination has received, in the order of arrival; null for a sink that keeps nothing. */
  received(): Promise<Buffer | null>;
  /** From now on the destination takes work and never answers; resolves false where the sink has no destination. */
  hang(): Promise<boolean>;
  /** Resolves once the destination has begun to be asked, after `hang`. */
  asked(): Promise<void>;
  /** From now on every delivery goes wrong, with an answer that echoes what it was sent; false where nothing can. */
  fail(): Promise<boolean>;
  /** Resolves when nothing that the sink opened is open any more. */
  released(): Promise<void>;
  /** Values that no verdict may show. */
  readonly secrets: readonly string[];
}

const nothing = (): void => undefined;

/** A context for tests: the clock of the system, and a log and counters that keep nothing. */
export const testContext: SinkContext = {
  name: 'under-test',
  clock: systemClock,
  log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
  metrics: { count: nothing },
};

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

type Check = (harness: SinkHarness) => Promise<void>;

const never = (): AbortSignal => new AbortController().signal;

/** One test each; every one makes a harness of its own. */
export function sinkContract(makeHarness: () => Promise<SinkHarness>): readonly ContractTest[] {
  const odd = Object.entries(ODD_PAYLOADS).map(([name, payload]): [string, Check] => [
    `the bytes of ${name} arrive as they are`,
    (harness) => arrivesAsItIs(harness, payload),
  ]);
  const checks: [string, Check][] = [
    ['it delivers every event, in order', deliversInOrder],
    ...odd,
    ['it leaves the event as it was', leavesTheEvent],
    ['an abort ends the work within a bound, and what is known is answered', endsOnAbort],
    ['a signal that has aborted already starts nothing', startsNothing],
    ['close releases what was opened', releases],
    ['a verdict is one line, and shows no secret and no payload', keepsSecrets],
  ];
  return checks.map(([name, check]) => ({
    name,
    run: async () => {
      await using harness = await makeHarness();
      await check(harness);
    },
  }));
}

async function deliversInOrder(harness: SinkHarness): Promise<void> {
  const events = Array.from({ length: 20 }, () => sampleEvent());
  for (const part of [events.slice(0, 1), events.slice(1, 12), events.slice(12)]) {
    assert.deepEqual(
      kinds(await harness.sink.deliver(sampleBatch(part), never()), part),
      part.map(() => 'delivered'),
    );
  }
  const received = await harness.received();
  if (received)
    assert.deepEqual(
      idsIn(received, events),
      events.map(({ eventId }) => eventId),
    );
  await harness.sink.close();
}

async function arrivesAsItIs(harness: SinkHarness, payload: string): Promise<void> {
  const event = sampleEvent({ payload, headers: '{"x": 1.50}' });
  const bytes = wireBytes(event.payload);
  assert.deepEqual(kinds(await harness.sink.deliver(sampleBatch([event]), never()), [event]), ['delivered']);
  const received = await harness.received();
  if (received) assert.ok(holdsMember(received, bytes));
  await harness.sink.close();
}

async function leavesTheEvent(harness: SinkHarness): Promise<void> {
  const event = sampleEvent({ payload: '{"a": "é"}' });
  const before = wireToText(envelopeOf(event));
  await harness.sink.deliver(sampleBatch([event]), never());
  assert.equal(wireToText(event.payload), '{"a": "é"}');
  assert.equal(wireToText(envelopeOf(event)), before);
  await harness.sink.close();
}

async function endsOnAbort(harness: SinkHarness): Promise<void> {
  if (!(await harness.hang())) return await harness.sink.close();
  const events = [sampleEvent(), sampleEvent(), sampleEvent()];
  const controller = new AbortController();
  const delivering = harness.sink.deliver(sampleBatch(events), controller.signal);
  await harness.asked();
  const aborted = performance.now();
  controller.abort();
  const verdicts = await delivering.catch((): Verdicts => ({ kind: 'unavailable', reason: 'it threw' }));
  assert.ok(performance.now() - aborted < ABORT_BOUND, 'it ended too late after the abort');
  assert.deepEqual(kinds(verdicts, events), ['unavailable', 'unavailable', 'unavailable']);
  await harness.sink.close();
  await harness.released();
}

async function startsNothing(harness: SinkHarness): Promise<void> {
  if (!(await harness.hang())) return await harness.sink.close();
  const events = [sampleEvent()];
  const verdicts = await harness.sink
    .deliver(sampleBatch(events), AbortSignal.abort())
    .catch((): Verdicts => ({ kind: 'unavailable', reason: 'it threw' }));
  assert.deepEqual(kinds(verdicts, events), ['unavailable']);
  await harness.sink.close();
  const received = await harness.received();
  if (received) assert.deepEqual(idsIn(received, events), []);
}

async function releases(harness: SinkHarness): Promise<void> {
  await harness.sink.deliver(sampleBatch([sampleEvent(), sampleEvent()]), never());
  await harness.sink.close();
  await harness.released();
}

async function keepsSecrets(harness: SinkHarness): Promise<void> {
  if (!(await harness.fail())) return await harness.sink.close();
  const events = [sampleEvent(), sampleEvent()];
  const verdicts = await harness.sink.deliver(sampleBatch(events), never());
  const each = inFull(verdicts, events);
  assert.ok(each.some(({ kind }) => kind !== 'delivered'));
  for (const verdict of each) {
    if (verdict.kind === 'delivered') continue;
    assert.match(verdict.reason, /^[ -~]{1,200}$/);
    assert.match(verdict.answer ?? '', /^[^\p{Cc}]{0,300}$/u);
    for (const secret of harness.secrets)
      assert.ok(!JSON.stringify(verdict).includes(secret), 'a verdict shows a secret');
  }
  await harness.sink.close();
}

function inFull(verdicts: Verdicts, events: readonly SinkEvent[]): readonly Verdict[] {
  const each = Array.isArray(verdicts) ? (verdicts as readonly Verdict[]) : events.map(() => verdicts as Verdict);
  assert.equal(each.length, events.length, 'one verdict for all, or one for each');
  return each;
}

function kinds(verdicts: Verdicts, events: readonly SinkEvent[]): string[] {
  return inFull(verdicts, events).map(({ kind }) => kind);
}

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
