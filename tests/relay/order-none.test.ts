/** Mails have no order: an address that is refused holds up nobody else's, before and after a restart. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { MailServer } from '../support/mail-server.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';

const ORGANIZATION = randomUUID();
const GREYLISTED = '451 4.7.1 greylisted, try again later';

let templates: string;
beforeEach(() => {
  templates = mkdtempSync(join(tmpdir(), 'walpost-mails-'));
  writeFileSync(join(templates, 'default.subject.liquid'), 'Your link');
  writeFileSync(join(templates, 'default.text.liquid'), '{{ payload.link }}');
});
afterEach(() => rmSync(templates, { recursive: true }));

/** One transaction. */
async function publish(database: TestDatabase, ...names: string[]): Promise<void> {
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload)
     SELECT $1, 'link.wanted', jsonb_build_object('email', name || '@example.com', 'link', name) FROM unnest($2::text[]) AS name`,
    [ORGANIZATION, names],
  );
}

const rows = (database: TestDatabase) =>
  database.query<{ email: string; own: boolean }>(
    `SELECT payload::jsonb ->> 'email' AS email, lane = event_id AS own FROM walpost.parked ORDER BY id`,
  );
const letters = (database: TestDatabase) =>
  database.query<{ email: string; own: boolean; reason: string }>(
    `SELECT payload::jsonb ->> 'email' AS email, lane = event_id AS own, reason FROM walpost.dead_letters`,
  );

test('one refused address holds up no other mail of its organization', { timeout: 60_000 }, async () => {
  await using database = await createTestDatabase();
  await using server = await MailServer.start();
  const sent = (): string[] => server.mails.flatMap(({ recipients }) => recipients.map((to) => to.split('@')[0] ?? ''));
  const arrives = (name: string) => poll(`${name} has a mail`, async () => sent().includes(name) || undefined);
  const mail = {
    type: 'email',
    provider: 'smtp',
    url: `smtp://127.0.0.1:${server.port}`,
    allow_private: true,
    from: 'App <no-reply@example.com>',
    to: 'payload.email',
    templates,
  };
  const delivery = { park_after: '100ms', quick_retries: 0, backoff: ['300ms'], breaker: { reset_after: '300ms' } };
  const options = { database, sinks: { mail }, config: { delivery } };
  for (const name of ['grey', 'never']) server.recipients.set(`${name}@example.com`, GREYLISTED);
  {
    await using _relay = await RelayInProcess.start(options);
    await publish(database, 'first', 'grey', 'second');
    await publish(database, 'third');
    for (const name of ['first', 'second', 'third']) await arrives(name);
    await poll('it is parked in its own lane', async () => ((await rows(database)).length === 1 ? true : undefined));
    expect(await rows(database)).toEqual([{ email: 'grey@example.com', own: true }]);
    await publish(database, 'fourth');
    await arrives('fourth');
  }
  server.recipients.delete('grey@example.com');
  await using _next = await RelayInProcess.start(options);
  await arrives('grey');
  await publish(database, 'never');
  await poll('it is given up, as others are accepted', async () => {
    await publish(database, `other-${randomUUID()}`);
    return (await letters(database)).length > 0 ? true : undefined;
  });
  expect(await letters(database)).toEqual([{ email: 'never@example.com', own: true, reason: 'failed' }]);
  await poll('no row is left', async () => ((await rows(database)).length === 0 ? true : undefined));
  expect(sent().filter((name) => name === 'grey')).toHaveLength(1);
});
