/**
 * Events a second through walpost into each sink, beside the best loop of the sink's own client in the same round:
 * `npm run bench:sinks [-- --events 300000 --rounds 3 --only redis]`.
 *
 * The client's loop has its messages ready, the same that walpost sends, in batches as large as walpost's default and as
 * many of them in flight. It reads nothing: walpost shares the cores with a walsender and decodes what that sends. So a sink
 * is held to the slower of two limits, its client's loop and walpost with a sink that discards. On two cores that limit is
 * out of reach where server and client need one and a half cores, so each loop runs once more while a bare reader drains
 * the same backlog: both are what any program has to do that reads there and writes here. A run ends when everything is there:
 * events that waited for longer than `park_after` are confirmed before that. With `--against other/src/main.js` another build
 * takes part in each round.
 */
import { randomUUID } from 'node:crypto';
import { join, resolve } from 'node:path';
import { envelopeOf } from '../../src/envelope.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { sampleEvent } from '../support/sample-event.ts';
import { Child } from './support/child.ts';
import { benchOptions } from './support/options.ts';
import { type Contestant, type Figures, interleave, printTable, writeReport } from './support/report.ts';
import { dropSlot, makeSlots, startBenchServer, writeBacklog } from './support/server.ts';
import { openKafka, openNats } from './support/broker-destinations.ts';
import {
  type Message,
  openBullmq,
  type OpenDestination,
  openPostgres,
  openRedis,
} from './support/sink-destinations.ts';
import { BESIDE_READER, CLIENT, deriveSinks, LIMIT, WALPOST } from './support/sink-ratios.ts';
import { untilBegun, untilDrained, untilUnparked } from './support/slot-watch.ts';
import { WalpostProcess } from './support/walpost-process.ts';

// A process compiles its code in its first second, which the client's loop has behind it: so many events that it counts little.
const options = benchOptions({ events: 300_000, rounds: 3, organizations: 100, only: '', save: 'sinks', against: '' });
const BATCH = 100;
const TSX = ['--import', 'tsx'];
const LIMIT_MS = 300_000;
/** As large as those of the backlog. */
const PAYLOAD = JSON.stringify({ jobId: randomUUID(), status: 'completed', records: 1, note: 'x'.repeat(108) });
const OLDEST_FOR_KAFKA = 22;

interface Entry {
  readonly open: () => Promise<OpenDestination>;
  /** Batches in flight at once, as the sink has by default. */
  readonly inFlight: number;
}

const DESTINATIONS: Readonly<Record<string, Entry>> = {
  redis: { open: openRedis, inFlight: 16 },
  bullmq: { open: openBullmq, inFlight: 16 },
  nats: { open: openNats, inFlight: 64 },
  kafka: { open: openKafka, inFlight: 16 },
  postgres: { open: openPostgres, inFlight: 4 },
};

const isTooOld = Number.parseInt(process.versions.node, 10) < OLDEST_FOR_KAFKA;
const wanted = Object.entries(DESTINATIONS).filter(
  ([name]) => (options.only === '' || options.only.split(',').includes(name)) && !(name === 'kafka' && isTooOld),
);
if (isTooOld) {
  console.log(
    `kafka is left out: its client needs Node ${OLDEST_FOR_KAFKA} or newer, and this is ${process.version}. With the Node 24 of .ci/run:\n` +
      '  PATH=~/.cache/walpost-ci/node_modules/node24/bin:$PATH npm run bench:sinks',
  );
}
await using server = await startBenchServer();
const slotOf = (name: string, round: number): string => `sink_${name}_${round}`;
const rounds = Array.from({ length: options.rounds }, (_, round) => round);
await makeSlots(
  server.client,
  [...wanted.flatMap(([name]) => [name, `${name}_other`, `${name}_reader`]), 'discard'].flatMap((name) =>
    rounds.map((round) => slotOf(name, round)),
  ),
);
const written = await writeBacklog(server.client, {
  events: options.events,
  organizations: options.organizations,
  perTransaction: 10,
});

async function expectAll(destination: OpenDestination, name: string): Promise<void> {
  const count = await destination.count();
  if (count !== options.events) {
    const { rows } = await server.client.query(
      'SELECT (SELECT count(*) FROM walpost.parked) AS parked, (SELECT count(*) FROM walpost.dead_letters) AS dead_letters',
    );
    throw new Error(`${name} has ${count} of ${options.events} events; ${JSON.stringify(rows[0])}`);
  }
  await destination.clear();
}

interface Run {
  readonly slot: string;
  readonly sink: Readonly<Record<string, unknown>>;
  readonly nodeArgs?: readonly string[] | undefined;
  readonly main?: string;
}

