import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import { envelopeOf } from '../../src/envelope.ts';
import type { Sink, Verdicts } from '../../src/pipeline.ts';
import { createRedisSink } from '../../src/sinks/redis/redis-sink.ts';
import { wireToText } from '../../src/wire-text.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { Certificates } from '../support/certificates.ts';
import { freeRedisPort, redisMissing, RedisServer } from '../support/redis-server.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { poll } from '../support/slot-session.ts';

const missing = await redisMissing();
const PASSWORD = 'h4rd-t0-guess';
const never = (): AbortSignal => new AbortController().signal;

function sinkOf(options: Partial<SinkConfigOf<'redis'>> & { readonly url: string }): Sink {
  return createRedisSink(sinkSchema.parse({ type: 'redis', ...options }) as SinkConfigOf<'redis'>, contractContext);
}

describe.skipIf(missing)(`redis ${missing ?? ''}`, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start({ password: PASSWORD });
  });
  afterAll(async () => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    await server.admin.config('SET', 'maxmemory', '0');
    await server.admin.call('CLIENT', 'UNPAUSE');
    await server.admin.flushall();
  });

  describeSinkContract('redis', async () => ({
    sink: sinkOf({ url: server.url }),
    received: async () => {
      const entries = await server.admin.xrangeBuffer('walpost:cataloging', '-', '+');
      return Buffer.concat(entries.map(([, fields]) => fields.at(-1) ?? Buffer.alloc(0)));
    },
    hang: async () => {
      await server.admin.call('CLIENT', 'PAUSE', '100000', 'WRITE');
      return true;
    },
    asked: () => server.holdsWrite(),
    fail: async () => {
      await server.admin.config('SET', 'maxmemory', '1');
      return true;
    },
    released: () =>
      poll('no connection is open', async () => (await server.clients()) === 0 || undefined).then(() => {}),
    secrets: [PASSWORD, '"n": 1'],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }));

  test('an entry has the fields that the page names', async () => {
    const sink = sinkOf({ url: server.url, stream: 'events:{organization_id}' });
    const event = sampleEvent();
    await sink.deliver(sampleBatch([event]), never());
    const [[, fields] = ['', []]] = await server.admin.xrange(`events:${event.organizationId}`, '-', '+');
    expect(fields.filter((_, at) => at % 2 === 0)).toEqual(['event_id', 'event_type', 'organization_id', 'envelope']);
    expect(fields.slice(0, 6).filter((_, at) => at % 2 === 1)).toEqual([
      event.eventId,
      event.eventType,
      event.organizationId,
    ]);
    await sink.close();
  });

  test('texts of any letters and lengths are in their entries, byte for byte', async () => {
    const sink = sinkOf({ url: server.url, stream: 'letters:{topic}' });
    const events = ['a', 'b', 'a'].map((topic, at) =>
      sampleEvent({
        topic,
        eventId: `e-${at} é\u0000€`,
        eventType: ['x', 'ß'.repeat(300), 'job\r\n😀'][at] ?? '',
        payload: JSON.stringify({ text: `ü${'€'.repeat(100_000 * at)}` }),
      }),
    );
    expect(await sink.deliver(sampleBatch(events), never())).toEqual({ kind: 'delivered' });
    const stored = await Promise.all(['a', 'b'].map((topic) => server.admin.xrange(`letters:${topic}`, '-', '+')));
    const values = stored.flat().map(([, fields]) => fields.filter((_, at) => at % 2 === 1));
    const expected = [events[0], events[2], events[1]].flatMap((event) => (event ? [event] : []));
    expect(values).toEqual(
      expected.map((event) => [event.eventId, event.eventType, event.organizationId, wireToText(envelopeOf(event))]),
    );
    await sink.close();
  });

  test('what is behind an entry that is refused is not written, and not lost', async () => {
    const sink = sinkOf({ url: server.url });
    await server.admin.set('walpost:taken', 'something else');
    const topics = ['a', 'taken', 'a', 'b'];
    const verdicts = await sink.deliver(sampleBatch(topics.map((topic) => sampleEvent({ topic }))), never());
    expect(verdicts).toMatchObject([
      { kind: 'delivered' },
      { kind: 'failed', code: 'REDIS_WRONGTYPE' },
      { kind: 'unavailable' },
      { kind: 'unavailable' },
    ]);
    expect(await server.admin.xlen('walpost:a')).toBe(1);
    expect(await server.admin.exists('walpost:b')).toBe(0);
    await sink.close();
  });

  test('a key that the event cannot fill is a dead letter, and stops nothing', async () => {
    const sink = sinkOf({ url: server.url, stream: 'to:{target}' });
    const long = sampleEvent({ target: 'x'.repeat(2000) });
    const verdicts = await sink.deliver(sampleBatch([sampleEvent(), long, sampleEvent({ target: 'crm' })]), never());
    expect(verdicts).toEqual([
      { kind: 'rejected', reason: 'the key of the stream needs target, and the event has none' },
      { kind: 'rejected', reason: 'the key of the stream would be longer than 1024 bytes' },
      { kind: 'delivered' },
    ]);
    await sink.close();
  });

  test('a stream is trimmed', async () => {
    const sink = sinkOf({ url: server.url, max_length: 100 });
    for (let round = 0; round < 10; round++) {
      await sink.deliver(sampleBatch(Array.from({ length: 50 }, () => sampleEvent())), never());
    }
    expect(await server.admin.xlen('walpost:cataloging')).toBeLessThan(300);
    await sink.close();
  });

  const oneEvent = async (sink: Sink): Promise<Verdicts> => {
    const verdicts = await sink.deliver(sampleBatch([sampleEvent()]), never());
    return verdicts;
  };

  test.for([
    ['no password', (url: string) => url.replace(`:${PASSWORD}@`, ''), 'REDIS_NOAUTH'],
    ['a wrong password', (url: string) => url.replace(PASSWORD, 'guessed'), 'REDIS_WRONGPASS'],
    ['a port where nobody listens', (url: string) => url.replace(/\d+$/, '1'), 'ECONNREFUSED'],
  ] as const)('%s is unavailable, and says why', async ([, change, code]) => {
    const sink = sinkOf({ url: change(server.url) });
    for (let attempt = 0; attempt < 2; attempt++) {
      expect([await oneEvent(sink)].flat()[0]).toMatchObject({ kind: 'unavailable', code });
    }
    await sink.close();
  });

  test('a server without memory, a replica and a server that forgot the script are unavailable, and recover', async () => {
    const sink = sinkOf({ url: server.url });
    await server.admin.config('SET', 'maxmemory', '1');
    expect([await oneEvent(sink)].flat()[0]).toMatchObject({ kind: 'unavailable', code: 'REDIS_OOM' });
    await server.admin.config('SET', 'maxmemory', '0');
    expect(await oneEvent(sink)).toEqual({ kind: 'delivered' });
    await server.admin.script('FLUSH');
    expect(await oneEvent(sink)).toEqual({ kind: 'delivered' });
    await server.admin.call('REPLICAOF', '127.0.0.1', '1');
    expect([await oneEvent(sink)].flat()[0]).toMatchObject({ kind: 'unavailable', code: 'REDIS_READONLY' });
    await server.admin.call('REPLICAOF', 'NO', 'ONE');
    expect(await oneEvent(sink)).toEqual({ kind: 'delivered' });
    await sink.close();
  });

  test('a batch that was given up is not written later', async () => {
    const sink = sinkOf({ url: server.url });
    await oneEvent(sink);
    await server.admin.call('CLIENT', 'PAUSE', '100000', 'WRITE');
    const controller = new AbortController();
    const given = sink.deliver(sampleBatch([sampleEvent()]), controller.signal);
    await server.holdsWrite();
    controller.abort();
    await expect(given).rejects.toThrow('abort');
    await poll('the connection is cut', async () => (await server.clients()) === 0 || undefined);
    await server.admin.call('CLIENT', 'UNPAUSE');
    expect(await oneEvent(sink)).toEqual({ kind: 'delivered' });
    expect(await server.admin.xlen('walpost:cataloging')).toBe(2);
    await sink.close();
  });

  test('a user needs no more rights than the page names, and is told when one is missing', async () => {
    const rights = ['on', '>pass', '~walpost:*', '-@all', '+xadd', '+evalsha', '+eval', '+info'];
    await server.admin.call('ACL', 'SETUSER', 'narrow', ...rights);
    const sink = sinkOf({ url: server.url.replace(`:${PASSWORD}@`, 'narrow:pass@') });
    expect(await oneEvent(sink)).toEqual({ kind: 'delivered' });
    await server.admin.call('ACL', 'SETUSER', 'narrow', '-xadd', '-evalsha');
    expect([await oneEvent(sink)].flat()[0]).toMatchObject({ kind: 'unavailable', code: 'REDIS_NOPERM' });
    await sink.close();
  });

  test('over TLS the authority must be known', async () => {
    using files = new Certificates();
    const ca = files.ca('redis');
    const { cert, key } = files.issue(ca, { names: ['IP:127.0.0.1', 'DNS:localhost'] });
    const settings = {
      port: '0',
      'tls-port': String(await freeRedisPort()),
      'tls-cert-file': cert,
      'tls-key-file': key,
      'tls-ca-cert-file': ca.cert,
      'tls-auth-clients': 'no',
    };
    await using secure = await RedisServer.start({ settings });
    const url = `rediss://localhost:${settings['tls-port']}`;
    const unknown = sinkOf({ url });
    expect([await oneEvent(unknown)].flat()[0]).toMatchObject({
      kind: 'unavailable',
      code: 'SELF_SIGNED_CERT_IN_CHAIN',
    });
    const known = sinkOf({ url, ca: ca.cert });
    expect(await oneEvent(known)).toEqual({ kind: 'delivered' });
    await Promise.all([unknown.close(), known.close()]);
    expect(secure.port).toBeGreaterThan(0);
  });

  test('a killed server loses nothing that it accepted, and is used again once it is back', async () => {
    const sink = sinkOf({ url: server.url });
    expect(await oneEvent(sink)).toEqual({ kind: 'delivered' });
    await server.kill();
    expect([await oneEvent(sink)].flat()[0]).toMatchObject({ kind: 'unavailable' });
    await server.restart();
    expect(await oneEvent(sink)).toEqual({ kind: 'delivered' });
    await poll(
      'the administrator is back',
      async () => (await server.admin.ping().catch(() => '')) === 'PONG' || undefined,
    );
    expect(await server.admin.xlen('walpost:cataloging')).toBe(2);
    await sink.close();
  });
});
