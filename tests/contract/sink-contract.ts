/**
 * What every sink keeps, whatever it delivers to. A sink's test file calls `describeSinkContract` with a harness that
 * starts the real destination.
 */
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { envelopeOf } from '../../src/envelope.ts';
import type { Event } from '../../src/event.ts';
import type { Sink, Verdict, Verdicts } from '../../src/pipeline.ts';
import { createLog } from '../../src/observe/log.ts';
import type { SinkContext } from '../../src/sink-context.ts';
import { wireBytes, wireToText } from '../../src/wire-text.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

export interface SinkHarness extends AsyncDisposable {
  readonly sink: Sink;
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

export const contractContext: SinkContext = {
  name: 'under-test',
  clock: systemClock,
  log: createLog({ level: 'silent' }),
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

export function describeSinkContract(name: string, makeHarness: () => Promise<SinkHarness>): void {
  const never = (): AbortSignal => new AbortController().signal;

  describe(`${name} keeps the contract of a sink`, () => {
    test('it delivers every event, in order', async () => {
      await using harness = await makeHarness();
      const events = Array.from({ length: 20 }, () => sampleEvent());
      for (const part of [events.slice(0, 1), events.slice(1, 12), events.slice(12)]) {
        expect(kinds(await harness.sink.deliver(sampleBatch(part), never()), part)).toEqual(
          part.map(() => 'delivered'),
        );
      }
      const received = await harness.received();
      if (received) expect(idsIn(received, events)).toEqual(events.map(({ eventId }) => eventId));
      await harness.sink.close();
    });

    test.for(Object.entries(ODD_PAYLOADS))('the bytes of %s arrive as they are', async ([, payload]) => {
      await using harness = await makeHarness();
      const event = sampleEvent({ payload, headers: '{"x": 1.50}' });
      const bytes = wireBytes(event.payload);
      expect(kinds(await harness.sink.deliver(sampleBatch([event]), never()), [event])).toEqual(['delivered']);
      const received = await harness.received();
      if (received) expect(holdsMember(received, bytes)).toBe(true);
      await harness.sink.close();
    });

    test('it leaves the event as it was', async () => {
      await using harness = await makeHarness();
      const event = sampleEvent({ payload: '{"a": "é"}' });
      const before = wireToText(envelopeOf(event));
      await harness.sink.deliver(sampleBatch([event]), never());
      expect(wireToText(event.payload)).toBe('{"a": "é"}');
      expect(wireToText(envelopeOf(event))).toBe(before);
      await harness.sink.close();
    });

    test('an abort ends the work within a bound, and what is known is answered', async () => {
      await using harness = await makeHarness();
      if (!(await harness.hang())) return await harness.sink.close();
      const events = [sampleEvent(), sampleEvent(), sampleEvent()];
      const controller = new AbortController();
      const delivering = harness.sink.deliver(sampleBatch(events), controller.signal);
      await harness.asked();
      const aborted = performance.now();
      controller.abort();
      const verdicts = await delivering.catch((): Verdicts => ({ kind: 'unavailable', reason: 'it threw' }));
      expect(performance.now() - aborted).toBeLessThan(ABORT_BOUND);
      expect(kinds(verdicts, events)).toEqual(['unavailable', 'unavailable', 'unavailable']);
      await harness.sink.close();
      await harness.released();
    });

    test('a signal that has aborted already starts nothing', async () => {
      await using harness = await makeHarness();
      if (!(await harness.hang())) return await harness.sink.close();
      const events = [sampleEvent()];
      const verdicts = await harness.sink
        .deliver(sampleBatch(events), AbortSignal.abort())
        .catch((): Verdicts => ({ kind: 'unavailable', reason: 'it threw' }));
      expect(kinds(verdicts, events)).toEqual(['unavailable']);
      await harness.sink.close();
      const received = await harness.received();
      if (received) expect(idsIn(received, events)).toEqual([]);
    });

    test('close releases what was opened', async () => {
      await using harness = await makeHarness();
      await harness.sink.deliver(sampleBatch([sampleEvent(), sampleEvent()]), never());
      await harness.sink.close();
      await harness.released();
    });

    test('a verdict is one line, and shows no secret and no payload', async () => {
      await using harness = await makeHarness();
      if (!(await harness.fail())) return await harness.sink.close();
      const events = [sampleEvent(), sampleEvent()];
      const verdicts = await harness.sink.deliver(sampleBatch(events), never());
      const each = inFull(verdicts, events);
      expect(each.some(({ kind }) => kind !== 'delivered')).toBe(true);
      for (const verdict of each) {
        if (verdict.kind === 'delivered') continue;
        expect(verdict.reason).toMatch(/^[ -~]{1,200}$/);
        expect(verdict.answer ?? '').toMatch(/^[^\p{Cc}]{0,300}$/u);
        for (const secret of harness.secrets) expect(JSON.stringify(verdict)).not.toContain(secret);
      }
      await harness.sink.close();
    });
  });
}

function inFull(verdicts: Verdicts, events: readonly Event[]): readonly Verdict[] {
  const each = Array.isArray(verdicts) ? (verdicts as readonly Verdict[]) : events.map(() => verdicts as Verdict);
  expect(each).toHaveLength(events.length);
  return each;
}

function kinds(verdicts: Verdicts, events: readonly Event[]): string[] {
  return inFull(verdicts, events).map(({ kind }) => kind);
}

/** As the value of some member of a JSON object. */
function holdsMember(received: Buffer, value: Buffer): boolean {
  return ['}', ','].some((end) => received.includes(Buffer.concat([Buffer.from('":'), value, Buffer.from(end)])));
}

/** The ids of the events as they occur in what arrived. */
function idsIn(received: Buffer, events: readonly Event[]): string[] {
  const known = new Set(events.map(({ eventId }) => eventId));
  const found = received.toString('latin1').match(/[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/g) ?? [];
  return found.filter((id) => known.has(id));
}
