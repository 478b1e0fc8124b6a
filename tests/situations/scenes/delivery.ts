/** Situations of destinations: away, slow to one organization, refusing. */
import type { ReceivedBatch } from '../../e2e/event-receiver.ts';
import { poll } from '../../support/slot-session.ts';
import { WebhookReceiver } from '../../support/webhook-receiver.ts';
import type { Scene } from '../scene.ts';
import { ACME, GLOBEX, STREAMS } from '../stage.ts';

const isOf =
  (organization: string, type?: string) =>
  (batch: ReceivedBatch): boolean =>
    batch.organization_id === organization &&
    batch.events.some((event) => type === undefined || event.event_type === type);

const stalled: Scene = {
  symptom: 'alert `stalled`, `degraded` in `/readyz`',
  says: {
    cause: /permission denied/,
    subject: /stalled, walpost_\w+: parking/,
    remedy: /Run\s+`walpost\s+migrate`\s+as/,
  },
  over: /breaker closed, 2 parked/,
  async play(stage) {
    await stage.run(STREAMS);
    await stage.database.query('REVOKE INSERT ON walpost.parked FROM walpost_relay');
    stage.receiver.onBatch = () => 503;
    await stage.publish(ACME, 2);
    stage.transcript.begins('The receiver is away, and somebody revoked the right to store what waits for it.');
    await stage.walpost(['status'], [/stalled/]);
    stage.transcript.remedy('As the owner:');
    await stage.walpost(['migrate'], [], { DATABASE_URL: stage.database.ownerUrl });
    await stage.over(stalled, ['status'], [/breaker closed, 2 parked/]);
  },
};

const breaker: Scene = {
  symptom: 'a breaker is open, `parked` grows',
  says: { cause: /breaker open/, subject: /sink crm/, remedy: /sink crm: Look at the receiver and its log/ },
  over: /breaker closed/,
  async play(stage) {
    await stage.run(STREAMS);
    stage.receiver.onBatch = () => 503;
    for (const organization of [ACME, GLOBEX]) await stage.publish(organization, 3);
    stage.transcript.begins('The receiver answers 503 to everybody.');
    await stage.walpost(['status'], [/breaker open/, /6 parked/, /503/, /remedy sink crm/]);
    await stage.walpost(['parked', 'list', '--limit', '1'], [/503/]);
    await stage.sql('SELECT * FROM walpost.queue_status');
    stage.receiver.onBatch = () => undefined;
    stage.transcript.remedy('Nothing is to be done but to repair the receiver: walpost tries it again and again.');
    await stage.receiver.received(6);
    await stage.over(breaker, ['status'], [/breaker closed/, /parked 0/]);
  },
};

const parked: Scene = {
  symptom: '`parked` grows, the breaker is closed',
  says: { cause: /429 Too Many Requests/, subject: new RegExp(ACME), remedy: /walpost parked retry/ },
  over: /Nothing is parked/,
  async play(stage) {
    await using slow = await WebhookReceiver.start();
    slow.otherwise = { kind: 'answer', status: 429, headers: { 'retry-after': '3600' } };
    await stage.run(STREAMS, '--set', `sinks.crm.url=${slow.url()}`);
    await stage.publish(ACME, 2);
    stage.transcript.begins('The receiver answers 429 to one organization, and asks for an hour.');
    await stage.walpost(['status'], [/breaker closed, 2 parked/, /429/]);
    await stage.walpost(['parked', 'list'], [/429/]);
    await stage.sql(
      'SELECT at, sink, organization_id, attempt, outcome, reason FROM walpost.delivery_log ORDER BY at DESC LIMIT 1',
    );
    slow.otherwise = { kind: 'answer', status: 200 };
    stage.transcript.remedy('The receiver takes the events again, and the operator does not wait for the hour:');
    await stage.walpost(['parked', 'retry'], [/due now/]);
    await stage.walpost(['parked', 'list'], [/Nothing is parked/]);
  },
};

