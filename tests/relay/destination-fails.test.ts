/** A destination that fails, as operators meet it: the log, walpost.lanes and walpost.alerts name who, why and what to do. */
import { randomUUID } from 'node:crypto';
import { createServer as createReceiver } from 'node:http';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';

interface Line {
  readonly msg: string;
  readonly sink?: string;
  readonly organizationId?: string;
  readonly code?: string;
  readonly reason?: string;
  readonly remedy?: string;
}

const QUICK = { park_after: '100ms', quick_retries: 0, breaker: { reset_after: '200ms' }, backoff: ['100ms'] };
/** The second: of a lane that had everything refused. */
const OVER = /deliveries no longer fail|accepts events again/;
const linesOf = (relay: RelayInProcess): Line[] => relay.lines.map((line) => JSON.parse(line) as Line);

async function lineWith(relay: RelayInProcess, words: string, of: Partial<Line>): Promise<Line> {
  const wanted = ([field, value]: [string, unknown], line: Line): boolean => line[field as keyof Line] === value;
  return poll(words, async () =>
    linesOf(relay).find((line) => line.msg.includes(words) && Object.entries(of).every((each) => wanted(each, line))),
  );
}

/** A port of this machine where nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test.each([
  ['301', (): number => 301, 'HTTP_301', 'Put the final URL into sinks.hook.url'],
  ['401', (): number => 401, 'HTTP_401', 'credentials'],
  ['404', (): number => 404, 'HTTP_404', 'path in sinks.hook.url'],
  ['503', (): number => 503, 'HTTP_503', 'Look at the receiver'],
  ['429', (): number => 429, 'HTTP_429', 'sinks.hook.organization_rate'],
  ['422', (): number => 422, 'HTTP_422', 'dead-letters redrive'],
])(
  'one organization whose receiver answers %s: told in the log, and that it is over',
  async (_, answer, code, remedy) => {
    await using database = await createTestDatabase();
    await using log = await EventLog.start();
    const [sick, well] = [randomUUID(), randomUUID()];
    const keep = log.receiver.onBatch;
    let isWell = false;
    log.receiver.onBatch = (batch, body) => (isWell || batch.organization_id === well ? keep(batch, body) : answer());
    await using relay = await RelayInProcess.start({
      database,
      sinks: { hook: Object.values(log.sinks)[0] as object },
      config: { delivery: QUICK },
    });
    for (const organization of [sick, well, sick])
      await database.query(`SELECT walpost.publish($1, 'a.b', '{}')`, [organization]);
    const told = await lineWith(relay, 'deliveries to an organization fail', { organizationId: sick });
    expect(told).toMatchObject({ sink: 'hook', code, reason: expect.stringContaining(`answered ${code.slice(5)}`) });
    expect(told.remedy).toContain(remedy);
    const lanes = () => database.query('SELECT sink, organization_id AS id, code FROM walpost.lanes');
    const rows = await poll('written', async () => ((await lanes()).length > 0 ? lanes() : undefined));
    expect(rows).toEqual([{ sink: 'hook', id: sick, code }]);
    isWell = true;
    await poll('told that it is over', async () =>
      linesOf(relay).find(({ organizationId, msg }) => organizationId === sick && OVER.test(msg)),
    );
    expect(linesOf(relay).filter(({ organizationId }) => organizationId === well)).toEqual([]);
  },
);

test('one organization whose receiver hangs: told in the log with its timeout, and that it is over', async () => {
  await using database = await createTestDatabase();
  await using log = await EventLog.start();
  const [sick, well] = [randomUUID(), randomUUID()];
  let answer = (): void => undefined;
  const answered = new Promise<void>((resolve) => (answer = resolve));
  const keep = log.receiver.onBatch;
  log.receiver.onBatch = async (batch, body) => {
    if (batch.organization_id === sick) await answered;
    return keep(batch, body);
  };
  await using relay = await RelayInProcess.start({
    database,
    sinks: { hook: log.receiver.sink({ timeout: '2s' }) },
    config: { delivery: QUICK },
  });
  for (const organization of [sick, well, sick])
    await database.query(`SELECT walpost.publish($1, 'a.b', '{}')`, [organization]);
  const told = await lineWith(relay, 'deliveries to an organization fail', { organizationId: sick });
  expect(told).toMatchObject({ sink: 'hook', code: 'TIMEOUT', reason: 'the destination did not answer in time' });
  expect(told.remedy).toContain('raise sinks.hook.timeout');
  answer();
  await poll('told that it is over', async () =>
    linesOf(relay).find(({ organizationId, msg }) => organizationId === sick && OVER.test(msg)),
  );
  expect(log.events.map(({ organization_id }) => organization_id)).toContain(well);
});

test('a sink that nobody answers: the breaker is told once, with the cause, the lanes behind it keep theirs, and it is over', async () => {
  await using database = await createTestDatabase();
  const port = await closedPort();
  const url = `http://127.0.0.1:${port}/`;
  await using relay = await RelayInProcess.start({
    database,
    sinks: { hook: { type: 'webhook', url, allow_private: true } },
    config: { delivery: QUICK },
  });
  for (let n = 0; n < 30; n += 1) await database.query(`SELECT walpost.publish($1, 'a.b', '{}')`, [randomUUID()]);
  const told = await lineWith(relay, 'the breaker of hook is open', { sink: 'hook' });
  expect(told).toMatchObject({ code: 'ECONNREFUSED', remedy: expect.stringContaining('Start the receiver') });
  await poll('probed several times', async () => {
    const [row] = await database.query<{ n: number }>('SELECT max(attempts) AS n FROM walpost.lanes');
    return (row?.n ?? 0) >= 4 ? true : undefined;
  });
  expect(linesOf(relay).filter(({ msg }) => msg.includes('the breaker of hook'))).toHaveLength(1);
  expect(linesOf(relay).filter(({ msg }) => msg.includes('to an organization fail')).length).toBeLessThanOrEqual(5);
  const causes = await database.query<{ code: string }>('SELECT DISTINCT code FROM walpost.lanes');
  expect(causes.map(({ code }) => code)).toContain('ECONNREFUSED');

  const receiver = createReceiver((request, response) => {
    request.resume().on('end', () => response.writeHead(204).end());
  });
  await once(receiver.listen(port, '127.0.0.1'), 'listening');
  await lineWith(relay, 'the breaker of hook is closed again', { sink: 'hook' });
  receiver.close();
  receiver.closeAllConnections();
});
