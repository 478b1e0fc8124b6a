/**
 * `npm run audit [seconds]`: compares what was queued with the mails in caught/. It waits up to 30 seconds for mails that are on
 * their way, and ends with exit code 1 when one is lost. A mail may come twice: SMTP cannot tell that an answer was lost. Both
 * have one Message-ID.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { lookUntil } from '../support/look-until.ts';

const patienceMs = Number(process.argv[2] ?? 30) * 1_000;

const QUEUED = `
  SELECT o.event_id::text AS id, EXISTS (SELECT FROM walpost.dead_letters AS d WHERE d.event_id = o.event_id::text) AS dead
    FROM walpost.outbox AS o WHERE o.topic = 'mail'`;

interface Queued {
  readonly id: string;
  readonly dead: boolean;
}

/** Ids of events. */
async function caught(): Promise<string[]> {
  const names = await readdir(join(import.meta.dirname, 'caught'));
  return names.flatMap((name) => /^\d+-\d+-([\da-f-]{36})@.*\.eml$/.exec(name)?.[1] ?? []);
}

function compare(queued: readonly Queued[], mails: readonly string[]) {
  const sent = new Set(mails);
  const living = queued.filter(({ dead }) => !dead);
  return {
    lost: living.filter(({ id }) => !sent.has(id)).length,
    again: mails.length - sent.size,
    dead: queued.length - living.length,
  };
}

const client = new pg.Client({ connectionString: process.env['OWNER_URL'] });
await client.connect();
const look = async () => {
  const { rows } = await client.query<Queued>(QUEUED);
  return { count: rows.length, ...compare(rows, await caught()) };
};
const { count, lost, again, dead } = await lookUntil(look, (found) => found.lost === 0, patienceMs);
await client.end();
console.log(`${count} mails: ${lost} lost, ${again} sent twice, ${dead} dead letters`);
process.exitCode = lost > 0 ? 1 : 0;
