import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { compiled } from '../support/compiled.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { Cli, walpost } from '../support/walpost-cli.ts';

const script = compiled(fileURLToPath(new URL('./run-stand-in.ts', import.meta.url)));
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
const logged = (text: string): Record<string, unknown>[] =>
  text.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []));

describe('signals', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('%s drains, lets go of everything and exits 0', async (signal) => {
    await using cli = new Cli(['drain'], { script });
    await cli.prints(/running/);
    cli.child.kill(signal);
    const { code, stderr } = await cli.result();
    expect({ code, lines: lines(stderr) }).toEqual({
      code: 0,
      lines: ['running', 'draining', 'drained', 'ran', 'disposed'],
    });
  });

  test('a drain that hangs is given up after its time, still with 0', async () => {
    await using cli = new Cli(['hang', '0', '100'], { script });
    await cli.prints(/running/);
    cli.child.kill('SIGTERM');
    const { code, stderr } = await cli.result();
    expect({ code, lines: lines(stderr) }).toEqual({ code: 0, lines: ['running', 'draining', 'ran', 'disposed'] });
    expect(logged(stderr)).toContainEqual(
      expect.objectContaining({ level: 'warn', msg: expect.stringContaining('not everything was confirmed') }),
    );
  });

  test('SIGHUP: the relay that ends has the time of the configuration that it runs with', async () => {
    await using cli = new Cli(['reload', '0', '100'], { script });
    await cli.prints(/running/);
    cli.child.kill('SIGHUP');
    await cli.prints(/running[^]*running/);
    expect(lines(cli.stderr)).toEqual(['running', 'draining', 'drained', 'ran', 'disposed', 'running']);
    expect(cli.stderr).not.toContain('not everything was confirmed');
    cli.child.kill('SIGTERM');
    await cli.result();
    expect(cli.stderr).toContain('not everything was confirmed'); // now the new one counts
  });

  test('a second signal ends at once, with 1', async () => {
    await using cli = new Cli(['hang', '0', '60000'], { script });
    await cli.prints(/running/);
    cli.child.kill('SIGTERM');
    await cli.prints(/draining/);
    cli.child.kill('SIGTERM');
    const { code, stderr } = await cli.result();
    expect({ code, lines: lines(stderr) }).toEqual({ code: 1, lines: ['running', 'draining'] });
  });
});

describe('what ends it', () => {
  test.each([
    ['operator', 1, { code: 'WAL_LEVEL', message: 'The server does not write logical WAL.' }],
    ['usage', 2, expect.objectContaining({ code: 'SINK_PACKAGE_MISSING' })],
    ['defect', 1, { message: 'connect postgres://(not shown)@db' }],
  ])('%s errors exit %i and are the last line of the log', async (behaviour, code, err) => {
    const result = await walpost([behaviour], { script });
    expect(result.code).toBe(code);
    expect(logged(result.stderr).at(-1)).toMatchObject({ level: 'error', err, msg: 'walpost cannot go on' });
    expect(result.stderr).toContain('disposed');
  });

  test('an address that is not this machine exits 1', async () => {
    const { code, stderr } = await walpost(['drain', '0', '5000', '192.0.2.1'], { script });
    expect(code).toBe(1);
    expect(logged(stderr).at(-1)).toMatchObject({ err: { code: 'HTTP_LISTEN' } });
  });

  test('a port in use is waited for: the pages come when it is free', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    await using cli = new Cli(['drain', String(port)], { script });
    await cli.prints(/the HTTP port is in use/);
    holder.close();
    await cli.prints(/the HTTP port is free now/);
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  });
});

function configFor(database: TestDatabase, port: number): ConfigFile {
  return new ConfigFile(`database: { url: '${database.url}' }
source: { slot: ${database.slotName} }
sinks: { log: { type: stdout } }
routes: [{ to: [log] }]
http: { port: ${port}, token: a-token-of-16-chars }
log: { format: json }
`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('with a database', () => {
  test('migrate, run, status: from an empty database to a delivered event', async () => {
    await using database = await createTestDatabase({ migrated: false });
    using file = configFor(database, await freePort());
    const cwd = file.directory;

    const early = await walpost(['run'], { cwd });
    expect(early.code).toBe(1);
    expect(logged(early.stderr).at(-1)).toMatchObject({
      err: { code: 'MIGRATION_MISSING' },
      remedy: 'Run `walpost migrate`.',
    });

    const plan = await walpost(['migrate', '--plan'], { cwd });
    expect(plan).toMatchObject({ code: 0, stdout: expect.stringMatching(/^would apply 001_\w+\.sql\n/) });
    expect(await database.query(`SELECT FROM pg_namespace WHERE nspname = 'walpost'`)).toEqual([]);
    const migrated = await walpost(['migrate'], { cwd });
    expect(migrated).toMatchObject({ code: 0, stdout: plan.stdout.replaceAll('would apply', 'applied') });
    const again = await walpost(['migrate', '--json'], { cwd });
    expect(JSON.parse(again.stdout)).toEqual({ applied: true, migrations: [] });

    const silent = await walpost(['status'], { cwd });
    expect(silent.code).toBe(0);
    expect(silent.stdout).toMatch(new RegExp(`^slot +${database.slotName}, missing, nobody streams from it$`, 'm'));
    expect(silent.stdout).toMatch(
      /^No process answered at http:\/\/127\.0\.0\.1:\d+\/status \(connection refused\)\.$/m,
    );

    await using run = new Cli(['run'], { cwd });
    await run.prints(/"msg":"streaming/);
    await database.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES (gen_random_uuid(), 'a.b', '{"x": 1}')`,
    );
    await run.prints(/"event_type":"a\.b"/, 'stdout');

    const [json, text, wrong] = await Promise.all([
      walpost(['status', '--json'], { cwd }),
      walpost(['status'], { cwd }),
      walpost(['status', '--set', 'http.token=another-token-of-16'], { cwd }),
    ]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      leader: { role: 'leader', epoch: 1 },
      slot: { name: database.slotName, walStatus: 'reserved', active: true },
      lag: { unconfirmedBytes: expect.any(Number), retainedBytes: expect.any(Number) },
      breakers: [{ sink: 'log', state: 'closed' }],
      asked: { process: 'answered', database: 'answered' },
      notes: [],
    });
    expect(text.stdout).toMatch(/^role +leader, epoch 1, /m);
    expect(text.stdout).toMatch(/^sink log +breaker closed$/m);
    expect(text.stdout).toMatch(/^[^\x1b]*$/);
    expect(wrong.stdout).toMatch(/refused http\.token\.$/m);

    run.child.kill('SIGTERM');
    expect((await run.result()).code).toBe(0);
    const after = await walpost(['status', '--json'], { cwd });
    expect(JSON.parse(after.stdout)).toMatchObject({
      leader: { role: 'unknown' },
      slot: { active: false, walStatus: 'reserved' },
      asked: { process: 'silent', database: 'answered' },
    });
  }, 120_000);

  test('status exits 1 when neither the process nor the database answers', async () => {
    const port = await freePort();
    using file = new ConfigFile(`database: { url: 'postgres://app:hunter2@127.0.0.1:${port}/app' }
sinks: { log: { type: stdout } }
routes: [{ to: [log] }]
http: { enabled: false }
`);
    const { code, stdout, stderr } = await walpost(['status'], { cwd: file.directory });
    expect(code).toBe(1);
    expect(stdout).toContain('No process was asked, since http.enabled is false.');
    expect(stdout).toContain('The database could not be asked');
    expect(stdout + stderr).not.toContain('hunter2');
  });
});
