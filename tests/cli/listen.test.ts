import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { memberOf, partsOf } from '../../src/cli/json-text.ts';
import { hookAt, listenTarget } from '../../src/cli/listen-target.ts';
import { configOf, ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';

const SECRET = 'whsec_YSBzZWNyZXQgb2YgeW91ciBvd24sIDI0IGJ5dGVz';
const withHooks = (...hooks: string[]): string => `database: { url: postgres://localhost/app }
sinks:
${hooks.map((hook, index) => `  hook${index}: { type: webhook, allow_private: true, ${hook} }`).join('\n')}
routes: [{ to: [${hooks.map((_, index) => `hook${index}`).join(', ')}] }]
`;

describe('walpost listen', () => {
  const body =
    '{"organization_id":"o","sink":"hook0","attempt":1,"events":[{"event_id":"e1","event_type":"a.b","payload":{"n": 1.10, "t": "]},\\"\\u001b[2J"}},{"event_id":"e2","event_type":"c","payload":null}]}';
  const post = (url: string, headers: Record<string, string>): Promise<number> =>
    fetch(url, { method: 'POST', body, headers }).then((response) => response.status);
  const signed = (secret: string, at = new Date()): Record<string, string> => ({
    'webhook-id': 'm1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign('m1', at, body),
  });

  test('prints what is verified, and refuses what is not, as a receiver should', async () => {
    const hook = `url: 'http://127.0.0.1:4000/hook', secret: ${SECRET}`;
    using file = new ConfigFile(withHooks(hook));
    await using cli = new Cli(['listen', '--port', '0', '--sink', 'hook0', '-c', file.path]);
    await cli.prints(/Listening on .*\n/);
    const url = /http:\S+?:\d+/.exec(cli.stderr)?.[0] ?? '';
    const other = 'whsec_b3RoZXIgc2VjcmV0IG9mIDI0IGJ5dGVzISE=';
    const answers = [
      await post(`${url}/hook`, signed(SECRET)),
      await post(`${url}/hook`, signed(other)),
      await post(`${url}/hook`, signed(SECRET, new Date(Date.now() - 600_000))),
      await post(`${url}/hook`, {}),
    ];
    expect(answers).toEqual([204, 401, 401, 401]);
    const [verified, , , wrong, , , old, , , missing] = cli.stdout.split('\n');
    expect(verified).toMatch(/^[\d:]{8} {2}2 events of organization o, sink hook0, attempt 1: signature verified$/);
    expect(cli.stdout.split('\n').slice(1, 3)).toEqual([
      '  a.b  e1  {"n": 1.10, "t": "]},\\"\\u001b[2J"}',
      '  c  e2  null',
    ]);
    expect([wrong, old, missing]).toEqual([
      expect.stringContaining('WRONG SIGNATURE'),
      expect.stringContaining('OLD SIGNATURE'),
      expect.stringContaining('NO SIGNATURE'),
    ]);
  });

  test('needs no configuration, and says then what is not known; --status answers as it is told', async () => {
    using file = new ConfigFile('');
    const flags = ['listen', '--port', '0', '--status', '503', '--json'];
    await using cli = new Cli(flags, { cwd: `${file.directory}/..` });
    await cli.prints(/No secret is known.*\n.*allow_private: true \}\n/);
    const url = /http:\S+?:\d+/.exec(cli.stderr)?.[0] ?? '';
    expect(await post(`${url}/`, signed(SECRET))).toBe(503);
    await cli.prints(/\n/, 'stdout');
    expect(JSON.parse(cli.stdout)).toMatchObject({ path: '/', signature: 'unknown', body: JSON.parse(body) as object });
  });

  test('a port in use, a sink that is not there and two ports are refused', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    using file = new ConfigFile(withHooks(`url: 'http://127.0.0.1:${port}'`, "url: 'http://localhost:4001/b'"));
    const inPlace = { cwd: file.directory };
    const [used, unknown, two] = [
      await walpost(['listen', '--sink', 'hook0'], inPlace),
      await walpost(['listen', '--sink', 'hook7'], inPlace),
      await walpost(['listen'], inPlace),
    ];
    server.close();
    expect(used).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HTTP_LISTEN\n.*\n {2}End the process/) });
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining(`there is hook0 (port ${port}), hook1`) });
    expect(two).toMatchObject({ code: 2, stderr: expect.stringContaining('Say which with --sink: there is hook0') });
  });

  test('tells sinks on one port apart by their paths', () => {
    const config = configOf(
      withHooks("url: 'http://127.0.0.1:4000/a'", "url: 'http://127.0.0.1:4000/b'", "url: 'https://example.com'"),
    );
    const target = listenTarget(config, {});
    expect(target.hooks.map(({ name }) => name)).toEqual(['hook0', 'hook1']);
    expect(['/b', '/a?x=1', '/c'].map((path) => hookAt(target, path)?.name)).toEqual(['hook1', 'hook0', undefined]);
  });
});

