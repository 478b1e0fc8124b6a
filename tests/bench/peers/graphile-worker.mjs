// graphile-worker: one job an event, in the named queue of its organization, which keeps the order.
import { makeWorkerUtils, run } from 'graphile-worker';
import { newPool, organizationOf, payloadOf } from './common.mjs';

export async function prepare(url) {
  const utils = await makeWorkerUtils({ connectionString: url });
  await utils.migrate();
  await utils.release();
}

export async function fill(url, events, organizations) {
  const utils = await makeWorkerUtils({ connectionString: url });
  for (let first = 0; first < events; first += 1000) {
    const specs = [];
    for (let n = first; n < Math.min(events, first + 1000); n++)
      specs.push({
        identifier: 'deliver',
        payload: payloadOf(n, organizations),
        queueName: organizationOf(n, organizations),
      });
    await utils.addJobs(specs);
  }
  await utils.release();
}

export function writer(url, organizations) {
  const pool = newPool(url);
  const text = "SELECT graphile_worker.add_job('deliver', $1::json, queue_name => $2)";
  return (n) =>
    pool.query({
      name: 'w',
      text,
      values: [JSON.stringify(payloadOf(n, organizations)), organizationOf(n, organizations)],
    });
}

/** Without its local queue: that fetches one job of each named queue at a time, and then rests for the poll interval. */
export async function consume(url, deliver) {
  const runner = await run({
    connectionString: url,
    noHandleSignals: true,
    taskList: { deliver: (payload) => deliver(payload) },
    preset: { worker: { concurrentJobs: 10, maxPoolSize: 12 } },
  });
  return () => runner.stop();
}
