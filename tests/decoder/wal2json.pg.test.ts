import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPgoutputDecoder } from '../../src/decoder/pgoutput.ts';
import { pgoutputOptions, wal2jsonOptions } from '../../src/decoder/start-options.ts';
import { createWal2jsonDecoder } from '../../src/decoder/wal2json.ts';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { createTestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { createDecodedSlot } from '../support/decoded-slot.ts';
import {
  comparable,
  createOddOutbox,
  ODD_MAPPING,
  ODD_PAYLOADS,
  ODD_TABLE,
  writeOddRows,
} from '../support/odd-outbox.ts';
import { beginPlain } from '../support/plain-origin.ts';

const missing = await debianPostgresMissing();
let server: EmbeddedPostgres;
beforeAll(async () => {
  if (missing === undefined) server = await startDebianPostgres();
});
afterAll(() => server?.[Symbol.asyncDispose]());

test.runIf(missing === undefined)('wal2json gives the same steps as pgoutput for the same transactions', async () => {
  await using database = await createTestDatabase({ migrated: false, server: server.url() });
  await createOddOutbox(database);
  const pgoutput = await createDecodedSlot(database, {
    plugin: 'pgoutput',
    options: pgoutputOptions({ publication: 'odd' }),
  });
  const wal2json = await createDecodedSlot(database, {
    plugin: 'wal2json',
    options: wal2jsonOptions({ table: ODD_TABLE }),
  });
  await database.query(
    `SELECT pg_logical_emit_message(true, 'walpost', 'a'), pg_logical_emit_message(false, 'other', 'b')`,
  );
  await writeOddRows(database);

  const options = { mapping: ODD_MAPPING, table: ODD_TABLE, beginTransaction: beginPlain };
  const expected = comparable(await pgoutput.steps(createPgoutputDecoder(options)));
  const ignored: string[] = [];
  const onIgnored = (kind: string, table: string): void => void ignored.push(`${kind} ${table}`);
  const steps = await wal2json.steps(createWal2jsonDecoder({ ...options, onIgnored }));
  expect(expected.length).toBeGreaterThan(3 * ODD_PAYLOADS.length);
  expect(comparable(steps)).toEqual(expected);
  expect(ignored).toEqual([]);
  expect(steps.length).toBeGreaterThan(expected.length); // transactions of other tables come too: they move the cursor
});
