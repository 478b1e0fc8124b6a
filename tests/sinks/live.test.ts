import { createHmac, generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import type { Event } from '../../src/event.ts';
import { ScanTurns } from '../../src/sinks/live/scan-turns.ts';
import { describeSinkContract, type SinkHarness } from '../contract/sink-contract.ts';
import { LiveChannelFixture } from '../support/live-channel.ts';
import { LiveClient, LIVE_SECRET, liveToken, type TokenFields } from '../support/live-reader.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { plainOrigin } from '../support/plain-origin.ts';
import { sampleBatch, sampleEvent, type SampleFields } from '../support/sample-event.ts';
import { poll } from '../support/slot-session.ts';

const ORGANIZATION = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001';
const OTHER = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0002';
/** Those of the contract suite. */
const ORGANIZATIONS = [ORGANIZATION, OTHER, '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0003'];
const never = new AbortController().signal;

describeSinkContract('live', async (): Promise<SinkHarness> => {
  const channel = await LiveChannelFixture.start({ config: { reader_buffer: '8MiB' } });
  const clients = await Promise.all(ORGANIZATIONS.map((organization) => joined(channel, { organization })));
  let asked = 0;
  return {
    sink: channel.sink,
    received: async () => {
      asked += 1;
      for (const organizationId of ORGANIZATIONS)
        await channel.sink.deliver(sampleBatch([sampleEvent({ organizationId, eventType: 'the.end' })]), never);
      for (const client of clients) await client.gets(asked, 'the.end');
      return Buffer.from(clients.map(({ text }) => text).join(''), 'utf8');
    },
    hang: () => Promise.resolve(false),
    asked: () => Promise.resolve(),
    fail: () => {
      channel.hub.close('not_leader');
      return Promise.resolve(true);
    },
    released: () => Promise.resolve(),
    secrets: [LIVE_SECRET],
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) await client[Symbol.asyncDispose]();
      await channel[Symbol.asyncDispose]();
    },
  };
});

async function send(channel: LiveChannelFixture, ...fields: SampleFields[]): Promise<Event[]> {
  const events = fields.map((each) => sampleEvent({ origin: plainOrigin({ commitLsn: 100n }), ...each }));
  expect(await channel.sink.deliver(sampleBatch(events), never)).toEqual({ kind: 'delivered' });
  return events;
}

const idsOf = (messages: readonly { data: string }[]): string[] =>
  messages.map(({ data }) => (JSON.parse(data) as { event_id: string }).event_id);

async function joined(
  channel: LiveChannelFixture,
  options: { organization?: string; lastEventId?: string; query?: string } = {},
) {
  const { organization = ORGANIZATION, ...rest } = options;
  const client = await LiveClient.open(channel.port, { token: await liveToken({ organization }), ...rest });
  await client.gets(1, 'walpost.live');
  return client;
}

async function statusOf(channel: LiveChannelFixture, headers: Record<string, string>, path = '/live', method = 'GET') {
  const asked = httpRequest({ port: channel.port, path, method, headers });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  response.destroy();
  return response;
}