const deadLetters: Scene = {
  symptom: 'dead letters',
  says: {
    cause: /422 Unprocessable/,
    subject: /dead letters 1: 1 failed \(crm\)/,
    remedy: /walpost dead-letters redrive/,
  },
  over: /There are no dead letters/,
  async play(stage) {
    await stage.run(STREAMS);
    stage.receiver.onBatch = (batch) => (isOf(ACME, 'invoice.issued')(batch) ? 422 : undefined);
    await stage.publish(ACME, 1, 'invoice.issued');
    await stage.publish(ACME, 2);
    stage.transcript.begins('The receiver refuses one event, and takes the others.');
    await stage.walpost(['status'], [/dead letters 1/]);
    await stage.walpost(['dead-letters', 'list']);
    stage.receiver.onBatch = () => undefined;
    stage.transcript.remedy('The receiver has been repaired:');
    await stage.walpost(['dead-letters', 'redrive', '--yes']);
    await stage.walpost(['dead-letters', 'list'], [/no dead letters/]);
  },
};

const paused: Scene = {
  symptom: '`paused` in the status, `parked` grows',
  says: { cause: /paused/, subject: /paused sink crm: paused by \w+ since/, remedy: /walpost sinks resume/ },
  over: /parked 0/,
  async play(stage) {
    await stage.run(STREAMS);
    await stage.walpost(['sinks', 'pause', 'crm', '--reason', 'the receiver moves']);
    await stage.publish(ACME, 2);
    stage.transcript.begins('Somebody has paused the sink, and applications go on writing.');
    await stage.walpost(['status'], [/paused/, /2 parked/]);
    await stage.walpost(['sinks', 'list'], [/the receiver moves/]);
    stage.transcript.remedy('The receiver has moved. What waits goes out in order:');
    await stage.walpost(['sinks', 'resume', 'crm']);
    await stage.receiver.received(2);
    await stage.over(paused, ['status'], [/parked 0/]);
  },
};

const refusing: Scene = {
  symptom: 'lanes `refusing`',
  says: {
    cause: /422 Unprocessable Entity/,
    subject: new RegExp(ACME),
    remedy: /Find out why the receiver refuses them and mend it/,
  },
  over: /parked 0/,
  async play(stage) {
    const running = await stage.run(STREAMS);
    stage.receiver.onBatch = (batch) => (isOf(ACME)(batch) ? 422 : undefined);
    await stage.publish(ACME, 4);
    stage.transcript.begins('The receiver refuses everything of one organization.');
    await running.shows(/parked discard --id/);
    await stage.walpost(['status'], [/refusing/]);
    stage.receiver.onBatch = () => undefined;
    stage.transcript.remedy('The receiver has been repaired. The events go on by themselves, without a command:');
    await stage.receiver.received(4);
    await stage.over(refusing, ['status'], [/parked 0/]);
  },
};

const blocked: Scene = {
  symptom: 'lanes `blocked`',
  says: { cause: /blocked/, subject: new RegExp(ACME), remedy: /walpost dead-letters redrive/ },
  over: /parked 0/,
  async play(stage) {
    await stage.run(STREAMS, '--set', 'delivery.on_dead_letter=block');
    let alone = 0;
    stage.receiver.onBatch = (batch) => {
      if (!isOf(ACME, 'invoice.issued')(batch)) return undefined;
      if (batch.events.length === 1) alone += 1;
      return 422;
    };
    await stage.publish(ACME, 1, 'invoice.issued');
    await stage.publish(ACME, 2);
    stage.transcript.begins(
      'The receiver refuses one event. With `on_dead_letter: block` the next ones of its organization wait.',
    );
    await poll('it is refused alone', async () => alone > 0 || undefined);
    await stage.publish(GLOBEX, 1); // the receiver accepts others, so the event is to blame
    await stage.walpost(['status'], [/blocked/, /[12] parked/]);
    await stage.walpost(['dead-letters', 'list']);
    stage.receiver.onBatch = () => undefined;
    stage.transcript.remedy('The receiver has been repaired. The event goes ahead of those that waited behind it:');
    await stage.walpost(['dead-letters', 'redrive', '--type', 'invoice.issued', '--yes'], [/1 dead letter sent again/]);
    await stage.receiver.received(4);
    await stage.over(blocked, ['status'], [/parked 0/, /dead letters 0/]);
  },
};

export const DELIVERY_SCENES: readonly Scene[] = [stalled, breaker, parked, deadLetters, paused, refusing, blocked];
