/**
 * Two transactions that commit back to back: the commit record of the second begins where that of the first ends. The
 * first is confirmed, the process is killed, and the second must come with the next one.
 *
 * Confirming one byte more than the end of the first would lose the second, and no error would tell.
 */
import { randomUUID } from 'node:crypto';
import { formatLsn, type Lsn, parseLsn } from '../../src/lsn.ts';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';

export interface Tally {
  /** Rounds in which the commits were back to back, and the first of them alone was confirmed before the kill. */
  rounds: number;
  /** Rounds in which the slot had confirmed the end of the first, exactly. */
  exact: number;
  /** Rounds in which the second arrived after the restart. */
  arrived: number;
  /** Rounds that had to be made again: something else was written between the two. */
  apart: number;
}

/** Rounds that may have to be made again for other reasons than walpost: a checkpoint, the end of a WAL page. */
const APART_LIMIT = 20;

export async function backToBack(server: string, rounds: number): Promise<Tally> {
  await using database = await createTestDatabase({ server });
  await using receiver = await EventReceiver.start();
  const witness = `${database.slotName}_witness`;
  const clients = [await database.client(), await database.client()] as const;
  const options = { database, sinks: { hook: receiver.sink() }, config: { batching: { window: '1ms' } } };
  const tally: Tally = { rounds: 0, exact: 0, arrived: 0, apart: 0 };
  let running = await RunningWalpost.start(options);
  try {
    await database.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [witness]);
    while (tally.rounds < rounds && tally.apart <= APART_LIMIT) {
      const organizations = [randomUUID(), randomUUID()] as const;
      const commits: Partial<Record<string, Lsn>> = {};
      receiver.onBatch = ({ organization_id: id, events }) => {
        commits[id] = parseLsn(events[0]?.lsn ?? '') ?? 0n;
        return id === organizations[1] ? new Promise(() => undefined) : undefined;
      };
      for (const [index, client] of clients.entries()) {
        await client.query('BEGIN');
        await client.query("SELECT walpost.publish($1, 'back.to_back', '{}')", [organizations[index]]);
      }
      for (const client of clients) await client.query('COMMIT');
      const both = () => organizations.every((id) => commits[id] !== undefined) || undefined;
      await poll('the first is delivered, the second held', async () => both());
      const [first, second] = organizations.map((id) => commits[id] ?? 0n) as [Lsn, Lsn];
      await running.confirms(first);
      await running[Symbol.asyncDispose](); // SIGKILL
      const confirmed = await running.confirmed();
      let arrived = false;
      receiver.onBatch = ({ organization_id: id }) => void (arrived ||= id === organizations[1]);
      running = await RunningWalpost.start(options);
      await poll('the second arrives', async () => arrived || undefined, 5_000).catch(() => undefined);
      const end = await endOf(database, witness, first);
      if (end !== second) {
        tally.apart += 1;
        continue;
      }
      tally.rounds += 1;
      if (confirmed === end) tally.exact += 1;
      if (arrived) tally.arrived += 1;
    }
  } finally {
    await running[Symbol.asyncDispose]();
  }
  return tally;
}

/** Where the commit record ends, as another slot tells it in its Commit message. */
async function endOf(database: TestDatabase, witness: string, commit: Lsn): Promise<Lsn | undefined> {
  const rows = await database.query<{ data: Buffer }>(
    `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', 'walpost')`,
    [witness],
  );
  const message = rows.find(({ data }) => data[0] === 0x43 && data.readBigUInt64BE(2) === commit);
  if (!message) throw new Error(`the witness has not seen the commit at ${formatLsn(commit)}`);
  return message.data.readBigUInt64BE(10);
}
