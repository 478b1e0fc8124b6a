/**
 * What pg-logical-replication does on its own, and why the stream does it itself. When an upgrade changes one of these,
 * the test fails, and the workaround in src/slot/ has to be looked at again.
 */
import { LogicalReplicationService, PgoutputPlugin } from 'pg-logical-replication';
import { expect, test } from 'vitest';
import { formatLsn, parseLsn } from '../../src/lsn.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { createNotes, poll } from '../support/slot-session.ts';

interface Library extends AsyncDisposable {
  readonly service: LogicalReplicationService;
  /** End LSN of the first transaction, as text. */
  readonly committed: Promise<string>;
}

async function streamWithLibrary(db: TestDatabase, timeoutSeconds: number): Promise<Library> {
  const service = new LogicalReplicationService(
    { connectionString: db.url },
    { acknowledge: { auto: false, timeoutSeconds } },
  );
  service.on('error', () => undefined);
  const committed = new Promise<string>((resolve) => {
    service.on('data', (lsn: string, message: { tag: string }) => {
      if (message.tag === 'commit') resolve(lsn);
    });
  });
  const started = new Promise<void>((resolve) => service.on('start', () => resolve()));
  const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: ['notes'] });
  const subscription = service.subscribe(plugin, db.slotName, '0/0').catch(() => undefined);
  await started;
  return {
    service,
    committed,
    async [Symbol.asyncDispose]() {
      await service.destroy();
      await subscription;
    },
  };
}

const after = (lsn: string): string => formatLsn((parseLsn(lsn) ?? 0n) + 1n);

async function slotReaches(db: TestDatabase, relation: '=' | '>', lsn: string): Promise<unknown> {
  return poll(`confirmed ${relation} ${lsn}`, async () => {
    const sql = `SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND confirmed_flush_lsn ${relation} $2`;
    const rows = await db.query(sql, [db.slotName, lsn]);
    return rows[0];
  });
}

test('acknowledge(lsn) confirms lsn + 1, which is inside the next commit record', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  await using library = await streamWithLibrary(db, 0);
  await db.query("INSERT INTO note (note) VALUES ('one')");
  const end = await library.committed;
  await library.service.acknowledge(end);
  await slotReaches(db, '=', after(end));
});

test('without acknowledging anything, its timer confirms what was received, plus one', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  await using library = await streamWithLibrary(db, 1);
  await db.query("INSERT INTO note (note) VALUES ('one')");
  // Beyond the transaction: a keepalive in between counts as received too.
  await slotReaches(db, '>', await library.committed);
});

test('with timeoutSeconds 0 there is no timer', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  await using library = await streamWithLibrary(db, 0);
  expect((library.service as unknown as { checkStandbyStatusTimer: unknown }).checkStandbyStatusTimer).toBeNull();
  await using timed = await createTestDatabase({ migrated: false });
  await createNotes(timed);
  await using other = await streamWithLibrary(timed, 1);
  expect((other.service as unknown as { checkStandbyStatusTimer: unknown }).checkStandbyStatusTimer).not.toBeNull();
});
