import { createHook } from 'node:async_hooks';
import type { LookupAddress } from 'node:dns';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WalpostError } from '../../src/errors.ts';
import { isRefusedAddress } from '../../src/refused-address.ts';
import { ADDRESS_REFUSED, guardedConnector, guardedLookup } from '../../src/sinks/http/ssrf-guard.ts';
import { createWebhookSink } from '../../src/sinks/webhook/webhook-sink.ts';
import { contractContext } from '../contract/sink-contract.ts';

/** Every connect(2) of this process begins with such an object, so none made means that no packet left. */
let connects = 0;
const hook = createHook({
  init: (_id, type) => {
    if (type === 'TCPCONNECTWRAP') connects += 1;
  },
});

beforeAll(() => void hook.enable());
afterAll(() => void hook.disable());

test.each([
  ['unspecified', ['0.0.0.0', '0.1.2.3', '::']],
  ['loopback', ['127.0.0.1', '127.255.255.254', '::1']],
  ['private', ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fd12:3456::1', 'fec0::1']],
  [
    'link-local and the metadata services',
    ['169.254.0.1', '169.254.169.254', 'fe80::1', 'fe80::1%eth0', 'fd00:ec2::254'],
  ],
  ['metadata elsewhere', ['100.100.100.200', '192.0.0.192']],
  ['shared by a carrier', ['100.64.0.1', '100.127.255.255']],
  ['multicast and broadcast', ['224.0.0.1', '239.255.255.255', '255.255.255.255', 'ff02::1']],
  [
    'reserved',
    ['192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '240.0.0.1', '2001:db8::1', '100::1', '4000::1'],
  ],
  ['IPv4 in IPv6, mapped', ['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:10.0.0.1', '::ffff:1.1.1.1']],
  ['IPv4 in IPv6, compatible', ['::127.0.0.1', '::7f00:1', '::1.1.1.1']],
  ['IPv4 in IPv6, translated', ['64:ff9b::7f00:1', '64:ff9b::10.0.0.1', '64:ff9b:1::1', '::ffff:0:127.0.0.1']],
  ['IPv4 in IPv6, tunnelled', ['2002:7f00:1::', '2002:a00:1::1', '2001:0:7f00:1::']],
  ['no address', ['', 'example.com', '1.2.3.4.5', '999.1.1.1']],
])('refused: %s', (_name, addresses) => {
  for (const address of addresses) expect([address, isRefusedAddress(address)]).toEqual([address, true]);
});

test('allowed: addresses that anyone can reach', () => {
  const addresses = ['1.1.1.1', '93.184.216.34', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00:1450:4001::1'];
  for (const address of addresses) expect([address, isRefusedAddress(address)]).toEqual([address, false]);
});

describe('a URL that spells a private address is refused before anything is made', () => {
  test.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://127.0.1/',
    'http://0x7f.1/',
    'http://0x7f000001/',
    'http://0177.0.0.1/',
    'http://017700000001/',
    'http://2130706433/',
    'http://127.0.0.1./',
    'http://%31%32%37.0.0.1/',
    'http://①②⑦.0.0.1/',
    'http://127。0。0。1/',
    'http://0/',
    'http://0.0.0.0/',
    'http://localhost/',
    'http://LOCALHOST./',
    'http://api.localhost/',
    'http://user:pw@127.0.0.1/',
    'http://10.0.0.1/',
    'http://0xa9fea9fe/latest/meta-data',
    'https://[::1]/',
    'http://[::]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://[0:0:0:0:0:ffff:127.0.0.1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[fd00:ec2::254]/',
  ])('%s', (url) => {
    connects = 0;
    const make = (): unknown =>
      createWebhookSink(
        { type: 'webhook', url, headers: {}, batch: true, format: 'walpost', allow_private: false, concurrency: 1 },
        contractContext,
      );
    expect(make).toThrow(WalpostError);
    expect(make).toThrow(/sinks\.under-test\.url is a private address/);
    expect(connects).toBe(0);
  });
});

/** Names as an attacker's DNS would answer them; nobody is asked. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  'loopback.test': ['127.0.0.1'],
  'both.test': ['127.0.0.1', '::1'],
  'mapped.test': ['::ffff:127.0.0.1'],
  'metadata.test': ['169.254.169.254'],
  'localhost.': ['127.0.0.1'],
  '127.1': ['127.0.0.1'],
  '0x7f.1': ['127.0.0.1'],
  '2130706433': ['127.0.0.1'],
};

function answers(addresses: readonly string[]): LookupAddress[] {
  return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
}

describe('a connection to a private address is refused where it would be made', () => {
  const server = createServer((socket) => socket.destroy());
  let port = '';
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = String((server.address() as { port: number }).port);
  });
  afterAll(() => void server.close());

  const connect = (hostname: string, protocol: string, allowPrivate = false): Promise<Socket | Error> =>
    new Promise((resolve) => {
      const connector = guardedConnector({
        allowPrivate,
        timeout: 1000,
        lookup: (name, _options, callback) => setImmediate(callback, null, answers(NAMES[name] ?? [])),
      });
      connector({ hostname, protocol, port }, (error, socket) => resolve(error ?? socket));
    });

  test.each([
    ...Object.keys(NAMES),
    '127.0.0.1',
    '0.0.0.0',
    '::1',
    '::ffff:127.0.0.1',
    '::',
    '169.254.169.254',
    '10.0.0.1',
  ])('%s', async (hostname) => {
    connects = 0;
    for (const protocol of ['http:', 'https:']) {
      expect(await connect(hostname, protocol)).toMatchObject({ code: ADDRESS_REFUSED });
    }
    expect(connects).toBe(0);
  });

  test('and allow_private opens the same door, which the count sees', async () => {
    connects = 0;
    const socket = await connect('127.0.0.1', 'http:', true);
    expect(socket).not.toBeInstanceOf(Error);
    (socket as Socket).destroy();
    expect(connects).toBe(1);
  });
});

describe('a name is resolved once, and only what passed of that answer is connected to', () => {
  /** The first answer is harmless, the next ones are not. */
  function rebinding(...addresses: string[][]): { lookups: number; ask: (all: boolean) => Promise<unknown> } {
    const state = {
      lookups: 0,
      ask: (all: boolean) =>
        new Promise((resolve) => {
          const lookup = guardedLookup((_name, _options, callback) =>
            callback(null, answers(addresses[Math.min(state.lookups++, addresses.length - 1)] ?? [])),
          );
          lookup('rebind.test', { all }, (error, address) => resolve(error ? (error.code ?? error) : address));
        }),
    };
    return state;
  }

  test('the socket is given the checked addresses themselves', async () => {
    const dns = rebinding(['93.184.216.34'], ['127.0.0.1']);
    expect(await dns.ask(true)).toEqual([{ address: '93.184.216.34', family: 4 }]);
    expect(dns.lookups).toBe(1);
    expect(await dns.ask(true)).toBe(ADDRESS_REFUSED);
  });

  test('private addresses among others are left out', async () => {
    expect(await rebinding(['127.0.0.1', '93.184.216.34', '::1']).ask(true)).toEqual([
      { address: '93.184.216.34', family: 4 },
    ]);
    expect(await rebinding(['10.0.0.1', '93.184.216.34']).ask(false)).toBe('93.184.216.34');
    expect(await rebinding(['10.0.0.1']).ask(false)).toBe(ADDRESS_REFUSED);
    expect(await rebinding([]).ask(true)).toBe(ADDRESS_REFUSED);
  });
});
