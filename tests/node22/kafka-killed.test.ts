/** The real process with the sink of Kafka, while it is killed and its connections are cut in the middle of a load. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { tellFigures } from '../e2e/kill-figures.ts';
import {
  firstOfEach,
  KILL_CONFIG,
  KILL_LOAD,
  loadThroughKills,
  type NumberedEnvelope,
  orderFaults,
  readEnvelope,
} from '../e2e/through-kills.ts';
import { createTestDatabase } from '../support/database.ts';
import { installedPackages } from '../support/installed-packages.ts';
import { KafkaBroker, kafkaBrokerMissing } from '../support/kafka-broker.ts';
import { poll } from '../support/slot-session.ts';

const tooOld = Number.parseInt(process.versions.node, 10) < 22;
const { rate, patience } = KILL_LOAD;
const TOPIC = 'all';

/** An option of Node with which walpost finds the client where the tests have installed it. */
async function withClient(): Promise<string[]> {
  const home = await installedPackages('node22');
  const url = pathToFileURL(join(home, 'node_modules/@platformatic/kafka/dist/index.js')).href;
  const hook = `import { registerHooks } from 'node:module';
    registerHooks({ resolve: (name, context, next) => name === '@platformatic/kafka' ? next('${url}', context) : next(name, context) });`;
  return ['--import', `data:text/javascript,${encodeURIComponent(hook)}`];
}

test.skipIf(tooOld)(
  'killed, and cut off from Kafka, walpost loses nothing and keeps the order',
  { timeout: patience * 2 },
  async () => {
    expect(await kafkaBrokerMissing()).toBeUndefined();
    await using database = await createTestDatabase();
    await using broker = await KafkaBroker.start();
    await using reader = broker.reader(TOPIC);
    const arrived: NumberedEnvelope[] = [];
    const ids = new Set<string>();
    const readOn = (): number => {
      for (const { value } of reader.complete.slice(arrived.length)) {
        const envelope = readEnvelope(value);
        arrived.push(envelope);
        ids.add(envelope.event_id);
      }
      return ids.size;
    };
    const sink = { type: 'kafka', brokers: [broker.address], topic: TOPIC, rate };
    const run = await loadThroughKills(
      { database, sinks: { topic: sink }, config: KILL_CONFIG, cli: { node: await withClient() } },
      {
        count: () => broker.count(TOPIC),
        kill: async () => broker.proxy.cut(),
        restart: async () => undefined,
      },
    );
    await using relay = run.relay;
    await poll('as many arrived', async () => (await broker.count(TOPIC)) >= run.total || undefined, patience);
    await poll('all arrived', async () => readOn() >= run.total || undefined, patience);
    expect(run.killedAt.every((killed) => killed > 0 && killed < run.total)).toBe(true);
    expect((await relay.stop()).code).toBe(0);
    expect(tellFigures('kafka', run, arrived)).toMatchObject({ lost: 0, outOfOrder: 0 });
    expect(orderFaults(firstOfEach(arrived), run)).toEqual([]);
  },
);
