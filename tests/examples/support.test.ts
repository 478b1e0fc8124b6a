/** examples/support: what an example says when it cannot start, and its transactions for one organization. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { inOrganization } from '../../examples/support/in-organization.ts';
import { openPool } from '../../examples/support/pool.ts';
import { Service } from '../../examples/support/service.ts';
import { createTestDatabase } from '../support/database.ts';

const ROOT = join(import.meta.dirname, '../..');
const ORGANIZATION = '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';

/** Runs a start.ts in a folder of its own. */
async function start(script: string, env = ''): Promise<{ readonly folder: string; readonly printed: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'example-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, '.env'), env);
  await writeFile(join(folder, 'start.mts'), script);
  const args = ['--import', 'tsx', join(folder, 'start.mts')];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: ROOT }, (_, stdout, stderr) =>
      resolve({ folder, printed: stdout + stderr }),
    );
  });
}

const opening = (before = ''): string => `
import { Example } from '${ROOT}/examples/support/example.ts';
${before}
await using example = await Example.open(import.meta.dirname);`;

test('an example that runs already says so in two sentences', async () => {
  const { folder, printed } = await start(opening(), `EXAMPLE_PID=${process.pid}`);
  expect(printed).toBe(
    `\nThis example runs already, as process ${process.pid}.\n` +
      `Stop it with Ctrl-C in its terminal. If that process is something else, delete ${folder}/.env.\n`,
  );
});

test('a bug of an example keeps its stack', async () => {
  const bug = `import { explainFailures } from '${ROOT}/examples/support/example-error.ts'; explainFailures(); throw new Error('a bug');`;
  const { printed } = await start(bug);
  expect(printed).toMatch(/^Error: a bug\n {4}at .*start\.mts/);
});

test.each([
  ['no-such-program', 'no-such-program is not installed.', 'README.md of this example says how to install it.'],
  ['false', 'part has ended with exit code 1.', 'Its lines above say why.'],
])('a part that does not start says why: %s', async (program, message, remedy) => {
  await using part = new Service({
    name: 'part',
    command: [program],
    cwd: ROOT,
    env: {},
    port: 1,
    say: () => undefined,
  });
  await expect(part.ready()).rejects.toMatchObject({ message, remedy });
});

test('a transaction that fails leaves its connection fit for the next one', async () => {
  await using database = await createTestDatabase();
  const pool = openPool(database.url, 1, 'example');
  const fails = inOrganization(pool, ORGANIZATION, (tx) => tx.query('SELECT 1 / 0'));
  await expect(fails).rejects.toMatchObject({ code: '22012' });
  const ends = inOrganization(pool, ORGANIZATION, (tx) => tx.query('SELECT pg_terminate_backend(pg_backend_pid())'));
  await expect(ends).rejects.toMatchObject({ code: '57P01' });
  const { rows } = await inOrganization(pool, ORGANIZATION, (tx) =>
    tx.query(`SELECT current_setting('app.current_org_id') AS organization`),
  );
  expect(rows).toEqual([{ organization: ORGANIZATION }]);
  await pool.end();
});
