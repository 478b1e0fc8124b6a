/**
 * What one event costs in each stage, in processor time: `npm run bench:stages [-- --events 300000 --rounds 7]`. Needs no
 * server, so it is what to look at while changing the hot path: `node --cpu-prof --import tsx tests/bench/stages.ts`.
 */
import { batchBody, batchId } from '../../src/envelope.ts';
import { DELIVERED, type Sink } from '../../src/pipeline.ts';
import { signingKeys } from '../../src/signing-secret.ts';
import { signatureOf } from '../../src/sinks/webhook/webhook-signature.ts';
import { createDiscardSink } from '../../src/sinks/discard/discard-sink.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { benchOptions } from './support/options.ts';
import { newDecoder, runPipeline } from './support/pipeline-run.ts';
import { type Contestant, interleave, printTable, writeReport } from './support/report.ts';
import { wireBacklog } from './support/wire-backlog.ts';
import { beginPlain } from '../support/plain-origin.ts';

const options = benchOptions({ events: 300_000, rounds: 7, only: '', save: 'stages' });
const BACKLOG = 100_000;
const times = Math.max(1, Math.round(options.events / BACKLOG));
const keys = signingKeys('whsec_bWFkZSBmb3IgYmVuY2htYXJrcw==') || [];

const bodies = (signs: boolean): Sink => ({
  deliver: async (batch) => {
    const id = batchId({ sink: 'out', job: null, events: batch.events });
    const body = wireBytes(batchBody({ sink: 'out', batch, id }));
    if (signs) signatureOf(keys, { id, timestamp: 1_800_000_000, body });
    await new Promise((resolve) => setImmediate(resolve));
    return DELIVERED;
  },
  close: () => Promise.resolve(),
});

const backlogs = new Map([100, 100_000].map((organizations) => [organizations, wireBacklog(BACKLOG, organizations)]));
const messages = (organizations: number): Buffer[] => backlogs.get(organizations) ?? [];

function decodes(): Contestant {
  return {
    name: 'decode',
    async run() {
      const decoder = newDecoder(beginPlain);
      const begun = process.cpuUsage();
      for (let time = 0; time < times; time++) for (const message of messages(100)) decoder.decode(message);
      const { user, system } = process.cpuUsage(begun);
      return { microsPerEvent: (user + system) / times / BACKLOG };
    },
  };
}

function pipeline(name: string, organizations: number, sink: () => Sink): Contestant {
  return {
    name,
    run: async () => ({ microsPerEvent: (await runPipeline(messages(organizations), times, sink())).microsPerEvent }),
  };
}

const contestants = [
  decodes(),
  pipeline('to discard', 100, createDiscardSink),
  pipeline('to bodies', 100, () => bodies(false)),
  pipeline('to signed bodies', 100, () => bodies(true)),
  pipeline('to discard, 100,000 organizations', 100_000, createDiscardSink),
  pipeline('to bodies, 100,000 organizations', 100_000, () => bodies(false)),
].filter(({ name }) => name.includes(options.only));
const records = await interleave(contestants, options.rounds);
printTable(records);
writeReport({ name: options.save, settings: options, versions: {}, records, derived: {} });
