import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load-config.ts';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { Sink } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const directory = mkdtempSync(join(tmpdir(), 'walpost-custom-'));
afterAll(() => rmSync(directory, { recursive: true }));
let files = 0;

function written(text: string): string {
  const path = join(directory, `sink-${++files}.mjs`);
  writeFileSync(path, text);
  return path;
}

function customSink(text: string, options: object = {}): Promise<Sink> {
  return createSink(sinkSchema.parse({ type: 'custom', module: written(text), options }), contractContext);
}

const answering = (answer: string): string =>
  `export default { contract: 1, create: () => ({ deliver: async () => ${answer}, close: async () => {} }) };`;
const never = new AbortController().signal;

const LINES = `
  import { appendFile } from 'node:fs/promises';
  const text = (wire) => Buffer.from(wire, 'latin1').toString();
  const line = ({ eventId, payload, headers }) =>
    '{"event_id":"' + eventId + '","payload":' + text(payload) + ',"headers":' + text(headers) + '}\\n';
  export default { contract: 1, create: ({ file }) => ({
    async deliver({ events }, signal) {
      signal.throwIfAborted();
      return appendFile(file, events.map(line).join('')).then(
        () => ({ kind: 'delivered' }),
        () => ({ kind: 'unavailable', reason: 'the file\\ncannot be written' }),
      );
    },
    async close() {},
  }) };`;

describeSinkContract('custom', async () => {
  const place = mkdtempSync(join(directory, 'lines-'));
  const file = join(place, 'events.ndjson');
  const end = (): Promise<void> => rm(place, { recursive: true, force: true });
  return {
    sink: await customSink(LINES, { file }),
    received: () => readFile(file).catch(() => Buffer.alloc(0)),
    hang: () => Promise.resolve(false),
    asked: () => Promise.resolve(),
    fail: () => end().then(() => true),
    released: () => Promise.resolve(),
    secrets: [],
    [Symbol.asyncDispose]: end,
  };
});

