/** A connection string that is not what it should be is refused in words, and never shown. */
import { describe, expect, test } from 'vitest';
import { connectionStringProblem } from '../../src/connection-string.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { ConfigFile, problemsOf } from '../support/config-file.ts';
import { walpost } from '../support/walpost-cli.ts';

const SECRET = 'hunter2';
/** Each form has the password in two parts, around what breaks it. */
const BROKEN = [
  `postgres://app:${SECRET}@${SECRET}@127.0.0.1:1/app`,
  `postgres://app:${SECRET}#${SECRET}@127.0.0.1:1/app`,
  `postgres://app:${SECRET}%${SECRET}@127.0.0.1:1/app`,
  `postgres://app:${SECRET}%zz${SECRET}@127.0.0.1:1/app`,
  `postgres://app:${SECRET}%ff${SECRET}@127.0.0.1:1/app`,
  `postgres://app:${SECRET}/${SECRET}@127.0.0.1:1/app`,
  `postgres://app:1234/${SECRET}@127.0.0.1:1/app`,
  `postgres://app:${SECRET}?${SECRET}@127.0.0.1:1/app`,
  `postgres://app:1234?${SECRET}=${SECRET}@127.0.0.1:1/app`,
  `postgres://app:${SECRET} ${SECRET}@127.0.0.1:1/app`,
  `postgres://app:${SECRET}\n${SECRET}@127.0.0.1:1/app`,
  `postgres://app:${SECRET}@127.0.0.1:1/app\n`,
  `postgres://app:${SECRET}@127.0.0.1:1,127.0.0.1:2/app`,
  `postgres://app:${SECRET}@/app?host=127.0.0.1,127.0.0.2`,
  `postgres://app:${SECRET}@127.0.0.1%2C127.0.0.2/app`,
  `postgres://app:${SECRET}@127.0.0.1/app?port=1,2`,
  `postgres://app:${SECRET}@127.0.0.1/app?port=0`,
  `postgres://app:${SECRET}@/app?service=production`,
  `postgres://app:${SECRET}@127.0.0.1/app?hostaddr=127.0.0.1`,
  `postgres://app:${SECRET}@127.0.0.1/app?require_auth=scram-sha-256`,
  `postgres://app:${SECRET}@127.0.0.1/app?sslmode=${SECRET}`,
  `postgres://app:${SECRET}@127.0.0.1/app?sslmod=require`,
  `postgres://app:${SECRET}@127.0.0.1/app?sslmode=verify-ca`,
  `postgres://app:${SECRET}@127.0.0.1/app?sslmode=require&sslrootcert=system`,
  `postgres://app:${SECRET}@127.0.0.1/app?sslmode=require&sslcert=/client.crt`,
  `postgres://app:${SECRET}@127.0.0.1/app?sslrootcert=/ca.crt`,
  `postgres://app:${SECRET}@127.0.0.1/app?sslmode=require&sslmode=disable`,
  `service=production password=${SECRET}`,
  `/var/run/postgresql ${SECRET}`,
  `postgres://app:${SECRET}@127.0.0.1:${SECRET}/app`,
  `postgres://app:${SECRET}@127.0.0.1:99999/app`,
  `postgres:app:${SECRET}@127.0.0.1:1/app`,
  `postgres:/app:${SECRET}@127.0.0.1:1/app`,
  `app:${SECRET}@127.0.0.1:1/app`,
  `//app:${SECRET}@127.0.0.1:1/app`,
  `https://app:${SECRET}@127.0.0.1:1/app`,
  `host=127.0.0.1 port=1 user=app password=${SECRET} dbname=app`,
  `host=127.0.0.1 password='${SECRET} ${SECRET}'`,
  `password=${SECRET}`,
  SECRET,
];

test.each([
  'postgres://localhost/app',
  'postgresql://app@db.example.com',
  'postgres://app:a%40b%23c%25d%2Fe%3Ff:g!$&()*+,;=@127.0.0.1:5432/app?sslmode=disable&options=-c%20work_mem%3D7MB',
  'postgres://app:x@[::1]:5432/app',
  'postgres://app:x@/app?host=/var/run/postgresql',
  'postgres:///app',
  'POSTGRES://app@h',
  'postgres://app@%2Fvar%2Frun%2Fpostgresql/app',
  'postgres://h/app?sslmode=require&channel_binding=require&pgbouncer=true',
  'postgres://h/app?sslmode=verify-full&sslrootcert=system&sslcert=/a.crt&sslkey=/a.key',
  'postgres://h/app?ssl=true',
  'postgres://h/app?channel_binding=prefer&gssencmode=disable',
])('%s is read', (url) => {
  expect(connectionStringProblem(url)).toBeUndefined();
});

