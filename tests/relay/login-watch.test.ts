/** How often the login is proven, and that a look which fails changes nothing; tests/relay/login-rights.test.ts has the rest. */
import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LoginWatch } from '../../src/relay/login-watch.ts';
import { createLog } from '../../src/observe/log.ts';
import { newPool } from '../support/client.ts';
import { createRole, type DatabaseRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { ManualClock } from '../support/manual-clock.ts';

let database: TestDatabase;
let role: DatabaseRole;
/** Stands for the server where a proof connects to: it counts, and closes. */
let server: Server;
let proofs = 0;

beforeEach(async () => {
  database = await createTestDatabase();
  role = await createRole(database, { in: ['walpost_relay'] });
  proofs = 0;
  server = createServer((socket) => {
    proofs += 1;
    socket.on('error', () => undefined).destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

test('without the attribute a connection is tried every ten minutes, and one that fails otherwise is no problem', async () => {
  const pool = newPool({ connectionString: role.url, max: 1 });
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = createLog({ level: 'info', format: 'json', destination: { write: (line) => lines.push(line) } });
  const { port } = server.address() as { port: number };
  const watch = new LoginWatch({ pool, url: `postgres://u:p@127.0.0.1:${port}/d?sslmode=disable`, clock, log });
  for (let n = 0; n < 60; n += 1) {
    await watch.check();
    await clock.advance(10_000);
  }
  expect(proofs).toBe(1);
  await watch.check();
  expect(proofs).toBe(2);
  expect(watch.problem).toBeUndefined();
  await pool.end();
  await watch.check(); // the database does not answer
  expect(lines).toEqual([]);
});