describe('a module', () => {
  test.each([
    ['that throws', 'throw new Error("no licence")', 'SINK_MODULE_FAILED', 'no licence'],
    ['that does not parse', 'export default {', 'SINK_MODULE_FAILED', 'sinks.under-test.module is'],
    ['without a default export', 'export const create = () => ({});', 'SINK_MODULE_INVALID', 'sinks.under-test.module'],
    ['whose default export is no sink', 'export default { contract: 1 };', 'SINK_MODULE_INVALID', '.mjs'],
    ['without a contract', 'export default { create: () => ({}) };', 'SINK_CONTRACT', 'It has no contract'],
    [
      'of another contract',
      'export default { contract: 2, create() {} };',
      'SINK_CONTRACT',
      'has contract 2, and this walpost has 1',
    ],
    [
      'whose create throws',
      'export default { contract: 1, create() { throw new Error("bad mix"); } };',
      'SINK_MODULE_FAILED',
      'bad mix',
    ],
    [
      'whose create makes nothing',
      'export default { contract: 1, create() {} };',
      'SINK_MODULE_INVALID',
      'deliver and close',
    ],
  ])('%s is refused with code, cause and remedy', async (_name, text, code, detail) => {
    const error = await customSink(text).catch((e: unknown) => e);
    expect(error).toMatchObject({
      code,
      message: expect.stringContaining(detail),
      remedy: expect.stringMatching(/\w+/),
    });
  });

  test('that is missing is named by its path, relative to the configuration file', async () => {
    const file = join(directory, 'walpost.yaml');
    writeFileSync(
      file,
      'database: { url: postgres://x }\nsinks: { mine: { type: custom, module: ./gone.mjs } }\nroutes: [{ to: [mine] }]\n',
    );
    const { mine } = loadConfig({ path: file, env: {} }).sinks;
    await expect(createSink(mine as never, contractContext)).rejects.toMatchObject({
      code: 'SINK_MODULE_MISSING',
      message: expect.stringContaining(join(directory, 'gone.mjs')),
    });
  });

  test('checks its options with a schema, and the option that is wrong is named', async () => {
    const text = `
      import { z } from ${JSON.stringify(import.meta.resolve('zod'))};
      export default { contract: 1, options: z.strictObject({ url: z.url(), retries: z.coerce.number().default(3) }),
        create: (options) => ({ deliver: async () => [{ kind: 'rejected', reason: JSON.stringify(options) }], close: async () => {} }) };`;
    await expect(customSink(text, { url: 'nowhere' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('sinks.under-test.options.url'),
      remedy: expect.stringMatching(/^Correct them below sinks\.under-test\.options; \/.*\.mjs says what it takes\.$/),
    });
    const sink = await customSink(text, { url: 'https://example.com' });
    expect(await sink.deliver(sampleBatch([sampleEvent()]), never)).toEqual([
      { kind: 'rejected', reason: '{"url":"***","retries":3}' }, // with the default of the schema, and no value of the options
    ]);
  });

  test.each([
    ['undefined', 'no object'],
    ['"delivered"', 'no object'],
    ['{}', 'kind is not one of delivered, rejected, failed, unavailable'],
    ['{ kind: "ok" }', 'kind is not one of delivered, rejected, failed, unavailable'],
    ['{ kind: "failed" }', 'reason is no text, or an empty one'],
    ['{ kind: "failed", reason: " " }', 'reason is no text, or an empty one'],
    ['[null]', 'no object'],
  ])('that answers %s has not delivered: %s', async (answer, fault) => {
    const sink = await customSink(answering(`(${answer})`));
    const verdict = await sink.deliver(sampleBatch([sampleEvent()]), never);
    const reason = `the sink answered with something that is no verdict: ${fault}`;
    expect([verdict].flat()).toEqual([{ kind: 'unavailable', code: 'SINK_VERDICT', reason }]);
  });

  test('that shows an option or the payload has its text masked, for the organization and for operators', async () => {
    const token = 'tok-5d41402abc4b2a76';
    const text = `export default { contract: 1, create: ({ server }) => ({ close: async () => {}, async deliver({ events }) {
      const said = 'token ' + server.token + ', as base64 ' + btoa(server.token) + ', of ' + events[0].payload;
      return { kind: 'failed', reason: said, answer: said };
    } }) };`;
    const sink = await customSink(text, { server: { token, port: 1 } });
    const verdict = await sink.deliver(sampleBatch([sampleEvent({ payload: '"a long private note"' })]), never);
    const shown = 'token ***, as base64 ***=, of "***"';
    expect(verdict).toEqual({ kind: 'failed', reason: shown, answer: shown });
  });

  test('whose verdicts are many has each of them compared with its own event alone', async () => {
    const text = `export default { contract: 1, create: () => ({ close: async () => {},
      deliver: async ({ events }) => events.map((_, n) => ({ kind: 'failed', reason: 'the copper-kettle is bad', code: 'CODE_' + n })) }) };`;
    const sink = await customSink(text);
    const events = ['amber-lantern', 'copper-kettle', 'violet-harbor'].map((value) =>
      sampleEvent({ payload: `"${value}"` }),
    );
    const reasons = ['the copper-kettle is bad', 'the *** is bad', 'the copper-kettle is bad'];
    expect(await sink.deliver(sampleBatch(events), never)).toEqual(
      reasons.map((reason, n) => ({ kind: 'failed', reason, code: `CODE_${n}` })),
    );
  });

  test('whose code is an option has no code', async () => {
    const text = `export default { contract: 1, create: ({ token }) => ({ close: async () => {},
      deliver: async () => ({ kind: 'failed', reason: 'no', code: token }) }) };`;
    const sink = await customSink(text, { token: 'sk_live_1234567890' });
    expect(await sink.deliver(sampleBatch([sampleEvent()]), never)).toEqual({ kind: 'failed', reason: 'no' });
  });

  test('whose reason has line breaks or no end is shortened to one line', async () => {
    const sink = await customSink(answering('({ kind: "failed", reason: "a\\nb" + "é".repeat(3) + "c".repeat(500) })'));
    const verdict = await sink.deliver(sampleBatch([sampleEvent()]), never);
    expect(verdict).toMatchObject({ kind: 'failed', reason: expect.stringMatching(/^a b c{190,200}$/) });
  });

  test.each([
    ['retryAfter: "5s", code: { a: 1 }, answer: 7, answered: "yes", more: 1', {}],
    ['retryAfter: NaN, code: "a b"', {}],
    ['retryAfter: -1, code: "X".repeat(65)', {}],
    [
      'retryAfter: 1e12, code: "BUSY", answer: "a\\nb", answered: true',
      { retryAfter: 3_600_000, code: 'BUSY', answer: 'a b', answered: true },
    ],
  ])('whose verdict has { %s } is held to the types', async (fields, kept) => {
    const sink = await customSink(answering(`({ kind: "unavailable", reason: "no", ${fields} })`));
    const verdict = await sink.deliver(sampleBatch([sampleEvent()]), never);
    expect(verdict).toEqual({ kind: 'unavailable', reason: 'no', ...kept });
  });
});
