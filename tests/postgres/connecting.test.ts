/** How walpost finds its server and its password: sockets, .pgpass, PGPASSWORD, and none at all. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { checkServer } from '../../src/slot/server-checks.ts';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';

vi.setConfig({ testTimeout: 60_000 });

let home: string;
let server: Awaited<ReturnType<typeof startServer>>;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'walpost-connect-'));
  chmodSync(home, 0o777);
  server = await startServer('17', { settings: { unix_socket_directories: home } });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(home, { recursive: true });
});

const password = (): string => new URL(server.url()).password;
const ask = async (url: string): Promise<string | undefined> => {
  const pool = createPool(url, { applicationName: 'walpost test', max: 1 });
  try {
    const { rows } = await pool.query<{ peer: string | null }>('SELECT inet_client_addr()::text AS peer');
    return rows[0]?.peer ?? 'socket';
  } finally {
    await pool.end();
  }
};

describe('a unix socket', () => {
  const forms = (): string[] => [
    `postgres://postgres:${password()}@/postgres?host=${home}&port=${server.port}`,
    `postgres://postgres:${password()}@${encodeURIComponent(home)}:${server.port}/postgres`,
    `postgres:///postgres?user=postgres&password=${password()}&host=${home}&port=${server.port}`,
    `postgres:///?user=postgres&dbname=postgres&password=${password()}&host=${home}&port=${server.port}`,
    // libpq too ignores sslmode where there is no network.
    `postgres://postgres:${password()}@/postgres?host=${home}&port=${server.port}&sslmode=require`,
  ];

  test.each([0, 1, 2, 3, 4])('form %i', async (index) => {
    const url = forms()[index] ?? '';
    expect(await ask(url)).toBe('socket');
    expect(await checkServer({ url })).toMatchObject({ database: 'postgres', role: 'postgres' });
  });

  test('one that is not there is named', async () => {
    const error = checkServer({ url: `postgres:///postgres?host=${home}&port=1` });
    await expect(error).rejects.toMatchObject({
      code: 'SERVER_UNREACHABLE',
      message: expect.stringContaining(`${home}/.s.PGSQL.1`) as string,
    });
  });
});

describe('a password that is not in database.url', () => {
  const bare = (): string => `postgres://postgres@127.0.0.1:${server.port}/postgres`;
  const passFile = (line: string, mode = 0o600): string => {
    const path = join(home, `pass-${Math.random().toString(36).slice(2)}`);
    writeFileSync(path, `# a comment\nelsewhere:1:*:*:wrong\n${line}\n`, { mode });
    return path;
  };
  /** In a process of its own: the driver reads the environment. */
  const migratePlan = async (env: NodeJS.ProcessEnv, url = bare()) => {
    using file = new ConfigFile(
      JSON.stringify({ database: { url }, sinks: { log: { type: 'stdout' } }, routes: [{ to: ['log'] }] }),
    );
    const result = await walpost(['migrate', '--plan', '--config', file.path], {
      env: { PGPASSFILE: join(home, 'no-such-file'), PGPASSWORD: undefined, ...env },
    });
    expect(result.stderr).not.toMatch(/deprecat|\(node:/i);
    return result;
  };

  test('PGPASSWORD', async () => {
    expect(await migratePlan({ PGPASSWORD: password() })).toMatchObject({ code: 0, stderr: '' });
  });

  test.each([
    ['by host and port', () => `127.0.0.1:${server.port}:postgres:postgres:${password()}`],
    ['for all', () => `*:*:*:*:${password()}`],
    ['with escaped signs', () => String.raw`*:*:*:post\gres:${password()}`.replace(String.raw`post\gres`, 'postgres')],
  ])('.pgpass, %s', async (_, line) => {
    expect(await migratePlan({ PGPASSFILE: passFile(line()) })).toMatchObject({ code: 0, stderr: '' });
    expect(await migratePlan({}, `${bare()}?passfile=${passFile(line())}`)).toMatchObject({ code: 0, stderr: '' });
  });

  test('a .pgpass that others can read is refused, as libpq does, and named', async () => {
    const path = passFile(`*:*:*:*:${password()}`, 0o644);
    const { code, stderr } = await migratePlan({ PGPASSFILE: path });
    expect({ code, first: stderr.split('\n')[0] }).toEqual({ code: 1, first: 'PASSWORD_MISSING' });
    expect(stderr).toContain(path);
    expect(stderr).toContain('chmod 600');
  });

  test('none: `walpost run` ends at once and says what to write', async () => {
    await using database = await createTestDatabase({ server: server.url() });
    const url = `postgres://postgres@127.0.0.1:${server.port}/${database.name}`;
    using file = new ConfigFile(JSON.stringify(configOf({ database, url, sinks: { log: { type: 'stdout' } } })));
    const env = { PGPASSFILE: join(home, 'no-such-file'), PGPASSWORD: undefined };
    await using cli = new Cli(['run', '--config', file.path], { env });
    await cli.prints(/walpost cannot go on/);
    const said = performance.now();
    const { code, stderr } = await cli.result();
    expect(performance.now() - said).toBeLessThan(1_000);
    expect(code).toBe(1);
    expect(JSON.parse(stderr.trim().split('\n').at(-1) ?? '')).toMatchObject({
      err: { code: 'PASSWORD_MISSING' },
      remedy: expect.stringContaining('PGPASSWORD') as string,
    });
  });

  test('none, for a command', async () => {
    const { code, stderr } = await migratePlan({});
    expect({ code, first: stderr.split('\n')[0] }).toEqual({ code: 1, first: 'PASSWORD_MISSING' });
  });
});
