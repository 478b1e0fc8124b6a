import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NatsConnection } from '@nats-io/transport-node';
import { sinkSchema, type SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { envelopeOf } from '../../src/envelope.ts';
import { DELIVERED, type Sink, type Verdict } from '../../src/pipeline.ts';
import { createSink } from '../../src/sinks/registry.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { addStream, NatsServer, natsServerMissing, storedIn } from '../support/nats-server.ts';
import { exampleOf } from '../support/sink-page.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { poll } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const missing = await natsServerMissing();
const never = new AbortController().signal;
const PASSWORD = 'a-password-of-nats-23';

function natsSink(servers: readonly string[], options: Partial<SinkConfigOf<'nats'>> = {}): Promise<Sink> {
  return createSink(sinkSchema.parse({ type: 'nats', servers, ...options }), contractContext);
}

async function deliver(sink: Sink, ...events: ReturnType<typeof sampleEvent>[]): Promise<readonly Verdict[]> {
  return (await sink.deliver(sampleBatch(events), never)) as readonly Verdict[];
}

describe.skipIf(missing)('nats', () => {
  let server: NatsServer;
  let connection: NatsConnection;
  beforeAll(async () => {
    const config = `authorization { users: [{ user: walpost, password: "${PASSWORD}" }, { user: reader, password: r,
      permissions: { publish: ["$JS.>", "other.>"], subscribe: ">" } }] }`;
    server = await NatsServer.start({ config });
    connection = await server.connect({ user: 'walpost', pass: PASSWORD });
  });
  afterAll(async () => {
    await connection.close();
    await server[Symbol.asyncDispose]();
  });

  const login = { user: 'walpost', password: PASSWORD };

  /** A stream of this test alone. */
  async function stream(options: Parameters<typeof addStream>[1] = {}): Promise<{ name: string; subject: string }> {
    const name = `S${randomUUID().slice(0, 8)}`;
    await addStream(connection, { name, subjects: [`${name}.>`], ...options });
    return { name, subject: `${name}.{topic}.{event_type}` };
  }

  describeSinkContract('nats', async () => {
    const { name, subject } = await stream();
    const proxy = await TcpProxy.start({ host: '127.0.0.1', port: server.port });
    const sink = await natsSink([`nats://127.0.0.1:${proxy.port}`], { ...login, subject });
    const manager = await addStream(connection, { name, subjects: [`${name}.>`] });
    return {
      sink,
      secrets: [PASSWORD],
      received: async () => Buffer.concat((await storedIn(connection, name)).map(({ data }) => data)),
      async hang() {
        proxy.hold();
        return true;
      },
      asked: () => poll('it is asked', async () => proxy.connections > 0 || undefined).then(() => undefined),
      async fail() {
        await manager.streams.delete(name);
        return true;
      },
      async released() {
        proxy.forward();
        await poll('nothing is open', async () => proxy.connections === 0 || undefined);
      },
      [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
    };
  });

  test('ids that a header cannot hold are carried, and two of them are never taken for one', async () => {
    const { name, subject } = await stream();
    const sink = await natsSink([server.url], { ...login, subject });
    const ids = ['a', 'a ', 'a%20', 'a\r\nNats-Rollup: all', 'é'];
    const verdicts = await deliver(sink, ...ids.map((eventId) => sampleEvent({ eventId })));
    expect(verdicts.map(({ kind }) => kind)).toEqual(ids.map(() => 'delivered'));
    const stored = await storedIn(connection, name);
    expect(stored.map(({ header }) => decodeURIComponent(header('Nats-Msg-Id')))).toEqual(ids);
    await sink.close();
  });

  test('a message has the envelope, the id of the event, and the headers that a broker can carry', async () => {
    const { name, subject } = await stream();
    const sink = await natsSink([server.url], { ...login, subject, stream: name });
    const headers = '{"traceparent": "00-ab", "n": 1.50, "Nats-Rollup": "all", "x": "a\\r\\nb", "deep": {}}';
    const event = sampleEvent({ headers, idempotencyKey: 'key-1' });
    expect(await deliver(sink, event)).toEqual([{ kind: 'delivered' }]);
    const [message] = await storedIn(connection, name);
    expect(message).toMatchObject({ subject: `${name}.cataloging.job.completed`, id: event.eventId });
    expect(message?.data).toEqual(wireBytes(envelopeOf(event)));
    const shown = ['walpost-event-type', 'idempotency-key', 'traceparent', 'n', 'Nats-Rollup', 'x', 'deep'];
    expect(shown.map((header) => message?.header(header))).toEqual([
      'job.completed',
      'key-1',
      '00-ab',
      '1.5',
      '',
      '',
      '',
    ]);
    await sink.close();
  });

  test('an event that is sent again is dropped by the server', async () => {
    const { name, subject } = await stream();
    const sink = await natsSink([server.url], { ...login, subject });
    const events = [sampleEvent(), sampleEvent()];
    await deliver(sink, ...events);
    expect(await deliver(sink, ...events, sampleEvent())).toEqual([DELIVERED, DELIVERED, DELIVERED]);
    expect((await storedIn(connection, name)).slice(0, 2).map(({ id }) => id)).toEqual(events.map((e) => e.eventId));
    expect(await storedIn(connection, name)).toHaveLength(3);
    await sink.close();
  });

  test('a subject that no stream takes is told, holds what is behind it, and passes once there is a stream', async () => {
    const name = `S${randomUUID().slice(0, 8)}`;
    const sink = await natsSink([server.url], { ...login, subject: `${name}.{topic}` });
    const events = [sampleEvent(), sampleEvent()];
    const verdicts = await deliver(sink, ...events);
    expect(verdicts[0]).toMatchObject({ kind: 'unavailable', code: 'NATS_NO_STREAM', answered: true });
    expect(verdicts[1]).toMatchObject({ kind: 'unavailable', reason: expect.stringMatching(/^not attempted/) });
    await addStream(connection, { name, subjects: [`${name}.>`] });
    expect(await deliver(sink, ...events)).toEqual([DELIVERED, DELIVERED]);
    await sink.close();
  });

  test('what the server or the stream cannot carry is refused alone, with the rule', async () => {
    const { name, subject } = await stream({ max_msg_size: 100_000 });
    const sink = await natsSink([server.url], { ...login, subject });
    const large = sampleEvent({ payload: JSON.stringify('x'.repeat(1_048_000)) });
    const larger = sampleEvent({ payload: JSON.stringify('x'.repeat(200_000)) });
    const verdicts = await deliver(sink, large, larger, sampleEvent({ eventType: '..' }), sampleEvent());
    expect(verdicts).toMatchObject([
      { kind: 'rejected', code: 'NATS_TOO_LARGE', reason: expect.stringContaining('max_payload') },
      { kind: 'rejected', code: 'NATS_10054', reason: expect.stringContaining('max_msg_size') },
      { kind: 'rejected', code: 'NATS_SUBJECT', reason: expect.stringContaining('empty token') },
      { kind: 'delivered' },
    ]);
    expect(await storedIn(connection, name)).toHaveLength(1);
    await sink.close();
  });

  test.each([
    ['a full stream', { max_msgs: 1, discard: 'new' as never }, login, 'NATS_10077'],
    ['wrong credentials', {}, { user: 'walpost', password: 'wrong' }, 'NATS_AUTHORIZATION'],
    ['a user who may not publish', {}, { user: 'reader', password: 'r' }, 'NATS_PERMISSION'],
    ['another stream than the one that is meant', {}, { ...login, stream: 'ANOTHER' }, 'NATS_10060'],
  ])('%s makes it unavailable, with a code', async (_name, streamOptions, options, code) => {
    const { subject } = await stream(streamOptions);
    const sink = await natsSink([server.url], { subject, ...options });
    const verdicts = await deliver(sink, sampleEvent(), sampleEvent());
    expect(verdicts.find(({ kind }) => kind !== 'delivered')).toMatchObject({ kind: 'unavailable', code });
    await sink.close();
  });

  test('a server that does not run is unavailable, and the next in the list is used', async () => {
    const { name, subject } = await stream();
    await using gone = await NatsServer.start();
    await gone.kill();
    const alone = await natsSink([gone.url], { subject });
    expect(await deliver(alone, sampleEvent())).toMatchObject([{ kind: 'unavailable' }]);
    await alone.close();
    const both = await natsSink([gone.url, server.url], { ...login, subject });
    expect(await deliver(both, sampleEvent())).toEqual([{ kind: 'delivered' }]);
    expect(await storedIn(connection, name)).toHaveLength(1);
    await both.close();
  });

  test('a partition is the one that the mapping of the server chooses', async () => {
    const name = `S${randomUUID().slice(0, 8)}`;
    await using mapped = await NatsServer.start({
      config: `mappings = { "in.*": "${name}.{{partition(7,1)}}.{{wildcard(1)}}" }`,
    });
    const direct = await mapped.connect();
    await addStream(direct, { name, subjects: [`${name}.>`, 'ours.>'] });
    const events = Array.from({ length: 20 }, () => sampleEvent({ organizationId: randomUUID() }));
    for (const subject of ['in.{organization_id}', 'ours.{partition:7}.{organization_id}']) {
      const sink = await natsSink([mapped.url], { subject });
      for (const event of events) await deliver(sink, { ...event, eventId: randomUUID() });
      await sink.close();
    }
    const subjects = (await storedIn(direct, name)).map(({ subject }) => subject.split('.').slice(1).join('.'));
    expect(subjects.slice(20)).toEqual(subjects.slice(0, 20));
    await direct.close();
  });

  test('a server that is killed in the middle and started again has every event once, in order', async () => {
    await using own = await NatsServer.start();
    let direct = await own.connect();
    await addStream(direct);
    await direct.close();
    const sink = await natsSink([own.url]);
    const events = Array.from({ length: 300 }, () => sampleEvent());
    const half = sink.deliver(sampleBatch(events), never) as Promise<readonly Verdict[]>;
    direct = await own.connect();
    await poll('some are stored', async () => (await storedIn(direct)).length > 20 || undefined);
    await own.kill();
    const verdicts = await half;
    const rest = events.filter((_, place) => verdicts[place]?.kind !== 'delivered');
    expect(rest.length).toBeGreaterThan(0);
    expect(await deliver(sink, ...rest.slice(0, 1))).toMatchObject([{ kind: 'unavailable' }]);
    await own.launch();
    expect((await deliver(sink, ...rest)).every(({ kind }) => kind === 'delivered')).toBe(true);
    const again = await own.connect();
    expect((await storedIn(again)).map(({ id }) => id)).toEqual(events.map(({ eventId }) => eventId));
    await again.close();
    await sink.close();
  });

  test('the example of its page delivers to the stream that the page names', async () => {
    await using own = await NatsServer.start();
    const direct = await own.connect();
    await addStream(direct);
    const sink = await createSink(
      sinkSchema.parse(exampleOf('nats', { 'nats://127.0.0.1:4222': own.url })),
      contractContext,
    );
    expect(await deliver(sink, sampleEvent())).toEqual([{ kind: 'delivered' }]);
    expect(await storedIn(direct)).toHaveLength(1);
    await sink.close();
    await direct.close();
  });
});
