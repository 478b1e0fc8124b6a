/**
 * Events a second through walpost into each sink, beside the best loop of the sink's own client in the same round:
 * `npm run bench:sinks [-- --events 100000 --rounds 3 --only redis]`.
 *
 * The client's loop has its bodies ready, in batches as large as walpost's, and as many of them in flight.
 */
import { randomUUID } from 'node:crypto';
import { envelopeOf } from '../../src/envelope.ts';
import { wireToText } from '../../src/wire-text.ts';
import { sampleEvent } from '../support/sample-event.ts';
import { benchOptions } from './support/options.ts';
import { type Contestant, type Figures, interleave, printTable, ratio, writeReport } from './support/report.ts';
import { dropSlot, makeSlots, startBenchServer, writeBacklog } from './support/server.ts';
import { type BodyToSend, DESTINATIONS, IN_FLIGHT, type OpenDestination } from './support/sink-destinations.ts';
import { untilDrained } from './support/slot-watch.ts';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({ events: 100_000, rounds: 3, organizations: 100, only: '', save: 'sinks' });
const BATCH = 100;
const LIMIT_MS = 300_000;
/** As large as those of the backlog. */
const PAYLOAD = JSON.stringify({ jobId: randomUUID(), status: 'completed', records: 1, note: 'x'.repeat(108) });
/** What the walsender and the stages before the sinks allow. */
const LIMIT = 'walpost, discard';

const wanted = Object.entries(DESTINATIONS).filter(
  ([name]) => options.only === '' || options.only.split(',').includes(name),
);
await using server = await startBenchServer();
const slotOf = (name: string, round: number): string => `sink_${name}_${round}`;
const rounds = Array.from({ length: options.rounds }, (_, round) => round);
await makeSlots(
  server.client,
  [...wanted.map(([name]) => name), 'discard'].flatMap((name) => rounds.map((round) => slotOf(name, round))),
);
const written = await writeBacklog(server.client, {
  events: options.events,
  organizations: options.organizations,
  perTransaction: 10,
});

async function expectAll(destination: OpenDestination, name: string): Promise<void> {
  const count = await destination.count();
  if (count !== options.events) throw new Error(`${name} has ${count} of ${options.events} events`);
  await destination.clear();
}

async function drain(slot: string, sink: Readonly<Record<string, unknown>>): Promise<Figures> {
  const config = { delivery: { log: 'off' } };
  await using client = new WalpostProcess({ url: server.url, slot, sink, config });
  const { seconds } = await untilDrained(server.client, {
    slot,
    target: written.beyond,
    limitMs: LIMIT_MS,
    ended: client.ended,
  });
  const { peakMiB } = client;
  await client.stop();
  await dropSlot(server.client, slot);
  return { eventsPerSecond: options.events / seconds, seconds, peakMiB };
}

function throughWalpost(name: string, destination: OpenDestination): Contestant {
  return {
    name: `walpost, ${name}`,
    async run(round) {
      const figures = await drain(slotOf(name, round), destination.sink);
      await expectAll(destination, name);
      return figures;
    },
  };
}

function ownLoop(name: string, destination: OpenDestination): Contestant {
  return {
    name: `its client, ${name}`,
    async run() {
      const batches = Array.from({ length: options.events / BATCH }, makeBatch);
      const begun = performance.now();
      const lane = async (): Promise<void> => {
        for (let batch = batches.pop(); batch; batch = batches.pop()) await destination.send(batch);
      };
      await Promise.all(Array.from({ length: IN_FLIGHT[name] ?? 1 }, lane));
      const seconds = (performance.now() - begun) / 1000;
      await expectAll(destination, name);
      return { eventsPerSecond: options.events / seconds, seconds };
    },
  };
}

function makeBatch(): BodyToSend[] {
  return Array.from({ length: BATCH }, () => {
    const event = sampleEvent({ payload: PAYLOAD });
    return { id: event.eventId, text: wireToText(envelopeOf(event)) };
  });
}

const open: OpenDestination[] = [];
const contestants: Contestant[] = [
  { name: LIMIT, run: (round) => drain(slotOf('discard', round), { type: 'discard' }) },
];
for (const [name, start] of wanted) {
  const destination = await start();
  open.push(destination);
  contestants.push(ownLoop(name, destination), throughWalpost(name, destination));
}
const records = await interleave(contestants, options.rounds);
for (const destination of open) await destination[Symbol.asyncDispose]();
printTable(records);
const derived = Object.fromEntries(
  wanted.flatMap(([name]) => [
    [`${name}: of its client`, ratio(records, 'eventsPerSecond', [`walpost, ${name}`, `its client, ${name}`])],
    [`${name}: of discard`, ratio(records, 'eventsPerSecond', [`walpost, ${name}`, LIMIT])],
  ]),
);
console.table(derived);
if (options.save !== '') {
  writeReport({ name: options.save, settings: options, versions: { postgres: server.version }, records, derived });
}
