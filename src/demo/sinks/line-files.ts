/** Sinks that write a line for each event: standard output, and a sink of the demo's own. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Arrival } from '../audit.ts';
import { arrivalOf, type DemoPlace, type DemoSink } from './demo-sink.ts';

/** A module as a user of walpost would write it. */
const CUSTOM_SINK = `
import { appendFile } from 'node:fs/promises';

export default {
  contract: 1,
  create({ file }) {
    return {
      async deliver({ events }, signal) {
        signal.throwIfAborted();
        const lines = events.map(({ eventId, organizationId, entityId }) =>
          JSON.stringify({ event_id: eventId, organization_id: organizationId, payload: { number: Number(entityId) } }),
        );
        try {
          await appendFile(file, lines.map((line) => line + '\\n').join(''), { signal });
        } catch {
          return { kind: 'unavailable', reason: 'the file cannot be written' };
        }
        return { kind: 'delivered' };
      },
      async close() {},
    };
  },
};
`;

export function openStdout({ outputFile }: DemoPlace): Promise<DemoSink> {
  return Promise.resolve({
    options: { type: 'stdout' },
    statuses: ['placed'],
    isSequence: true,
    arrivals: () => linesOf(outputFile),
    close: () => Promise.resolve(),
  });
}

export async function openCustom({ directory }: DemoPlace): Promise<DemoSink> {
  const file = join(directory, 'custom.ndjson');
  const module = join(directory, 'custom-sink.mjs');
  await writeFile(module, CUSTOM_SINK);
  return {
    options: { type: 'custom', module, options: { file } },
    statuses: ['placed'],
    isSequence: true,
    arrivals: () => linesOf(file),
    close: () => Promise.resolve(),
  };
}

/** A line that is still being written has no end yet, and is left out. */
async function linesOf(file: string): Promise<Arrival[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').slice(0, -1).map(arrivalOf);
}
