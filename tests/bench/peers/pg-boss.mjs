// pg-boss: one job an event, batches of 100, woken by NOTIFY; a group for each organization.
import { PgBoss } from 'pg-boss';
import { organizationOf, payloadOf } from './common.mjs';

const QUEUE = 'deliver';

async function boss(url, max) {
  const instance = new PgBoss({ connectionString: url, max, useListenNotify: true });
  instance.on('error', (error) => console.error(error));
  await instance.start();
  return instance;
}

export async function prepare(url) {
  const instance = await boss(url, 2);
  await instance.createQueue(QUEUE, { notify: true });
  await instance.stop({ graceful: false });
}

export async function fill(url, events, organizations) {
  const instance = await boss(url, 2);
  for (let first = 0; first < events; first += 1000) {
    const jobs = [];
    for (let n = first; n < Math.min(events, first + 1000); n++)
      jobs.push({ data: payloadOf(n, organizations), group: { id: organizationOf(n, organizations) } });
    await instance.insert(QUEUE, jobs);
  }
  await instance.stop({ graceful: false });
}

export async function writer(url, organizations) {
  const instance = await boss(url, 10);
  return (n) => instance.send(QUEUE, payloadOf(n, organizations), { group: { id: organizationOf(n, organizations) } });
}

export async function consume(url, deliver) {
  const instance = await boss(url, 10);
  await instance.work(
    QUEUE,
    { batchSize: 100, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
    async (jobs) => {
      for (const { data } of jobs) await deliver(data);
    },
  );
  return () => instance.stop({ graceful: false });
}
