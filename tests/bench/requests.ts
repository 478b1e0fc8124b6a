/**
 * Requests a second when each event is a signed POST of its own: `npm run bench:requests [-- --requests 200000 --rounds 5]`.
 *
 * walpost drains a backlog, from the start of the walsender's session to the confirmation of the last event. Beside it its sink alone, and
 * loops of undici that have the same bodies and signatures ready, or make them; as many requests in flight, to the same receiver.
 * There are so many that the first second of a process, in which it compiles its code, counts little.
 */
import { join } from 'node:path';
import { Child } from './support/child.ts';
import { benchOptions } from './support/options.ts';
import { type Contestant, type Figures, interleave, printTable, ratio, ROOT, writeReport } from './support/report.ts';
import { REQUEST_SECRET } from './support/request-secret.ts';
import { dropSlot, makeSlots, startBenchServer, writeBacklog } from './support/server.ts';
import { untilDrained } from './support/slot-watch.ts';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({
  requests: 200_000,
  rounds: 5,
  organizations: 100,
  concurrency: 32,
  only: '',
  save: 'requests',
});
const { requests, concurrency } = options;
const LIMIT_MS = 300_000;
/** Compiled, as what is published is: run from its source, each function that is made costs another call. */
const support = (file: string): string => join(ROOT, 'dist/tests/bench/support', file);

await using server = await startBenchServer();
await using receiver = new Child(process.execPath, [support('receiver.js')]);
const [receiverUrl] = await receiver.prints(/http:\S+/);
const slotOf = (round: number): string => `requests_${round}`;
await makeSlots(
  server.client,
  Array.from({ length: options.rounds }, (_, round) => slotOf(round)),
);
const written = await writeBacklog(server.client, {
  events: requests,
  organizations: options.organizations,
  perTransaction: 10,
});

async function expectAll(): Promise<void> {
  receiver.output = '';
  receiver.process.kill('SIGUSR2');
  const [, counted = '{}'] = await receiver.prints(/counted (.*)/);
  const { requests: got } = JSON.parse(counted) as { requests: number };
  if (got !== requests) throw new Error(`${got} of ${requests} requests arrived`);
}

function figuresOf(seconds: number, cpuSeconds: number | null): Figures {
  return {
    requestsPerSecond: requests / seconds,
    cpuMicros: cpuSeconds === null ? null : (cpuSeconds / requests) * 1e6,
    seconds,
  };
}

function loop(name: string, way: string): Contestant {
  return {
    name,
    async run() {
      await using child = new Child(process.execPath, [
        support('request-loop.js'),
        ...[way, receiverUrl, requests, concurrency].map(String),
      ]);
      const [, took = '{}'] = await child.prints(/posted (.*)/, LIMIT_MS);
      await expectAll();
      const { seconds, cpuSeconds } = JSON.parse(took) as { seconds: number; cpuSeconds: number };
      return figuresOf(seconds, cpuSeconds);
    },
  };
}

async function drain(round: number): Promise<Figures> {
  const slot = slotOf(round);
  const sink = {
    type: 'webhook',
    url: receiverUrl,
    allow_private: true,
    batch: false,
    secret: REQUEST_SECRET,
    concurrency,
  };
  await using walpost = new WalpostProcess({ url: server.url, slot, sink });
  const { seconds } = await untilDrained(server.client, {
    slot,
    target: written.beyond,
    limitMs: LIMIT_MS,
    ended: walpost.ended,
  });
  const { cpuMs } = walpost;
  await walpost.stop();
  await dropSlot(server.client, slot);
  await expectAll();
  return figuresOf(seconds, cpuMs === null ? null : cpuMs / 1000);
}

const contestants: readonly Contestant[] = [
  { name: 'walpost', run: drain },
  loop('its sink alone', 'sink'),
  loop('undici, request, signing', 'signing'),
  loop('undici, request', 'request'),
  loop('undici, dispatch', 'dispatch'),
];
const records = await interleave(
  contestants.filter(({ name }) => name.includes(options.only)),
  options.rounds,
);
printTable(records);
const THEIRS = ['undici, request, signing', 'undici, request', 'undici, dispatch'] as const;
const pairs = [
  ...['walpost', 'its sink alone'].flatMap((ours) => THEIRS.map((theirs) => [ours, theirs] as const)),
  [THEIRS[0], THEIRS[1]] as const,
];
const ratioOf = ([one, other]: readonly [string, string]): [string, number] => [
  `${one} / ${other}`,
  ratio(records, 'requestsPerSecond', [one, other]),
];
const derived = options.only === '' ? Object.fromEntries(pairs.map(ratioOf)) : {};
console.table(derived);
if (options.save !== '') {
  writeReport({ name: options.save, settings: options, versions: { postgres: server.version }, records, derived });
}
