/** Who leads and who stands by, two relays on one table, and which lane of walpost itself holds the slot. */
import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { StatusReport } from '../../src/observe/status-report.ts';
import { createTestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

const discard = { sinks: { out: { type: 'discard' } } };

describe('relays', { timeout: 60_000 }, () => {
  test('the leader and its standby see each other, and the one that is alone', async () => {
    await using database = await createTestDatabase();
    await using leader = await RelayInProcess.start({ database, ...discard });
    const processes = async (relay: RelayInProcess): Promise<StatusReport['processes']> =>
      (await relay.service.status()).processes;
    expect(await processes(leader)).toEqual({
      leader: { pid: expect.any(Number), address: '127.0.0.1' },
      standbys: [],
    });
    {
      await using standby = new RelayInProcess({ database, ...discard });
      const seen = await poll('it stands by', async () => {
        const found = await processes(leader);
        return found?.standbys.length === 1 ? found : undefined;
      });
      expect(seen.standbys).toEqual([{ pid: expect.any(Number), address: '127.0.0.1' }]);
      expect(seen.standbys[0]?.pid).not.toBe(seen.leader?.pid);
      await poll('it knows who leads', async () => (standby.service.readiness().role === 'standby' ? true : undefined));
      expect(await processes(standby)).toEqual(seen);
      await leader.stop();
      await standby.streams();
      expect(await processes(standby)).toEqual({ leader: seen.standbys[0], standbys: [] });
      await standby.stop();
    }
    expect(await database.query('SELECT * FROM walpost.leader_lock($1)', [database.slotName])).toEqual([]);
  });

  test('two slots that stream one table through one publication are an alert', async () => {
    await using database = await createTestDatabase();
    await using one = await RelayInProcess.start({ database, ...discard });
    const alert = () =>
      database.query(`SELECT severity, subject, message, remedy FROM walpost.alerts WHERE name = 'two_streams'`);
    expect(await alert()).toEqual([]);
    const other = `${database.slotName}_b`;
    await database.query(
      `INSERT INTO walpost.cursor (slot, lsn, system_identifier, timeline, source_table, publication, database_oid)
       SELECT $1, pg_current_wal_lsn(), system_identifier, timeline, source_table, publication, database_oid
         FROM walpost.cursor WHERE slot = $2`,
      [other, database.slotName],
    );
    await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [other]);
    expect(await alert()).toEqual([]);
    await using two = await RelayInProcess.start({ database, ...discard, source: { slot: other } });
    expect(await alert()).toEqual([
      {
        severity: 'critical',
        subject: database.slotName,
        message: expect.stringContaining(
          `walpost.outbox through publication walpost, each from a slot of its own (${database.slotName}, ${other})`,
        ),
        remedy: expect.stringMatching(/^Stop all but one.*drop the slots.*delete their rows in walpost\.cursor\.$/),
      },
    ]);
    await two.stop();
    expect(await alert()).toEqual([]);
    await database.query('SELECT pg_drop_replication_slot($1)', [other]);
    await database.query('DELETE FROM walpost.cursor WHERE slot = $1', [other]);
    expect(await database.query('SELECT name, subject FROM walpost.alerts')).toEqual([]);
    await one.stop();
  });

  test('a receiver that does not answer: its lane holds the slot, by sink and organization, until the attempt ends', async () => {
    await using database = await createTestDatabase();
    await using receiver = await WebhookReceiver.start();
    receiver.script({ kind: 'hang' });
    await using relay = await RelayInProcess.start({
      database,
      sinks: { hook: { type: 'webhook', url: receiver.url(), allow_private: true, timeout: '20s' } },
    });
    expect((await relay.service.status()).heldBy).toEqual([]);
    const organization = randomUUID();
    await database.query(`SELECT walpost.publish($1, 'a.b', '{}')`, [organization]);
    const held = await poll('it is named', async () => (await relay.service.status()).heldBy?.[0]);
    expect(held).toEqual({
      kind: 'lane',
      subject: `sink hook, organization ${organization}`,
      since: expect.stringMatching(/^\d{4}-/),
      message: expect.stringMatching(
        new RegExp(
          `^walpost itself: sink hook, organization ${organization} has had a batch for \\d+ s and has not answered; its oldest event came at [\\d-]+ [\\d:]+ UTC$`,
        ),
      ),
      remedy: expect.stringContaining('The attempt ends with the timeout of the sink'),
    });
    await receiver.received(2);
    await poll('nothing holds it any more', async () =>
      (await relay.service.status()).heldBy?.length === 0 ? true : undefined,
    );
  });
});
