/**
 * Standard output: one line of JSON per event.
 *
 * A batch is one write, and only one write is pending at a time. When nobody reads, that write stays in the stream and
 * later batches are answered `unavailable` without being written. So a reader who stalls costs the memory of one batch. A
 * reader who comes back finds whole lines: a line may come twice, but is never cut in half.
 */
import type { Writable } from 'node:stream';
import { envelopeOf } from '../../envelope.ts';
import { type Batch, DELIVERED, type Sink, type Verdict } from '../../pipeline.ts';
import { wireString } from '../../wire-text.ts';

const NOT_READ: Verdict = { kind: 'unavailable', reason: 'standard output is not being read' };

export function createStdoutSink(): Sink {
  return createStreamSink(process.stdout);
}

export function createStreamSink(stream: Writable): Sink {
  let last: Promise<Verdict> = Promise.resolve(DELIVERED);
  const ignore = (): void => {};
  // The callback of each write reports its error. Without a listener, the same error would also end the process.
  stream.on('error', ignore);

  const write = (text: string): Promise<Verdict> =>
    new Promise((resolve) => {
      stream.write(text, 'latin1', (error) => resolve(error ? closedBy(error) : DELIVERED));
    });

  return {
    async deliver(batch, signal) {
      for (let turn; turn !== last;) {
        turn = last;
        if ((await unlessAborted(turn, signal)) === NOT_READ) return NOT_READ;
      }
      last = write(linesOf(batch));
      return unlessAborted(last, signal);
    },
    async close() {
      // A broken pipe is reported after its write. One turn of the event loop later, no further error can come.
      await new Promise((resolve) => setImmediate(resolve));
      stream.off('error', ignore);
    },
  };
}

function linesOf(batch: Batch): string {
  let text = '';
  for (const event of batch.events) text += `${wireString(envelopeOf(event))}\n`;
  return text;
}

function closedBy(error: Error): Verdict {
  const code = 'code' in error ? String(error.code) : error.name;
  return { kind: 'unavailable', reason: `standard output is closed (${code})` };
}

async function unlessAborted(writing: Promise<Verdict>, signal: AbortSignal): Promise<Verdict> {
  if (signal.aborted) return NOT_READ;
  let abort = (): void => {};
  const aborted = new Promise<Verdict>((resolve) => {
    abort = () => resolve(NOT_READ);
    signal.addEventListener('abort', abort, { once: true });
  });
  const verdict = await Promise.race([writing, aborted]);
  signal.removeEventListener('abort', abort);
  return verdict;
}
