/** Destinations that send back what they were sent: nothing of it reaches a table, a view, a metric or the log. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { ConfigFile } from '../support/config-file.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { requestBody } from '../support/request-body.ts';
import { poll } from '../support/slot-session.ts';
import { walpost } from '../support/walpost-cli.ts';
import { configOf, RunningWalpost } from './running-walpost.ts';

const SECRETS = {
  user: 'us3r@the-sink',
  password: 'p4ss/w0rd of-the-sink',
  path: 'T0KEN-in-the-path',
  query: 'query-t0ken/7',
  apiKey: 'k3y-of-a-header',
  cookie: 'session-c00kie-value',
  oldKey: 'the-key-that-signed-until-now',
  newKey: 'the-key-that-signs-from-now-on',
  service: 'eyJhbGciOiJIUzI1NiJ9.c2VydmljZV9yb2xl.c2lnbmF0dXJl',
};
const CONTENT = {
  value: 'Ada Lovelace, patient 77',
  nested: 'ada@example.org',
  header: 'header-of-the-application',
  key: 'order 4711/77',
};

/** Answers with what is asked for by the type of the event: `bad.headers` with the headers, and so on. */
class EchoServer implements AsyncDisposable {
  readonly signatures = new Set<string>();
  readonly types = new Set<string>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));

  static async start(): Promise<EchoServer> {
    const echo = new EchoServer();
    echo.#server.listen(0, '127.0.0.1');
    await once(echo.#server, 'listening');
    return echo;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await requestBody(request))?.toString();
    if (body === undefined) return;
    const { headers, rawHeaders, url = '' } = request;
    for (const one of String(headers['webhook-signature'] ?? '').split(' ')) if (one) this.signatures.add(one);
    const type = /"(?:event_type|type)":"(bad\.\w+)"/.exec(body)?.[1];
    if (type === undefined) return void response.writeHead(204).end();
    this.types.add(type);
    const dump = JSON.stringify({ url, headers });
    const said: Record<string, string> = {
      'bad.headers': dump,
      'bad.raw': rawHeaders.join('\n'),
      'bad.base64': `as base64: ${Buffer.from(dump).toString('base64')}`,
      'bad.url': `<a href="/login?next=${encodeURIComponent(url)}&amp;auth=${encodeURIComponent(headers.authorization ?? '')}">`,
      'bad.body': body,
      'bad.all': JSON.stringify({ error: 'no', url, headers, body }),
      'bad.value': `cannot store ${JSON.stringify(CONTENT.value)} for ${encodeURIComponent(CONTENT.nested)} (${CONTENT.key})`,
      'bad.phrase': 'x',
      'bad.redirect': dump,
      'bad.cut': `${'<!-- -->'.repeat(35)} ${dump}`,
    };
    const reply = said[type] ?? '';
    if (type === 'bad.redirect') return void response.writeHead(302, { location: url }).end(reply);
    if (type === 'bad.phrase') response.statusMessage = `Refused ${url} ${headers.authorization ?? ''}`;
    response.writeHead(422).end(reply);
  }
}

const BAD = ['headers', 'raw', 'base64', 'url', 'body', 'all', 'value', 'phrase', 'cut'].map((name) => `bad.${name}`);

