import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load-config.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { composeServices, DEPLOY } from '../support/compose-services.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const compose = composeServices();
/** What a container gets when nobody sets a variable. */
const environment = { ...compose.get('walpost')?.environment };
const config = () => loadConfig({ path: join(DEPLOY, 'walpost.yaml'), env: environment });

const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
});

/** deploy/receiver.mjs on a free port. */
async function startReceiver(secret: string): Promise<string> {
  const child = spawn(process.execPath, [join(DEPLOY, 'receiver.mjs')], {
    env: { PORT: '0', RECEIVER_SECRET: secret },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return `http://127.0.0.1:${(JSON.parse(line) as { listening: number }).listening}`;
}

async function deliverTo(receiver: string, events: ReturnType<typeof sampleEvent>[]) {
  const sinkConfig = config().sinks['receiver'];
  if (sinkConfig?.type !== 'webhook') throw new Error('deploy/walpost.yaml has no webhook named receiver');
  const url = receiver + new URL(sinkConfig.url ?? '').pathname;
  const sink = await createSink({ ...sinkConfig, url }, { ...contractContext, name: 'receiver' });
  try {
    return await sink.deliver(sampleBatch(events), new AbortController().signal);
  } finally {
    await sink.close();
  }
}

test('the configuration that compose mounts is valid with the variables that compose sets', () => {
  expect(config()).toMatchObject({ routes: [{ match: {}, to: ['receiver', 'log'] }], http: { host: '0.0.0.0' } });
});

test('no port is open beyond loopback', () => {
  const ports = [...compose.values()].flatMap((service) => service.ports ?? []);
  expect(ports.length).toBeGreaterThan(0);
  expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
});

test('the receiver takes what walpost signs, and tells who waits for it', async () => {
  const receiver = await startReceiver(environment['RECEIVER_SECRET'] ?? '');
  const event = sampleEvent();
  const waiting = fetch(`${receiver}/received/${event.eventId}`);
  expect(await deliverTo(receiver, [event])).toEqual({ kind: 'delivered' });
  expect((await waiting).status).toBe(200);
});

test('the receiver refuses what another secret signed', async () => {
  const receiver = await startReceiver('another-secret');
  expect(await deliverTo(receiver, [sampleEvent()])).toMatchObject({ kind: 'unavailable' });
});
