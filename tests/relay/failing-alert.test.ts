/** One organization whose receiver fails is told of by name, with the settings as they are by default. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { askDatabase } from '../../src/relay/status/ask-database.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Alert } from '../../src/observe/status-report.ts';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { createTestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

const SECRET = 'whsec_d2FscG9zdHdhbHBvc3R3YWxwb3N0d2FscG9zdA==';
const NAME = 'failing_organizations';
const WITHIN_MS = 30_000;

interface Told {
  readonly type: string;
  readonly data: {
    readonly code: string;
    readonly subject: string;
    readonly message: string;
    readonly runbook: string;
  };
}

test('within 30 s status and webhook name sink, organization and reason, and it is over when the receiver is well', async () => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start();
  await using people = await WebhookReceiver.start();
  const [well, sick] = [randomUUID(), randomUUID()];
  let broken = true;
  receiver.onBatch = ({ organization_id: organization }) => (broken && organization === sick ? 503 : undefined);
  const sinks = { crm: receiver.sink() };
  const alerts = { url: people.url('/alerts'), secret: SECRET, allow_private: true };
  await using _relay = await RelayInProcess.start({ database, sinks, config: { alerts, prune: { enabled: false } } });
  const source = { slot: database.slotName };
  const config = configSchema.parse({ database: { url: database.url }, source, sinks, routes: [{ to: ['crm'] }] });
  const shown = async (): Promise<Alert | undefined> => {
    const answer = await askDatabase(config);
    return answer.kind === 'answered' ? answer.facts.alerts?.find(({ name }) => name === NAME) : undefined;
  };
  const told = (): Told[] =>
    people.requests.map(({ body }) => JSON.parse(body.toString()) as Told).filter(({ data }) => data.code === NAME);
  for (const organization of [well, sick]) {
    await database.query(`SELECT walpost.publish($1, 'a', '{}')`, [organization]);
  }
  const alert = await poll('the status names it', shown, WITHIN_MS);
  expect(alert).toMatchObject({
    severity: 'warning',
    subject: 'sink crm',
    remedy: expect.stringContaining('`walpost parked retry --sink crm`') as string,
  });
  expect(alert.message).toMatch(
    new RegExp(`^1 organization whose deliveries fail, since .+: ${sick}, \\d+ failed.*: the destination answered 503`),
  );
  expect(alert.message).not.toContain(well);
  const fired = await poll('people are told', async () => told()[0], WITHIN_MS);
  expect(fired).toMatchObject({
    type: 'walpost.alert.fired',
    data: { subject: 'sink crm', runbook: 'docs/runbook.md#walpostfailingorganizations' },
  });
  expect(fired.data.message).toContain(sick);
  broken = false;
  await poll('it is over', async () => ((await shown()) ? undefined : true), 60_000);
}, 180_000);
