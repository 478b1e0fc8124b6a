import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { envelopeOf } from '../../src/envelope.ts';
import { createStreamSink } from '../../src/sinks/stdout/stdout-sink.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const never = new AbortController().signal;

/** A stream that takes the next chunk only when it is let. */
function held(): { stream: Writable; chunks: Buffer[]; release: () => void } {
  const chunks: Buffer[] = [];
  const held = { chunks, release: () => {}, stream: new Writable() };
  held.stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      held.release = done;
    },
  });
  return held;
}

test('each event is a line, and the line is the envelope', async () => {
  const events = [sampleEvent({ payload: '{"a": "é\u2028"}' }), sampleEvent()];
  const target = held();
  const delivering = createStreamSink(target.stream).deliver(sampleBatch(events), never);
  await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  target.release();
  await delivering;
  const lines = events.map((event) => Buffer.concat([wireBytes(envelopeOf(event)), Buffer.from('\n')]));
  expect(Buffer.concat(target.chunks)).toEqual(Buffer.concat(lines));
});

test('it answers when the write was flushed, not before', async () => {
  const target = held();
  let answered = false;
  const delivering = createStreamSink(target.stream).deliver(sampleBatch([sampleEvent()]), never);
  void delivering.then(() => (answered = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect([target.chunks.length, answered]).toEqual([1, false]);
  target.release();
  expect(await delivering).toEqual({ kind: 'delivered' });
});

test('while nobody reads, one batch waits with the stream and the others are turned away unwritten', async () => {
  const target = held();
  const sink = createStreamSink(target.stream);
  for (let attempt = 0; attempt < 5; attempt++) {
    const controller = new AbortController();
    const delivering = sink.deliver(sampleBatch([sampleEvent()]), controller.signal);
    await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    expect(await delivering).toEqual({ kind: 'unavailable', reason: 'standard output is not being read' });
  }
  expect(target.chunks).toHaveLength(1);
  const next = sink.deliver(sampleBatch([sampleEvent()]), never);
  target.release();
  await new Promise((resolve) => setImmediate(resolve));
  expect(target.chunks).toHaveLength(2);
  target.release();
  expect(await next).toEqual({ kind: 'delivered' });
});

test('a reader who leaves breaks the pipe: unavailable, again and again, and the process lives on', async () => {
  const program = `
    import { createStdoutSink } from './src/sinks/stdout/stdout-sink.ts';
    import { sampleBatch, sampleEvent } from './tests/support/sample-event.ts';
    const sink = createStdoutSink();
    const signal = new AbortController().signal;
    process.stdin.once('data', async () => {
      const event = sampleEvent({ payload: JSON.stringify('x'.repeat(1_000_000)) });
      for (let attempt = 0; attempt < 3; attempt++) {
        console.error(JSON.stringify(await sink.deliver(sampleBatch([event]), signal)));
      }
      await sink.close();
      process.exit(0);
    });`;
  const root = new URL('../..', import.meta.url);
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { cwd: root });
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  child.stdout.destroy();
  child.stdin.write('go\n');
  const [code] = (await once(child, 'close')) as [number];
  const verdicts = Buffer.concat(said).toString().trim().split('\n');
  expect(verdicts[0]).toBe('{"kind":"unavailable","reason":"standard output is closed (EPIPE)"}');
  expect(verdicts).toHaveLength(3);
  for (const verdict of verdicts) expect(verdict).toContain('"kind":"unavailable"');
  expect(code).toBe(0);
});
