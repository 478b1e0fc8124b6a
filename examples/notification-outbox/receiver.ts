/**
 * The receiver: one notification for each event, exactly once. The inbox keeps the id of the event in the transaction that
 * writes the notification, so a repeated delivery changes nothing.
 */
import { createServer } from 'node:http';
import { withOrganization } from '@walpost/client';
import { createWebhookHandler, type Envelope, PermanentError, postgresInbox } from '@walpost/consumer';
import { nodeWebhook } from '@walpost/consumer/node';
import type pg from 'pg';
import { openPool } from '../support/pool.ts';

const pool = openPool(process.env['APP_URL'], 10, 'receiver');

async function notify(event: Envelope, tx: pg.PoolClient): Promise<void> {
  await withOrganization(tx, event.organization_id);
  await tx.query(
    `INSERT INTO app.notifications (organization_id, event_id, event_type, entity_id, lsn, ordinal)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [event.organization_id, event.event_id, event.event_type, event.entity_id, event.lsn, event.ordinal],
  );
}

const handler = createWebhookHandler({
  secrets: process.env['WEBHOOK_SECRET'] ?? '',
  dedupe: postgresInbox<pg.PoolClient>(pool, { table: 'app.received' }),
  events: {
    'flag.created': async (event: Envelope<{ kind: string }>, tx) => {
      // No retry helps against such a flag: after three attempts it is a dead letter, and the others go on.
      if (event.payload.kind === 'unreadable') throw new PermanentError('a flag that nobody can read');
      await notify(event, tx);
    },
    '*': notify,
  },
  onError: (error) => console.log(error instanceof PermanentError ? `refused: ${error.message}` : error),
});

createServer(nodeWebhook(handler)).listen(Number(process.env['RECEIVER_PORT']), '127.0.0.1');
