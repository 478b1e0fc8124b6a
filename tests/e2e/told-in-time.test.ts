/** Destinations that fail, with the settings that nobody has changed: who, why and what to do is told within 30 s. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { type Cli, TOLD_WITHIN_MS } from '../support/walpost-cli.ts';
import { closedPort } from '../support/webhook-receiver.ts';
import { EventReceiver } from './event-receiver.ts';
import { Operator } from './operator.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const [WELL, HANGS, REFUSED] = [randomUUID(), randomUUID(), randomUUID()];

let database: TestDatabase;
let receiver: EventReceiver;
let operator: Operator;
let relay: Cli;
let answer: () => void = () => undefined;
let port = 0;
let isMended = false;
let planted = 0;

/** One relay for all of them: each has a sink of its own. */
beforeAll(async () => {
  database = await createTestDatabase();
  const answered = new Promise<void>((resolve) => (answer = resolve));
  receiver = await EventReceiver.start(async ({ organization_id: organization }) => {
    if (organization === HANGS) await answered;
    return organization === REFUSED && !isMended ? 422 : undefined;
  });
  port = await closedPort();
  const away = { type: 'webhook', url: `http://127.0.0.1:${port}/`, allow_private: true };
  const sinks = { away, hangs: receiver.sink(), refuses: receiver.sink() };
  const routes = Object.keys(sinks).map((sink) => ({ match: { event_type: sink }, to: [sink] }));
  operator = await Operator.of(database, sinks, { routes });
  relay = operator.run();
  await relay.prints(/"msg":"streaming from/);
  planted = performance.now();
  for (let n = 0; n < 8; n += 1) await publish(randomUUID(), 'away');
  for (const organization of [HANGS, WELL, HANGS]) await publish(organization, 'hangs');
  for (const organization of [REFUSED, WELL, REFUSED, REFUSED]) await publish(organization, 'refuses');
});
afterAll(async () => {
  answer();
  await relay[Symbol.asyncDispose]();
  operator[Symbol.dispose]();
  await receiver[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const publish = (organization: string, type: string): Promise<unknown> =>
  database.query(`SELECT walpost.publish($1, $2, '{}')`, [organization, type]);

/** The first line of the log that is like that. */
async function line(of: Readonly<Record<string, string>>): Promise<{ msg: string; reason?: string; remedy?: string }> {
  const isLike = (known: Record<string, unknown>): boolean =>
    Object.entries(of).every(([name, value]) => known[name] === value);
  const look = async () =>
    relay.stderr
      .split('\n')
      .slice(0, -1)
      .map((text) => JSON.parse(text) as Record<string, unknown> & { msg: string })
      .find(isLike);
  const found = await poll(`a line with ${JSON.stringify(of)}`, look, TOLD_WITHIN_MS);
  expect(performance.now() - planted).toBeLessThan(TOLD_WITHIN_MS);
  return found;
}

const statusSays = async (text: RegExp): Promise<void> => {
  expect(await operator.status(text)).toMatch(text);
  expect(performance.now() - planted).toBeLessThan(TOLD_WITHIN_MS);
};

describe('told within 30 s', () => {
  test('a sink is down', async () => {
    const told = await line({ sink: 'away', code: 'ECONNREFUSED' });
    expect(told.remedy).toContain('Start the receiver, or correct sinks.away.url');
    await statusSays(/sink away:? +breaker open.*away, organization .*ECONNREFUSED.*sink away: Start the receiver/);
  });

  test('one organization is refused everything', async () => {
    const told = await line({ sink: 'refuses', organizationId: REFUSED, code: 'HTTP_422' });
    expect(told.reason).toContain('answered 422');
    expect(told.remedy).toBeTruthy();
    await statusSays(new RegExp(`refuses, organization ${REFUSED}: .*answered 422.*sink refuses: `));
  });

  test('one organization gets no answer', async () => {
    const told = await line({ sink: 'hangs', organizationId: HANGS, code: 'TIMEOUT' });
    expect(told.remedy).toContain('raise sinks.hangs.timeout');
    await statusSays(
      new RegExp(`hangs, organization ${HANGS}: .*did not answer in time.*sink hangs: Let the receiver`),
    );
  });
});

test('mended, all of it arrives, and the status is as it was before', async () => {
  const started = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(204).end());
  });
  await once(started.listen(port, '127.0.0.1'), 'listening');
  isMended = true;
  answer();
  // What the remedies say: it goes on by itself, and this skips the wait. A breaker is probed when its time has come.
  const look = async (): Promise<true | undefined> => {
    expect(await operator.command('parked', 'retry')).toMatchObject({ code: 0 });
    const { stdout } = await operator.command('status');
    return /^parked +0$/m.test(stdout) && /^alerts +none$/m.test(stdout) ? true : undefined;
  };
  await poll('nothing waits', look, 50_000);
  const letters = await database.query('SELECT FROM walpost.dead_letters');
  // What hung was sent more than once.
  expect(receiver.count + letters.length).toBeGreaterThanOrEqual(7);
  started.close();
  started.closeAllConnections();
});
