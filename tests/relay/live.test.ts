/** The live channel of a real relay: readers, a browser, and another process that takes over. */
import { createServer, type Server } from 'node:http';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parse } from 'yaml';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { chromiumMissing, launchChromium } from '../support/chromium.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { LIVE_SECRET, LiveClient, liveToken } from '../support/live-reader.ts';
import { poll } from '../support/slot-session.ts';

const ORGANIZATION = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001';
const OTHER = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0002';
const page = readFileSync(join(import.meta.dirname, '../../docs/sinks/live.md'), 'utf8');

const missing = await chromiumMissing();

let database: TestDatabase;
let count = 0;
beforeEach(async () => {
  database = await createTestDatabase();
  count = 0;
});
afterEach(() => database[Symbol.asyncDispose]());

function start(live: object = {}): Promise<RunningWalpost> {
  const config = {
    live: { port: 0, secret: LIVE_SECRET, ...live },
    batching: { window: '5ms' },
    source: { checkpoint_interval: '100ms' },
  };
  return RunningWalpost.start({ database, sinks: { browsers: { type: 'live' } }, config });
}

const portOf = ({ cli }: RunningWalpost): number =>
  Number(/"port":(\d+),"msg":"the live channel listens/.exec(cli.stderr)?.[1]);

/** Events of both organizations, alternating; gives back the numbers of the first one's. */
async function publish(events: number): Promise<number[]> {
  const numbers = Array.from({ length: events }, () => (count += 1));
  for (const n of numbers) {
    for (const organization of [ORGANIZATION, OTHER]) {
      await database.query("SELECT walpost.publish($1::uuid, 'job.done', $2::jsonb)", [
        organization,
        { n, organization },
      ]);
    }
  }
  return numbers;
}

interface Told {
  readonly organization_id: string;
  readonly payload: { readonly n: number };
}

/** What it was told, each number once, in the order of first arrival. */
function numbersOf(clients: readonly LiveClient[]): number[] {
  const events = clients.flatMap(({ messages }) => messages).filter(({ event }) => event === 'job.done');
  const told = events.map(({ data }) => JSON.parse(data) as Told);
  expect(told.filter(({ organization_id }) => organization_id !== ORGANIZATION)).toEqual([]);
  return [...new Set(told.map(({ payload }) => payload.n))];
}

async function comeBack(port: number, lastEventId?: string): Promise<LiveClient> {
  const token = await liveToken({ organization: ORGANIZATION });
  return poll('a stream is open', async () => {
    const client = await LiveClient.open(port, { token, ...(lastEventId !== undefined && { lastEventId }) });
    if (client.response.status === 200) return client;
    expect(client.response.status).toBe(503);
    await client[Symbol.asyncDispose]();
    return undefined;
  });
}

async function settledCheckpoint(): Promise<void> {
  await poll('a checkpoint is settled', async () => {
    const rows = await database.query('SELECT FROM walpost.checkpoints WHERE settled_at IS NOT NULL');
    return rows.length > 0 || undefined;
  });
}

test('a relay is killed, another one takes over: the reader goes on without a gap', async () => {
  await using leader = await start();
  const first = await comeBack(portOf(leader));
  await first.gets(1, 'walpost.live');
  const live = { port: 0, secret: LIVE_SECRET };
  await using standby = new RunningWalpost({ database, sinks: { browsers: { type: 'live' } }, config: { live } });
  await standby.cli.prints(/standing by/);
  const refused = await LiveClient.open(portOf(standby), { token: await liveToken({ organization: ORGANIZATION }) });
  expect([refused.response.status, refused.response.headers.get('retry-after')]).toEqual([503, '2']);

  await publish(3);
  await settledCheckpoint();
  await publish(20);
  await first.gets(23);
  leader.cli.child.kill('SIGKILL');
  await first.ended;
  await publish(20);
  const second = await comeBack(portOf(standby), first.lastId);
  await second.gets(1, 'walpost.live');
  await publish(5);
  await poll('all have arrived', async () => (numbersOf([first, second]).length === count ? true : undefined));
  expect(numbersOf([first, second])).toEqual(Array.from({ length: 48 }, (_, index) => index + 1));
  expect(JSON.parse((await second.gets(1, 'walpost.live'))[0]?.data ?? '')).toEqual({ resumed: 'table' });
  await second[Symbol.asyncDispose]();
});

test('SIGTERM ends the streams in order, and what comes meanwhile is found in the table', async () => {
  let walpost = await start();
  const first = await comeBack(portOf(walpost));
  await first.gets(1, 'walpost.live');
  await publish(2);
  await settledCheckpoint();
  await publish(2);
  await first.gets(4);
  await first[Symbol.asyncDispose]();
  await using witness = await comeBack(portOf(walpost));
  await publish(3);
  await witness.gets(3);
  walpost.cli.child.kill('SIGTERM');
  await witness.ended;
  expect(witness.messages.at(-1)?.data).toBe('{"reason":"stopping"}');
  expect(await walpost.cli.result()).toMatchObject({ code: 0 });
  await walpost[Symbol.asyncDispose]();
  await publish(2);
  walpost = await start();
  const second = await comeBack(portOf(walpost), first.lastId);
  await second.gets(1, 'walpost.live');
  await poll('all have arrived', async () => (numbersOf([first, second]).length === count ? true : undefined));
  expect(numbersOf([first, second])).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await second[Symbol.asyncDispose]();
  await walpost[Symbol.asyncDispose]();
});

test('rows that are gone: the reader is told to read its state anew', async () => {
  await using walpost = await start();
  const first = await comeBack(portOf(walpost));
  await first.gets(1, 'walpost.live');
  await publish(2);
  await first.gets(2);
  await using second = await comeBack(portOf(walpost), '1-0-0-0');
  await second.gets(1, 'walpost.live');
  expect(second.messages.map(({ event }) => event)).toEqual(['walpost.reset', 'walpost.live']);
  await first[Symbol.asyncDispose]();
});

async function servePage(): Promise<Server> {
  const script = /```js\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><title>live</title><script>${script}</script>`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

test.skipIf(missing !== undefined)(
  'the page of the documentation listens in a browser, over a restart of walpost',
  async () => {
    const server = await servePage();
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    let walpost = await start({ origins: [origin] });
    const port = portOf(walpost);
    const browser = await launchChromium();
    try {
      const tab = await browser.newPage();
      await tab.goto(origin);
      const token = await liveToken({ organization: ORGANIZATION });
      await tab.evaluate(
        `window.told = []; window.resets = 0; window.stop = listen({ url: 'http://127.0.0.1:${port}/live', types: ['job.done'],
        getToken: () => '${token}', onEvent: (event) => told.push(event), onReset: () => resets++ })`,
      );
      const told = () =>
        tab.evaluate('told.map((event) => [event.organization_id, event.payload.n])') as Promise<[string, number][]>;
      await poll('it listens', async () =>
        (await walpost.metric('walpost_live_connections')) === 1 ? true : undefined,
      );
      await publish(2);
      await settledCheckpoint();
      await publish(2);
      await poll('four have arrived', async () => ((await told()).length === 4 ? true : undefined));
      walpost.cli.child.kill('SIGKILL');
      await walpost.cli.result();
      await publish(3);
      await walpost[Symbol.asyncDispose]();
      walpost = await start({ origins: [origin], port });
      await poll('all have arrived', async () => ((await told()).length === 7 ? true : undefined));
      expect(await told()).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => [ORGANIZATION, n]));
      expect(await tab.evaluate('resets')).toBe(0);
      expect(walpost.cli.stderr).not.toContain(token.slice(-20));
    } finally {
      await browser.close();
      await walpost[Symbol.asyncDispose]();
      server.close();
    }
  },
);

test('the configuration of the documentation is sound', () => {
  const yaml = (/```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? '').replace('${JWT_SECRET}', LIVE_SECRET);
  const parsed = configSchema.safeParse({ database: { url: 'postgres://127.0.0.1/x' }, ...(parse(yaml) as object) });
  expect(parsed.error?.issues).toBeUndefined();
});