test.each([
  ['service=production', 'service files are not read', 'postgres://USER:PASSWORD@HOST:PORT/DATABASE'],
  ['postgres:///app?service=x', 'service files are not read', 'postgres://USER:PASSWORD@HOST:PORT/DATABASE'],
  ['host=db dbname=app', 'key=value', 'postgres://USER:PASSWORD@HOST:PORT/DATABASE'],
  ['/var/run/postgresql', 'a socket', 'postgres://USER:PASSWORD@/DATABASE?host=/DIRECTORY'],
  ['postgres://a,b/app', 'connects to one', 'the primary'],
  ['postgres:///app?host=a,b', 'connects to one', 'the primary'],
  ['postgres://app:a@b@h/app', 'not encoded', '%40'],
  ['postgres://app:a#b@h/app', 'holds a #', '%23'],
  ['postgres://app:a%b@h/app', 'holds a %', '%25'],
  ['postgres://h/app?sslmode=on', 'disable, allow, prefer, require, verify-ca or verify-full', 'sslmode'],
  ['postgres://h/app?channel_binding=require', 'without TLS', 'sslmode=verify-full'],
  ['postgres://h/app?sslmode=disable&channel_binding=require', 'without TLS', 'sslmode=verify-full'],
  ['postgres://h/app?sslmode=allow&channel_binding=require', 'without TLS', 'sslmode=verify-full'],
  ['postgres://h/app?sslmode=prefer&channel_binding=require', 'without TLS', 'sslmode=verify-full'],
  ['postgres://h/app?sslmode=require&channel_binding=required', 'does not exist', 'channel_binding=require'],
  ['postgres://h/app?gssencmode=require', 'TLS alone', 'sslmode=verify-full'],
  ['postgres://h/app?sslmode=verify-ca', 'sslmode=verify-ca needs sslrootcert', 'sslmode=verify-full'],
])('%s: the refusal says what to write instead', (url, why, instead) => {
  expect(connectionStringProblem(url)).toContain(why);
  expect(connectionStringProblem(url)).toContain(instead);
});

describe.each(BROKEN)('%j', (url) => {
  test('is refused, and not shown, wherever it was given', () => {
    expect(connectionStringProblem(url)).toBeDefined();
    const rest = 'sinks: { log: { type: stdout } }\nroutes: [{ to: [log] }]\n';
    const given = [
      problemsOf(`database: { url: ${JSON.stringify(url)} }\n${rest}`),
      problemsOf(`database: { url: "\${DATABASE_URL}" }\n${rest}`, { env: { DATABASE_URL: url } }),
      problemsOf(`database: { url: \${DATABASE_URL} }\n${rest}`, { env: { DATABASE_URL: url } }),
      problemsOf(rest, { env: { WALPOST__DATABASE__URL: url } }),
      problemsOf(rest, { env: { WALPOST__DATABASE: url } }),
      problemsOf(rest, { overrides: { 'database.url': url } }),
      problemsOf(rest, { overrides: { [`${url.split('=')[0]}?`]: url } }),
    ];
    for (const problems of given) {
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.join('\n')).not.toContain(SECRET);
    }
    expect(given[0]?.[0]).toContain('database.url');
    expect(() => createPool(url, { applicationName: 'x', max: 1 })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.not.stringContaining(SECRET) as string }),
    );
  });
});

const COMMANDS = [
  ['config', 'check'],
  ['config', 'print'],
  ['run'],
  ['status'],
  ['migrate'],
  ['jobs', 'list'],
  ['prune'],
];

test('no command prints it', { timeout: 180_000 }, async () => {
  using file = new ConfigFile('sinks: { log: { type: stdout } }\nroutes: [{ to: [log] }]\n');
  const env = { WALPOST__LOG__LEVEL: 'debug' };
  for (const url of [
    BROKEN[0],
    BROKEN[6],
    BROKEN.find((url) => url.startsWith('app:')),
    BROKEN.find((url) => url.startsWith('host=')),
  ] as string[]) {
    const results = await Promise.all(
      COMMANDS.map((command) =>
        walpost([...command, '--config', file.path], { env: { ...env, WALPOST__DATABASE__URL: url } }),
      ),
    );
    for (const { code, stdout, stderr } of results) {
      expect(code).toBe(2);
      expect(stdout + stderr).not.toContain(SECRET);
      expect(stderr).toContain('database.url');
    }
  }
});

test('nor a connection string in the wrong place of the command line', { timeout: 120_000 }, async () => {
  const url = BROKEN[5] as string;
  const lines = [['run', url], ['config', 'check', '--config', url], ['config', 'check', '--set', `${url}?a=b`], [url]];
  for (const { code, stdout, stderr } of await Promise.all(lines.map((line) => walpost(line)))) {
    expect(code).toBe(2);
    expect(stdout + stderr).not.toContain(SECRET);
  }
});
