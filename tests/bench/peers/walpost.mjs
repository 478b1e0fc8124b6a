// walpost's side of the same: one row in the outbox. Its consumer is `walpost run` itself.
import { newPool, organizationOf, payloadOf } from './common.mjs';

export function writer(url, organizations) {
  const pool = newPool(url);
  const text =
    "INSERT INTO walpost.outbox (organization_id, event_type, topic, payload) VALUES ($1, 'job.completed', 'billing', $2)";
  return (n) =>
    pool.query({
      name: 'w',
      text,
      values: [organizationOf(n, organizations), JSON.stringify(payloadOf(n, organizations))],
    });
}
