/** RabbitMQ with a resource alarm, and over TLS. */
import { randomUUID } from 'node:crypto';
import type { Channel, ChannelModel } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import type { Event } from '../../src/event.ts';
import type { Sink, Verdict } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { contractContext } from '../contract/sink-contract.ts';
import { type Certificate, Certificates } from '../support/certificates.ts';
import { freePort } from '../support/free-port.ts';
import { RabbitmqServer, rabbitmqServerMissing } from '../support/rabbitmq-server.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { poll } from '../support/slot-session.ts';

const missing = await rabbitmqServerMissing();
const never = new AbortController().signal;
/** Milliseconds: the server takes ten seconds to start, and an operator's command some. */
const PATIENCE = 180_000;

describe.skipIf(missing)(`rabbitmq ${missing ?? ''}`, { timeout: PATIENCE }, () => {
  const files = new Certificates();
  let ca: Certificate;
  let tlsPort: number;
  let server: RabbitmqServer;
  let connection: ChannelModel;
  let channel: Channel;
  beforeAll(async () => {
    ca = files.ca('rabbit');
    const { cert, key } = files.issue(ca, { names: ['DNS:localhost', 'IP:127.0.0.1'] });
    tlsPort = await freePort();
    const config = [
      `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
      `ssl_options.cacertfile = ${ca.cert}`,
      `ssl_options.certfile = ${cert}`,
      `ssl_options.keyfile = ${key}`,
      'ssl_options.verify = verify_peer',
      'ssl_options.fail_if_no_peer_cert = true',
    ];
    server = await RabbitmqServer.start({ config });
    connection = await server.connect();
    connection.on('error', () => undefined);
    channel = await connection.createChannel();
  }, PATIENCE);
  afterAll(async () => {
    await connection.close().catch(() => undefined);
    await server[Symbol.asyncDispose]();
    files[Symbol.dispose]();
  });

  async function queue(): Promise<string> {
    const name = `q-${randomUUID()}`;
    await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    return name;
  }

  /** Ids of what the queue has, which is taken out. */
  async function taken(name: string): Promise<string[]> {
    const ids: string[] = [];
    for (;;) {
      const message = await channel.get(name, { noAck: true });
      if (!message) return ids;
      ids.push(String(message.properties.messageId));
    }
  }

  function rabbitmqSink(url: string, options: Partial<SinkConfigOf<'rabbitmq'>>): Promise<Sink> {
    return createSink(sinkSchema.parse({ type: 'rabbitmq', url, exchange: '', ...options }), contractContext);
  }

  async function deliver(sink: Sink, events: readonly Event[]): Promise<readonly Verdict[]> {
    return (await sink.deliver(sampleBatch(events), never)) as readonly Verdict[];
  }

  /** A connection is told of the alarm a moment after it began. */
  const untilBlocked = (sink: Sink, events: readonly Event[]): Promise<Verdict> =>
    poll('it is blocked', async () => {
      const [verdict] = await deliver(sink, events);
      return verdict?.kind === 'unavailable' && verdict.code === 'RABBITMQ_BLOCKED' ? verdict : undefined;
    });

  const MEMORY = ['set_vm_memory_high_watermark'];
  const DISK = ['set_disk_free_limit'];
  test.for([
    ['memory', [...MEMORY, '0.000001'], [...MEMORY, '0.6']],
    ['disk', [...DISK, '1000000GB'], [...DISK, '1MB']],
  ] as const)(
    'an alarm for %s is told, nothing is given up, and the sink goes on by itself',
    async ([what, raise, clear]) => {
      const name = await queue();
      const sink = await rabbitmqSink(server.url(), { routing_key: name });
      const events = Array.from({ length: 6 }, () => sampleEvent());
      expect(await deliver(sink, events.slice(0, 2))).toMatchObject([{ kind: 'delivered' }, { kind: 'delivered' }]);
      await server.ctl(...raise);
      expect(await untilBlocked(sink, events.slice(2))).toMatchObject({
        kind: 'unavailable',
        reason: `the server takes no messages while it is short of ${what}`,
      });
      const blocked = { kind: 'unavailable', code: 'RABBITMQ_BLOCKED' };
      expect(await deliver(sink, events.slice(2))).toMatchObject([blocked, blocked, blocked, blocked]);
      await server.ctl(...clear);
      await poll(
        'it takes messages',
        async () => (await deliver(sink, events.slice(2))).every(({ kind }) => kind === 'delivered') || undefined,
        PATIENCE,
      );
      expect([...new Set(await taken(name))]).toEqual(events.map(({ eventId }) => eventId));
      await sink.close();
    },
  );

  test('a sink that is blocked closes', async () => {
    const name = await queue();
    const sink = await rabbitmqSink(server.url(), { routing_key: name });
    await server.ctl(...MEMORY, '0.000001');
    await untilBlocked(sink, [sampleEvent()]);
    await sink.close();
    await server.ctl(...MEMORY, '0.6');
  });

  test.for(['localhost', '127.0.0.1'])('over TLS to %s, both sides must be known', async (host) => {
    const name = await queue();
    const url = `amqps://guest:guest@${host}:${tlsPort}`;
    const { cert, key } = files.issue(ca, { name: 'walpost' });
    const stranger = files.ca('stranger');
    const trial = async (tls: SinkConfigOf<'rabbitmq'>['tls']): Promise<Verdict | undefined> => {
      const sink = await rabbitmqSink(url, { routing_key: name, tls });
      const [verdict] = await deliver(sink, [sampleEvent()]);
      await sink.close();
      return verdict;
    };
    expect(await trial({})).toMatchObject({ kind: 'unavailable', code: 'SELF_SIGNED_CERT_IN_CHAIN' });
    expect(await trial({ ca: stranger.cert, certificate: cert, key })).toMatchObject({ kind: 'unavailable' });
    expect(await trial({ ca: ca.cert })).toMatchObject({ kind: 'unavailable' });
    expect(await trial({ ca: ca.cert, certificate: cert, key })).toEqual({ kind: 'delivered' });
    expect(await taken(name)).toHaveLength(1);
  });
});
