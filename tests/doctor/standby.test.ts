/** Asked at a standby, doctor says whether the slot would be there after a failover. */
import { expect, test } from 'vitest';
import { FailoverServers } from '../relay/failover-servers.ts';
import { Installation } from './installation.ts';

test('the slot is missing at the standby until it is synchronized', async () => {
  await using servers = await FailoverServers.start();
  await using installation = await Installation.open({ server: servers.url });
  await servers.catchUp();
  const url = new URL(installation.login.url);
  url.port = String(servers.standby.port);
  const found = async () => {
    const { findings } = await installation.examine({ url: url.href });
    return findings.filter(({ code }) => code === 'SLOT_NOT_SYNCED');
  };
  const [slot] = await installation.database.query<{ slot: string }>('SELECT slot FROM walpost.cursor');
  expect(await found()).toMatchObject([
    {
      subject: `slot ${slot?.slot}`,
      what: 'This standby does not have the slot of the primary.',
      remedy: expect.stringMatching(/^Here sync_replication_slots = on/) as string,
    },
  ]);
  await servers.beginSync(slot?.slot ?? '', async () => {
    await (await installation.relay()).stop();
  });
  expect(await found()).toEqual([]);
}, 240_000);
