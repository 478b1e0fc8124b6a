/** What the log tells to do about a destination is done, and the events arrive. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { requestBody } from '../support/request-body.ts';
import { poll } from '../support/slot-session.ts';
import type { Cli } from '../support/walpost-cli.ts';
import type { ReceivedBatch } from './event-receiver.ts';
import { NO_ALERT, Operator } from './operator.ts';

vi.setConfig({ testTimeout: 120_000 });

const QUICK = { delivery: { park_after: '100ms', quick_retries: 0, max_attempts: 1, backoff: ['100ms'] } };
const RIGHT = 'Bearer right';

/** Takes events at /hook from who says the right word; /old is where it was before. */
class Destination implements AsyncDisposable {
  readonly accepted: string[] = [];
  /** Of the one type that it does not understand. */
  understands = false;
  readonly #server = createServer((request, response) => {
    void requestBody(request).then((body) => {
      const { events } = JSON.parse(body?.toString() ?? '') as ReceivedBatch;
      const types = events.map(({ event_type: type }) => type);
      this.#answer(request.url ?? '', request.headers.authorization, types, response);
    });
  });

  static async start(): Promise<Destination> {
    const destination = new Destination();
    await once(destination.#server.listen(0, '127.0.0.1'), 'listening');
    return destination;
  }

  sink(path: string, authorization: string): object {
    const { port } = this.#server.address() as AddressInfo;
    return { type: 'webhook', url: `http://127.0.0.1:${port}${path}`, allow_private: true, headers: { authorization } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #answer(path: string, word: string | undefined, types: readonly string[], response: ServerResponse): void {
    if (path === '/old') return void response.writeHead(301, { location: '/hook' }).end();
    if (path !== '/hook') return void response.writeHead(404).end();
    if (word !== RIGHT) return void response.writeHead(401).end();
    if (types.includes('odd') && !this.understands) return void response.writeHead(422).end();
    this.accepted.push(...types);
    response.writeHead(204).end();
  }
}

interface Told {
  readonly sink: string;
  readonly organizationId: string;
  readonly code: string;
  readonly remedy: string;
}

async function told(relay: Cli): Promise<Told> {
  const words = 'deliveries to an organization fail';
  await relay.prints(new RegExp(`${words}.*\n`));
  return JSON.parse(relay.stderr.split('\n').find((line) => line.includes(words)) ?? '') as Told;
}

const publish = (database: TestDatabase, organization: string, type: string): Promise<unknown> =>
  database.query(`SELECT walpost.publish($1, $2, '{}')`, [organization, type]);

test.each([
  { code: 'HTTP_301', wrong: ['/old', RIGHT], remedy: 'Put the final URL into sinks.crm.url.' },
  { code: 'HTTP_401', wrong: ['/hook', 'Bearer of-yesterday'], remedy: 'the secret or the headers of sinks.crm' },
  { code: 'HTTP_404', wrong: ['/hok', RIGHT], remedy: 'Correct the path in sinks.crm.url' },
] as const)('$code: the file is corrected as the log says, SIGHUP, and the event arrives', async (each) => {
  await using database = await createTestDatabase();
  await using destination = await Destination.start();
  const [path, word] = each.wrong;
  using operator = await Operator.of(database, { crm: destination.sink(path, word) }, QUICK);
  await using relay = operator.run();
  await relay.prints(/"msg":"streaming from/);
  const organization = randomUUID();
  await publish(database, organization, 'a.b');
  const line = await told(relay);
  expect(line).toMatchObject({ sink: 'crm', organizationId: organization, code: each.code });
  expect(line.remedy).toContain(each.remedy);
  const status = await operator.status(/1 parked/);
  expect(status).toMatch(new RegExp(`crm, organization ${organization}: .*answered ${each.code.slice(5)} `));
  expect(status).toContain(each.remedy);
  operator.correct({ sinks: { crm: destination.sink('/hook', RIGHT) } });
  relay.child.kill('SIGHUP');
  await poll('it arrives', async () => destination.accepted[0]);
  expect(destination.accepted).toEqual(['a.b']);
  expect(await operator.status(/parked 0/)).toMatch(NO_ALERT);
});

test('HTTP_422: the receiver is repaired, and the dead letter is sent again by the command that the log says', async () => {
  await using database = await createTestDatabase();
  await using destination = await Destination.start();
  using operator = await Operator.of(database, { crm: destination.sink('/hook', RIGHT) }, QUICK);
  await using relay = operator.run();
  await relay.prints(/"msg":"streaming from/);
  const organization = randomUUID();
  await publish(database, organization, 'odd');
  const line = await told(relay);
  expect(line).toMatchObject({ sink: 'crm', organizationId: organization, code: 'HTTP_422' });
  const [, command = ''] = /Repair the receiver, then `walpost (dead-letters redrive)`/.exec(line.remedy) ?? [];
  await poll('it is a dead letter', async () => {
    await publish(database, randomUUID(), 'a.b'); // the receiver accepts others, so the event is to blame
    return (await database.query('SELECT FROM walpost.dead_letters'))[0];
  });
  expect(await operator.status(/dead letters 1/)).toContain('dead letters 1: 1 failed (crm)');
  destination.understands = true;
  expect(await operator.command(...command.split(' '), '--yes')).toMatchObject({ code: 0 });
  await poll('it arrives', async () => destination.accepted.find((type) => type === 'odd'));
  expect(await operator.status(/dead letters 0/)).toContain('parked 0');
});