test('parts of a JSON text stay as they are written', () => {
  expect(partsOf('[ 1.0, "a,]\\"", {"b": [2, 3]} ]')).toEqual(['1.0', '"a,]\\""', '{"b": [2, 3]}']);
  expect(partsOf('[]')).toEqual([]);
  expect(memberOf('{"a" : {"x": [1,2]}, "b\\"c":7}', 'a')).toBe('{"x": [1,2]}');
  expect(memberOf('{"a" : {"x": [1,2]}, "b\\"c":7}', 'b"c')).toBe('7');
  expect(memberOf('{"a": {"x": 1}}', 'x')).toBeUndefined();
});

describe('walpost send', () => {
  let database: TestDatabase;
  beforeAll(async () => (database = await createTestDatabase()));
  afterAll(() => database[Symbol.asyncDispose]());
  const configFile = (): ConfigFile =>
    new ConfigFile(withHooks("url: 'http://127.0.0.1:4000'").replace('postgres://localhost/app', database.url));

  test('publishes with every field, and says where the routes send it', async () => {
    using file = configFile();
    const organization = randomUUID();
    const fields = [
      '--topic',
      'x',
      '--target',
      'y',
      '--entity-type',
      'job',
      '--entity-id',
      '7',
      '--idempotency-key',
      'k',
    ];
    const argv = ['send', 'a.b', '{"n": 1.10}', '--organization', organization, ...fields, '--json', '-c', file.path];
    const [first, second] = [await walpost(argv), await walpost(argv)];
    expect(first.stdout).toBe(second.stdout);
    const { event_id: id } = JSON.parse(first.stdout) as { event_id: string };
    expect(JSON.parse(first.stdout)).toEqual({ event_id: id, sinks: ['hook0'] });
    const row = { topic: 'x', target: 'y', entity_type: 'job', entity_id: '7', event_type: 'a.b', n: '1.10' };
    expect(
      await database.query(
        "SELECT topic, target, entity_type, entity_id, event_type, payload ->> 'n' AS n FROM walpost.outbox WHERE event_id = $1",
        [id],
      ),
    ).toEqual([row]);
  });

  test.each([
    [['a.b', 'hello'], 'The payload is not JSON.'],
    [['walpost.x'], 'must not begin with "walpost."'],
    [
      ['a.b', '{}', '--set', 'source.table=app.events'],
      'It publishes to walpost.outbox, and source.table is app.events',
    ],
  ])('refuses %j', async (argv, why) => {
    using file = configFile();
    const { code, stderr } = await walpost(['send', ...argv, '--organization', randomUUID(), '-c', file.path]);
    expect(code).toBe(2);
    expect(stderr).toContain(why);
  });

  test('an organization that is no UUID is refused with what it takes', async () => {
    using file = configFile();
    const { code, stderr } = await walpost(['send', 'a.b', '--organization', 'acme', '-c', file.path]);
    expect(code).toBe(2);
    expect(stderr).toContain('--organization takes a UUID, not "acme".');
  });
});