describe('who is let in', () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { organization_id: ORGANIZATION, aud: 'app', exp: 4_000_000_000 };
  const confused = (): string => {
    const text = `${part({ alg: 'HS256' })}.${part(claims)}`;
    return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
  };
  const hs = (fields: TokenFields) => () =>
    liveToken({ organization: ORGANIZATION, claims: { aud: 'app' }, ...fields });

  test('a token that has everything', async () => {
    await using channel = await LiveChannelFixture.start({ config: { public_key: pem, audience: 'app' } });
    const { statusCode } = await statusOf(channel, { authorization: `Bearer ${await hs({})()}` });
    expect(statusCode).toBe(200);
  });

  test.for<[string, () => string | Promise<string>]>([
    ['no token', () => ''],
    ['alg none', () => `${part({ alg: 'none' })}.${part(claims)}.`],
    ['the public key as the secret of HS256', confused],
    ['a token that has expired', hs({ exp: 1_700_000_000 })],
    ['another secret', hs({ secret: 'another-secret-of-the-live-channel-012345' })],
    ['no organization', hs({ organization: '' })],
    ['an organization that is an object', hs({ organization: { id: ORGANIZATION } })],
    ['another audience', hs({ claims: { aud: 'other' } })],
    [
      'no exp',
      () =>
        new SignJWT({ organization_id: ORGANIZATION, aud: 'app' })
          .setProtectedHeader({ alg: 'HS256' })
          .sign(Buffer.from(LIVE_SECRET)),
    ],
    ['rubbish', () => 'a.b.c'],
  ])('not %s', async ([, token]) => {
    await using channel = await LiveChannelFixture.start({ config: { public_key: pem, audience: 'app' } });
    const { statusCode } = await statusOf(channel, { authorization: `Bearer ${await token()}` });
    expect(statusCode).toBe(401);
  });

  test('a token of either key, with the claim at the end of a path', async () => {
    const config = { public_key: pem, organization_claim: 'app_metadata.organization_id' };
    await using channel = await LiveChannelFixture.start({ config });
    const of = { app_metadata: { organization_id: ORGANIZATION.toUpperCase() } };
    const rs = await new SignJWT(of).setProtectedHeader({ alg: 'RS256' }).setExpirationTime('1h').sign(privateKey);
    for (const token of [rs, await liveToken({ claims: of })]) {
      await using client = await LiveClient.open(channel.port, { token });
      await client.gets(1, 'walpost.live');
      const [event] = await send(channel, {});
      expect(idsOf(await client.gets(1))).toEqual([event?.eventId]);
    }
  });

  test('a token of a key set, also of a key that came later; a private address is not asked', async () => {
    const keys: object[] = [];
    let asked = 0;
    const server = createServer((_request, response) => {
      asked += 1;
      response.end(JSON.stringify({ keys }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const jwks = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
    try {
      const ec = await generateKeyPair('ES256');
      keys.push({ ...(await exportJWK(ec.publicKey)), kid: 'one', alg: 'ES256' });
      const sign = (kid: string | undefined, key: CryptoKey, alg = 'ES256') =>
        new SignJWT({ organization_id: ORGANIZATION })
          .setProtectedHeader({ alg, ...(kid !== undefined && { kid }) })
          .setExpirationTime('1h')
          .sign(key);
      const status = async (channel: LiveChannelFixture, token: string) =>
        (await statusOf(channel, { authorization: `Bearer ${token}` })).statusCode;
      await using guarded = await LiveChannelFixture.start({ config: { secret: undefined, jwks } });
      expect(await status(guarded, await sign('one', ec.privateKey))).toBe(503);
      expect(asked).toBe(0);
      await using channel = await LiveChannelFixture.start({
        config: { secret: undefined, jwks, allow_private: true },
      });
      expect(await status(channel, await sign('one', ec.privateKey))).toBe(200);
      expect(await status(channel, await sign('one', ec.privateKey))).toBe(200);
      expect(asked).toBe(1);
      const stranger = await generateKeyPair('ES256');
      expect(await status(channel, await sign('one', stranger.privateKey))).toBe(401);
      expect(await status(channel, await sign('two', stranger.privateKey))).toBe(401);
      expect(await status(channel, await liveToken({ organization: ORGANIZATION }))).toBe(401);
      keys.push({ ...(await exportJWK(stranger.publicKey)), kid: 'three', alg: 'ES256' });
      await using later = await LiveChannelFixture.start({ config: { secret: undefined, jwks, allow_private: true } });
      // Whoever leaves out the kid is refused, and does not look like keys that cannot be read.
      expect(await status(later, await sign(undefined, ec.privateKey))).toBe(401);
    } finally {
      server.close();
    }
  });

  test('a head that never ends is answered 408, and a giant one 431', async () => {
    await using channel = await LiveChannelFixture.start();
    const answerTo = async (text: string): Promise<string> => {
      const socket = connect(channel.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(text);
      let answer = '';
      for await (const part of socket) answer += String(part);
      return answer.split('\r\n', 1)[0] ?? '';
    };
    expect(await answerTo(`GET /live HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)).toContain(' 431 ');
    expect(await answerTo('GET /live HTTP/1.1\r\nHost: x\r\n')).toContain(' 408 ');
  }, 20_000);

  test.for([
    ['/live/../live', 404],
    ['//live', 404],
    ['/live%2fticket', 404],
    ['/LIVE', 404],
    ['/metrics', 404],
    ['/live?token=x', 400],
    ['/live?access_token=x', 400],
    ['/live?ticket=x', 401],
    ['/live/ticket', 405],
  ] as const)('%s answers %i', async ([path, status]) => {
    await using channel = await LiveChannelFixture.start();
    expect((await statusOf(channel, {}, path)).statusCode).toBe(status);
  });

  test('a ticket opens one stream, within 30 seconds', async () => {
    const clock = new ManualClock();
    await using channel = await LiveChannelFixture.start({ clock });
    const authorization = `Bearer ${await liveToken({ organization: ORGANIZATION, exp: 4_000_000_000 })}`;
    const ticket = async (): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${channel.port}/live/ticket`, {
        method: 'POST',
        headers: { authorization },
      });
      return ((await answer.json()) as { ticket: string }).ticket;
    };
    const once = await ticket();
    expect((await statusOf(channel, {}, `/live?ticket=${once}`)).statusCode).toBe(200);
    expect((await statusOf(channel, {}, `/live?ticket=${once}`)).statusCode).toBe(401);
    const [first, second] = [await ticket(), await ticket()];
    await clock.advance(29_999);
    expect((await statusOf(channel, {}, `/live?ticket=${first}`)).statusCode).toBe(200);
    await clock.advance(1);
    expect((await statusOf(channel, {}, `/live?ticket=${second}`)).statusCode).toBe(401);
  });

  test('only origins of the list, also in an answer that refuses', async () => {
    await using channel = await LiveChannelFixture.start({ config: { origins: ['https://app.example.com'] } });
    const preflight = await statusOf(channel, { origin: 'https://app.example.com' }, '/live', 'OPTIONS');
    expect(preflight).toMatchObject({ statusCode: 204 });
    expect(preflight.headers['access-control-allow-headers']).toContain('authorization');
    for (const [origin, allowed] of [
      ['https://app.example.com', 'https://app.example.com'],
      ['https://evil.example.com', undefined],
    ] as const) {
      const { headers } = await statusOf(channel, { origin });
      expect([headers['access-control-allow-origin'], headers.vary]).toEqual([allowed, 'Origin']);
      expect(headers['access-control-expose-headers']).toBe(allowed && 'retry-after');
    }
  });

  test('nobody while the process does not lead, and open streams end', async () => {
    await using channel = await LiveChannelFixture.start();
    await using client = await joined(channel);
    channel.hub.close('not_leader');
    await client.ended;
    expect(client.messages.at(-1)).toMatchObject({ event: 'walpost.end', data: '{"reason":"not_leader"}' });
    const { statusCode, headers } = await statusOf(channel, {});
    expect([statusCode, headers['retry-after']]).toEqual([503, '2']);
  });

  test('as many streams as the limits allow', async () => {
    const config = { connections: 3, connections_per_organization: 2 };
    await using channel = await LiveChannelFixture.start({ config });
    await using _first = await joined(channel);
    await using _second = await joined(channel);
    const status = async (organization: string) =>
      (await statusOf(channel, { authorization: `Bearer ${await liveToken({ organization })}` })).statusCode;
    expect(await status(ORGANIZATION)).toBe(429);
    await using _third = await joined(channel, { organization: OTHER });
    expect(await status(OTHER)).toBe(503);
  });
});

describe('what arrives', () => {
  test('events of the own organization alone, with type and id, and those that the query names', async () => {
    await using channel = await LiveChannelFixture.start();
    await using all = await joined(channel);
    await using some = await joined(channel, { query: '?type=b,c&topic=t' });
    await using other = await joined(channel, { organization: OTHER });
    const events = await send(
      channel,
      { eventType: 'a', topic: 't' },
      { eventType: 'b', topic: 't' },
      { eventType: 'c' },
    );
    expect(idsOf(await all.gets(3))).toEqual(events.map(({ eventId }) => eventId));
    expect(all.messages.slice(1).map(({ event }) => event)).toEqual(['a', 'b', 'c']);
    expect(idsOf(await some.gets(1))).toEqual([events[1]?.eventId]);
    await send(channel, { organizationId: OTHER });
    expect(idsOf(await other.gets(1))).not.toContain(events[0]?.eventId);
    expect(other.messages).toHaveLength(2);
  });

  test('a type with a line break makes no field, and JSON over several lines is one value', async () => {
    await using channel = await LiveChannelFixture.start();
    await using client = await joined(channel);
    await send(channel, { eventType: 'a\nid: forged\ndata: x', payload: '{\r\n"a":\n1}' });
    const [message] = await client.gets(1);
    expect(message?.event).toBe('message');
    expect(JSON.parse(message?.data ?? '')).toMatchObject({ event_type: 'a\nid: forged\ndata: x', payload: { a: 1 } });
    expect(message?.id).not.toBe('forged');
  });

  test('a heartbeat when it is silent, and the end when the token expires', async () => {
    const clock = new ManualClock();
    await using channel = await LiveChannelFixture.start({ clock });
    const exp = clock.wallTime() / 1000 + 40;
    await using client = await LiveClient.open(channel.port, {
      token: await liveToken({ organization: ORGANIZATION, exp }),
    });
    await client.gets(1, 'walpost.live');
    await clock.advance(39_000);
    await clock.advance(1_000);
    await client.ended;
    expect(client.text.match(/^:$/gm)).toHaveLength(2);
    expect(client.messages.at(-1)?.data).toBe('{"reason":"token_expired"}');
    expect(channel.ended).toEqual(['token_expired']);
  });

  test('a reader who reads nothing is dropped; the others and the sink notice nothing', async () => {
    await using channel = await LiveChannelFixture.start({ config: { reader_buffer: '64KiB', ring_bytes: '4KiB' } });
    await using client = await joined(channel);
    const socket = connect(channel.port, '127.0.0.1');
    socket.on('error', () => undefined);
    const token = await liveToken({ organization: ORGANIZATION });
    socket.write(`GET /live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    await channel.until(() => channel.resumed.length === 2);
    socket.pause();
    const payload = JSON.stringify('x'.repeat(60_000));
    let sent = 0;
    for (; !channel.ended.includes('slow') && sent < 1_000; sent += 1) {
      await send(channel, { payload });
      await client.gets(sent + 1);
    }
    socket.destroy();
    expect(channel.ended).toEqual(['slow']);
    expect(await client.gets(sent)).toHaveLength(sent);
  });
});

describe('coming back', () => {
  test('with the ring: exactly what came since', async () => {
    await using channel = await LiveChannelFixture.start();
    const client = await joined(channel);
    const [first] = await send(channel, {}, {});
    const [message] = await client.gets(2);
    await client[Symbol.asyncDispose]();
    const [third] = await send(channel, {});
    expect(idsOf([message ?? { data: '' }])).toEqual([first?.eventId]);
    await using again = await joined(channel, { ...(message?.id !== undefined && { lastEventId: message.id }) });
    expect(idsOf(await again.gets(2)).at(-1)).toBe(third?.eventId);
    expect(again.messages.map(({ event }) => event)).toEqual(['job.completed', 'job.completed', 'walpost.live']);
    expect(channel.resumed).toEqual(['new', 'ring']);
    await using query = await joined(channel, { query: `?last_event_id=${again.messages[1]?.id}` });
    expect(query.messages).toHaveLength(1);
  });

  test.for([
    ['an id that is none', "' OR 1=1; DROP TABLE walpost.outbox; --"],
    ['a giant one', 'f'.repeat(9_000)],
    ['one of a later leader', '64-0-8-1'],
    ['a number that nobody has given', '64-0-7-99'],
    ['one of an earlier leader whose rows are gone', '64-0-6-1'],
  ] as const)('with %s: reset', async ([, lastEventId]) => {
    await using channel = await LiveChannelFixture.start();
    await using client = await joined(channel, { lastEventId });
    expect(client.messages.map(({ event }) => event)).toEqual(['walpost.reset', 'walpost.live']);
    const [event] = await send(channel, {});
    expect(idsOf(await client.gets(1))).toEqual([event?.eventId]);
  });

  test('of one organization two at once read the past, and hold up no other', async () => {
    const under: Record<string, number> = {};
    const most: Record<string, number> = {};
    const begun: string[] = [];
    const ends: (() => void)[] = [];
    async function* read(organizationId: string): AsyncGenerator<readonly Event[]> {
      begun.push(organizationId);
      under[organizationId] = (under[organizationId] ?? 0) + 1;
      most[organizationId] = Math.max(most[organizationId] ?? 0, under[organizationId]);
      await new Promise<void>((resolve) => ends.push(resolve));
      under[organizationId] -= 1;
      yield [sampleEvent({ organizationId })];
    }
    await using channel = await LiveChannelFixture.start({ term: { past: read } });
    const clients: LiveClient[] = [];
    for (const organization of [...Array.from({ length: 5 }, () => ORGANIZATION), OTHER]) {
      const token = await liveToken({ organization });
      clients.push(await LiveClient.open(channel.port, { token, lastEventId: '64-0-6-1' }));
    }
    await channel.until(() => channel.hub.connections === clients.length);
    await poll('three begin', async () => begun.length >= 3 || undefined);
    expect(begun).toEqual([ORGANIZATION, ORGANIZATION, OTHER]);
    for (let n = 0; n < clients.length; n++) {
      await poll('the next has begun', async () => ends.length > n || undefined);
      ends[n]?.();
    }
    await channel.until(() => channel.resumed.length === clients.length);
    expect(most).toEqual({ [ORGANIZATION]: 2, [OTHER]: 1 });
    expect(channel.resumed).toEqual(Array.from({ length: clients.length }, () => 'table'));
    for (const client of clients) await client[Symbol.asyncDispose]();
  });

  test('a reader that takes its time with a page holds up no other of its organization', async () => {
    const turns = new ScanTurns(1);
    const all = (scan: AsyncIterable<number>): Promise<number[]> => Readable.from(scan).toArray() as Promise<number[]>;
    const pages = (): AsyncIterable<number> => Readable.from([1, 2]);
    const slow = turns.run(ORGANIZATION, pages);
    expect(await slow.next()).toMatchObject({ value: 1 });
    expect(await all(turns.run(ORGANIZATION, pages))).toEqual([1, 2]);
    expect(await all(turns.run(ORGANIZATION, pages, AbortSignal.abort()))).toEqual([]);
    expect(await slow.next()).toMatchObject({ value: 2 });
  });

  test('what comes while the past is read is behind it, without a gap', async () => {
    const past = [sampleEvent(), sampleEvent()];
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    async function* read(): AsyncGenerator<readonly Event[]> {
      yield [...past, sampleEvent({ organizationId: OTHER })];
      await held;
    }
    await using channel = await LiveChannelFixture.start({ term: { past: read } });
    const token = await liveToken({ organization: ORGANIZATION });
    await using client = await LiveClient.open(channel.port, { token, lastEventId: '64-0-6-1' });
    await client.gets(2);
    const live = await send(channel, {}, {});
    expect(client.messages).toHaveLength(2);
    release();
    await client.gets(1, 'walpost.live');
    const expected = [...past, ...live].map(({ eventId }) => eventId);
    expect(idsOf(await client.gets(4))).toEqual(expected);
  });

  test('rings are bounded for each organization and in all; the quiet one forgets first', async () => {
    const config = { ring_events: 5, ring_total: '64KiB' };
    await using channel = await LiveChannelFixture.start({ config });
    await using client = await joined(channel);
    await send(channel, ...Array.from({ length: 8 }, () => ({})));
    const ids = (await client.gets(8)).map(({ id = '' }) => id);
    await using near = await joined(channel, { lastEventId: ids[3] ?? '' });
    expect(await near.gets(4)).toHaveLength(4);
    await using far = await joined(channel, { lastEventId: ids[1] ?? '' });
    expect(far.messages[0]?.event).toBe('walpost.reset');
    const payload = JSON.stringify('x'.repeat(31_500));
    await send(channel, { organizationId: OTHER, payload });
    await send(channel, { organizationId: OTHER, payload });
    await using gone = await joined(channel, { lastEventId: ids[3] ?? '' });
    expect(gone.messages[0]?.event).toBe('walpost.reset');
  });
});