function sinksAt(host: string): Record<string, object> {
  const login = `${encodeURIComponent(SECRETS.user)}:${encodeURIComponent(SECRETS.password)}@`;
  const hook = {
    type: 'webhook',
    url: `http://${login}${host}/hooks/${SECRETS.path}?token=${encodeURIComponent(SECRETS.query)}`,
    secret: `whsec_${base64(SECRETS.newKey)} whsec_${base64(SECRETS.oldKey)}`,
    headers: { 'X-Api-Key': SECRETS.apiKey, cookie: `session=${SECRETS.cookie}; theme=dark` },
    allow_private: true,
  };
  return {
    hook,
    single: { ...hook, batch: false },
    live: { type: 'realtime', url: `http://${host}`, key: SECRETS.service, allow_private: true },
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** What must be nowhere; base64 without its last characters, which depend on what follows. */
function forbidden(signatures: Iterable<string>): string[] {
  const all = [...Object.values(SECRETS), ...Object.values(CONTENT)];
  const encoded = all.flatMap((text) => [
    encodeURIComponent(text),
    base64(text).slice(0, -4),
    Buffer.from(text).toString('hex'),
  ]);
  return [...all, ...encoded, base64(`${SECRETS.user}:${SECRETS.password}`), ...signatures];
}

const VIEWS = ['error_summary', 'event_timeline', 'queue_status', 'organization_health'];
const TABLES = ['delivery_log', 'dead_letters'];

/** Everything but what the application itself has stored: each row as JSON, without the event. */
const rowsOf = (table: string, columns = '*'): string =>
  `SELECT to_jsonb(t) - '{payload,headers,idempotency_key,poison_row}'::text[] AS row FROM (SELECT ${columns} FROM walpost.${table}) AS t`;

async function publish(database: TestDatabase, organization: string, type: string): Promise<void> {
  const payload = { note: CONTENT.value, deep: [{ mail: CONTENT.nested }], a: 1 };
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, idempotency_key, headers, payload) VALUES ($1, $2, $3, $4, $5)`,
    [organization, type, `${CONTENT.key} ${type} ${organization}`, { authorization: CONTENT.header }, payload],
  );
}

test('an echo gives no credential and no payload away, to nobody', { timeout: 300_000 }, async () => {
  await using database = await createTestDatabase();
  await using echo = await EchoServer.start();
  const sinks = sinksAt(echo.host);
  const config = {
    log: { format: 'json', level: 'debug' },
    batching: { window: '10ms' },
    delivery: { max_attempts: 1, backoff: ['10ms'], quick_retries: 0, breaker: { minimum_organizations: 1000 } },
  };
  const mine = randomUUID();
  await using running = await RunningWalpost.start({ database, sinks, config });
  // A good one behind each shows that the destination is there, so the bad one is given up at once.
  for (const type of BAD.flatMap((bad) => [bad, 'good'])) await publish(database, mine, type);
  await poll(
    'every echo is a dead letter at every sink',
    async () => {
      const rows = await database.query(`SELECT DISTINCT event_type, sink FROM walpost.dead_letters`);
      return rows.length === BAD.length * Object.keys(sinks).length ? true : undefined;
    },
    120_000,
  );
  const redirected = randomUUID();
  await publish(database, redirected, 'bad.redirect');
  await poll('a redirect in the log', async () => {
    const rows = await database.query(`SELECT FROM walpost.delivery_log WHERE reason LIKE '%302%'`);
    return rows.length >= Object.keys(sinks).length || undefined;
  });
  await poll('lanes fail', async () => {
    const rows = await database.query(`SELECT FROM walpost.lanes WHERE reason LIKE '%302%'`);
    return rows.length >= Object.keys(sinks).length || undefined;
  });
  expect(echo.types.size).toBe(BAD.length + 1);
  expect(echo.signatures.size).toBeGreaterThan(10);

  const shown: Record<string, string> = {};
  for (const table of [...TABLES, 'lanes', ...VIEWS])
    shown[`owner: ${table}`] = JSON.stringify(await database.query(rowsOf(table)));
  for (const group of ['walpost_operator', 'walpost_relay']) {
    await using role = await createRole(database, { in: [group] });
    const client = await role.client();
    for (const table of [...TABLES, 'lanes'])
      shown[`${group}: ${table}`] = JSON.stringify((await client.query(rowsOf(table))).rows);
  }
  {
    await using role = await createRole(database, { in: ['walpost_reader'] });
    const client = await role.client();
    await client.query(`SELECT set_config('app.current_org_id', $1, false)`, [mine]);
    for (const table of TABLES) {
      const columns = table === 'delivery_log' ? 'sink, outcome, reason' : 'sink, reason, detail';
      const { rows } = await client.query(rowsOf(table, columns));
      expect(rows.length).toBeGreaterThan(10);
      shown[`reader: ${table}`] = JSON.stringify(rows);
    }
    for (const view of VIEWS) shown[`reader: ${view}`] = JSON.stringify((await client.query(rowsOf(view))).rows);
    await client.query(`SELECT set_config('app.current_org_id', $1, false)`, [redirected]);
    shown['reader: lanes'] = JSON.stringify((await client.query(rowsOf('lanes', 'sink, code, reason'))).rows);
  }
  for (const path of ['/status', '/metrics', '/readyz']) shown[path] = await (await fetch(running.url + path)).text();
  using file = new ConfigFile(JSON.stringify(configOf({ database, sinks, config })));
  shown['dead-letters list'] = (await walpost(['dead-letters', 'list', '--config', file.path])).stdout;
  const [letter] = await database.query<{ id: string }>(
    `SELECT id::text FROM walpost.dead_letters WHERE event_type = 'bad.raw' LIMIT 1`,
  );
  const one = JSON.parse(
    (await walpost(['dead-letters', 'show', letter?.id ?? '', '--json', '--config', file.path])).stdout,
  ) as { answer: string };
  shown['dead-letters show'] = one.answer;
  shown['the log'] = running.cli.stderr;

  const hidden = forbidden(echo.signatures);
  for (const [where, text] of Object.entries(shown)) {
    expect([where, text.length > 20]).toEqual([where, true]);
    const found = hidden.filter((secret) => text.toLowerCase().includes(secret.toLowerCase()));
    expect([where, ...found]).toEqual([where]);
  }
  for (const where of Object.keys(shown).filter((name) => /^(reader|\/|the log)|summary|timeline/.test(name))) {
    expect(`${where}: ${shown[where]}`).not.toMatch(/\*\*\*|not kept/);
  }

  const answers = await database.query<{ type: string; answer: string }>(
    `SELECT event_type AS type, answer FROM walpost.dead_letters WHERE sink = 'hook'`,
  );
  const of = (type: string): string | undefined => answers.find((row) => row.type === type)?.answer;
  expect(of('bad.value')).toBe('cannot store "***" for *** (***)');
  expect(of('bad.headers')).toMatch(/^\{"url":"\*\*\*.*"x-api-key":"\*\*\*"/);
  expect(of('bad.body')).toBe('(not kept: it repeats the request)');
  const redirects = await database.query(
    `SELECT DISTINCT reason, answer FROM walpost.delivery_log WHERE reason LIKE '%302%'`,
  );
  expect(redirects).toEqual([
    {
      reason:
        'the destination answered 302 Found: redirects are not followed, and this one points to another path of the same host',
      answer: null,
    },
  ]);
});
