/**
 * A guard against a hot path that has become slow without anybody noticing. Wall time says nothing on a busy machine, so
 * each stage is compared with a fixed loop over the same bytes in the same process, in processor time, round by round. The
 * bounds are about twice what was measured: what passes them is a mistake, not noise.
 */
import { expect, test } from 'vitest';
import { batchBody } from '../../src/envelope.ts';
import { DELIVERED, type Sink } from '../../src/pipeline.ts';
import { createDiscardSink } from '../../src/sinks/discard/discard-sink.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { newDecoder, runPipeline } from '../bench/support/pipeline-run.ts';
import { median } from '../bench/support/report.ts';
import { wireBacklog } from '../bench/support/wire-backlog.ts';
import { beginPlain } from '../support/plain-origin.ts';

const EVENTS = 20_000;
const ROUNDS = 7;

const bodies: Sink = {
  deliver: async (batch) => {
    wireBytes(batchBody({ sink: 'out', batch }));
    return DELIVERED;
  },
  close: () => Promise.resolve(),
};

/** What a plain program does with a row: a string of it, its columns, the payload parsed and printed. */
function reference(messages: readonly Buffer[]): void {
  for (const message of messages) {
    if (message[0] !== 0x49) continue;
    const text = message.toString('latin1');
    const columns: string[] = [];
    for (let at = 8; at < text.length;) {
      const isNull = message[at] === 0x6e;
      const length = isNull ? 0 : message.readUInt32BE(at + 1);
      columns.push(text.slice(at + 5, at + 5 + length));
      at += isNull ? 1 : 5 + length;
    }
    JSON.stringify(JSON.parse(columns[10] ?? ''));
  }
}

async function cpu(work: () => unknown): Promise<number> {
  const begun = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(begun);
  return user + system;
}

function decodeAll(messages: readonly Buffer[]): void {
  const decoder = newDecoder(beginPlain);
  for (const message of messages) decoder.decode(message);
}

test.each([
  ['decoding', 1.6, 100, decodeAll],
  ['the way to a sink', 4, 100, (messages: Buffer[]) => runPipeline(messages, 1, createDiscardSink())],
  ['the way to a sink with bodies', 9, 100, (messages: Buffer[]) => runPipeline(messages, 1, bodies)],
  ['a batch for nearly every event', 15, 20_000, (messages: Buffer[]) => runPipeline(messages, 1, createDiscardSink())],
])('%s costs at most %d times the reference', { timeout: 120_000 }, async (_, most, organizations, work) => {
  const messages = wireBacklog(EVENTS, organizations);
  const ratios: number[] = [];
  for (let round = -1; round < ROUNDS; round++) {
    const base = await cpu(() => reference(messages));
    const cost = await cpu(() => work(messages));
    if (round >= 0) ratios.push(cost / base);
  }

  expect(median(ratios)).toBeLessThan(most);
});