async function drain({ slot, sink, nodeArgs = [], main }: Run): Promise<Figures> {
  const config = { delivery: { log: 'off' } };
  await using client = new WalpostProcess({ url: server.url, slot, sink, config, nodeArgs, ...(main && { main }) });
  const drained = await untilDrained(server.client, {
    slot,
    target: written.beyond,
    limitMs: LIMIT_MS,
    ended: client.ended,
  });
  const { parked, seconds: unparking } = await untilUnparked(server.client, { slot, limitMs: LIMIT_MS });
  const seconds = drained.seconds + unparking;
  const { peakMiB, cpuMs } = client;
  await client.stop();
  await dropSlot(server.client, slot);
  return {
    eventsPerSecond: options.events / seconds,
    seconds,
    parked,
    peakMiB,
    cpuSeconds: cpuMs === null ? null : cpuMs / 1000,
  };
}

function throughWalpost(name: string, destination: OpenDestination, main = ''): Contestant {
  const { sink, nodeArgs } = destination;
  return {
    name: main === '' ? `${WALPOST}${name}` : `other build, ${name}`,
    async run(round) {
      const slot = slotOf(main === '' ? name : `${name}_other`, round);
      const figures = await drain({ slot, sink, nodeArgs, main });
      await expectAll(destination, name);
      return figures;
    },
  };
}

/** With its messages ready, which takes none of its time. */
function readyLoop(destination: OpenDestination, inFlight: number): () => Promise<Figures> {
  const batches = Array.from({ length: options.events / BATCH }, (_, at) => destination.prepare(makeBatch(at)));
  return async () => {
    const cpu = process.cpuUsage();
    const begun = performance.now();
    const lane = async (): Promise<void> => {
      for (let send = batches.pop(); send; send = batches.pop()) await send();
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
    const seconds = (performance.now() - begun) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    return { eventsPerSecond: options.events / seconds, seconds, cpuSeconds: (user + system) / 1e6 };
  };
}

function ownLoop(name: string, destination: OpenDestination, inFlight: number): Contestant {
  return {
    name: `${CLIENT}${name}`,
    async run() {
      const figures = await readyLoop(destination, inFlight)();
      await expectAll(destination, name);
      return figures;
    },
  };
}

/** Over when both are. */
function loopBesideReader(name: string, destination: OpenDestination, inFlight: number): Contestant {
  return {
    name: `${BESIDE_READER}${name}`,
    async run(round) {
      const slot = slotOf(`${name}_reader`, round);
      const send = readyLoop(destination, inFlight);
      const raw = [...TSX, join(import.meta.dirname, 'support/raw-drain.ts'), server.url, slot, written.beyond];
      await using reader = new Child(process.execPath, [...raw, 'patient']);
      const watch = { slot, target: written.beyond, limitMs: LIMIT_MS, ended: reader.ended };
      await untilBegun(server.client, watch);
      const begun = performance.now();
      const [, read] = await Promise.all([send(), untilDrained(server.client, watch)]);
      const seconds = Math.max((performance.now() - begun) / 1000, read.seconds);
      await reader.stop();
      await dropSlot(server.client, slot);
      await expectAll(destination, name);
      return { eventsPerSecond: options.events / seconds, seconds };
    },
  };
}

const organizations = Array.from({ length: options.organizations }, () => randomUUID());

/** Events of one organization. */
function makeBatch(at: number): Message[] {
  const organizationId = organizations[at % organizations.length] ?? '';
  return Array.from({ length: BATCH }, () => {
    const event = sampleEvent({ payload: PAYLOAD, organizationId });
    const envelope = envelopeOf(event);
    // Flat, as text that was read has it.
    const bytes = wireBytes(envelope);
    return { event, text: bytes.toString('latin1'), bytes };
  });
}

const open: OpenDestination[] = [];
const contestants: Contestant[] = [
  { name: LIMIT, run: (round) => drain({ slot: slotOf('discard', round), sink: { type: 'discard' } }) },
];
for (const [name, entry] of wanted) {
  const destination = await entry.open();
  open.push(destination);
  contestants.push(
    ownLoop(name, destination, entry.inFlight),
    loopBesideReader(name, destination, entry.inFlight),
    throughWalpost(name, destination),
  );
  if (options.against !== '') contestants.push(throughWalpost(name, destination, resolve(options.against)));
}
const records = await interleave(contestants, options.rounds);
for (const destination of open) await destination[Symbol.asyncDispose]();
printTable(records);
const derived = deriveSinks(
  records,
  wanted.map(([name]) => name),
);
console.table(derived);
if (options.save !== '') {
  writeReport({ name: options.save, settings: options, versions: { postgres: server.version }, records, derived });
}
