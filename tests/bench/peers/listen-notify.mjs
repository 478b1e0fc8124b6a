// The small way: a trigger-less outbox, NOTIFY in the writer's transaction, SELECT … FOR UPDATE SKIP LOCKED by the listener.
import pg from 'pg';
import { newPool, payloadOf } from './common.mjs';

export async function prepare(url) {
  const pool = newPool(url, 1);
  await pool.query('CREATE TABLE public.outbox_plain (id bigserial PRIMARY KEY, payload jsonb NOT NULL)');
  await pool.end();
}

export async function fill(url, events, organizations) {
  const pool = newPool(url, 1);
  const payloads = Array.from({ length: events }, (_, n) => payloadOf(n, organizations));
  await pool.query('INSERT INTO public.outbox_plain (payload) SELECT p FROM jsonb_array_elements($1::jsonb) AS p', [
    JSON.stringify(payloads),
  ]);
  await pool.end();
}

export function writer(url, organizations) {
  const pool = newPool(url);
  const text =
    "WITH row AS (INSERT INTO public.outbox_plain (payload) VALUES ($1) RETURNING id) SELECT pg_notify('outbox_plain', id::text) FROM row";
  return (n) => pool.query({ name: 'w', text, values: [JSON.stringify(payloadOf(n, organizations))] });
}

const TAKE = `DELETE FROM public.outbox_plain WHERE id IN
  (SELECT id FROM public.outbox_plain ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING id, payload`;

/** Rows go once they are delivered; in the order of their ids, which is not that of their commits. */
export async function consume(url, deliver) {
  const listener = new pg.Client({ connectionString: url });
  const worker = new pg.Client({ connectionString: url });
  await Promise.all([listener.connect(), worker.connect()]);
  let asked = false;
  let busy = false;
  let stopped = false;
  const drain = async () => {
    asked = true;
    if (busy) return;
    busy = true;
    while (asked && !stopped) {
      asked = false;
      await worker.query('BEGIN');
      const { rows } = await worker.query({ name: 'take', text: TAKE });
      rows.sort((a, b) => Number(a.id) - Number(b.id));
      for (const { payload } of rows) await deliver(payload);
      await worker.query('COMMIT');
      if (rows.length > 0) asked = true;
    }
    busy = false;
  };
  listener.on('notification', () => void drain());
  await listener.query('LISTEN outbox_plain');
  await drain();
  return async () => {
    stopped = true;
    await Promise.all([listener.end(), worker.end()]);
  };
}
