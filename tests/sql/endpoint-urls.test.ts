/** The URLs of endpoints that SQL accepts. A URL that Node and SQL read differently would lead somewhere else than where it was checked. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isRefusedHost } from '../../src/refused-address.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';

const ACCEPTED = [
  'https://hooks.example.com/path?a=1&b=%20x',
  'HTTPS://Hooks.Example.COM/',
  'https://example.com',
  'https://example.com:8443/a/b;c=d,e/~f/(g)!*',
  'https://a-b_c.example.co.uk/%e2%82%ac',
  'https://xn--bcher-kva.example/hook',
  'https://8.8.8.8/hook',
  'https://93.184.216.34:443/',
  'https://[2606:4700:4700::1111]/hook',
  'https://[2a00:1450:4001:82b::200e]:8443/',
  'https://100.128.0.1/',
  'https://172.32.0.1/',
  'https://127.0.0.1.nip.io/', // a name; where it leads is seen when it is resolved
  `https://example.com/${'x'.repeat(2028)}`,
];

const REFUSED: readonly (readonly [url: string, problem: string])[] = [
  ['', 'must have 1 to 2048 characters, not 0'],
  [`https://example.com/${'x'.repeat(2029)}`, 'must have 1 to 2048 characters, not 2049'],
  ['example.com/hook', 'does not begin with https://'],
  ['//example.com/hook', 'does not begin with https://'],
  ['http://example.com/hook', 'does not begin with https://'],
  ['ftp://example.com/', 'does not begin with https://'],
  ['file:///etc/passwd', 'does not begin with https://'],
  ['javascript:alert(1)', 'does not begin with https://'],
  ['data:text/plain,x', 'does not begin with https://'],
  ['https:/example.com/', 'does not begin with https://'],
  ['https:example.com', 'does not begin with https://'],
  ['https://', 'has no host'],
  ['https:///example.com/', 'has no host'],
  ['https://:443/', 'has no host'],
  ['https://user@example.com/', 'has a user name or a password in it'],
  ['https://user:s3cr3t@example.com/s3cr3t', 'has a user name or a password in it'],
  ['https://@example.com/', 'has a user name or a password in it'],
  ['https://example.com@127.0.0.1/', 'has a user name or a password in it'],
  ['https://example.com/#part', 'has a fragment (#)'],
  [' https://example.com/', 'holds a blank or a control character'],
  ['https://example.com/a b', 'holds a blank or a control character'],
  ['https://exa\tmple.com/', 'holds a blank or a control character'],
  ['https://example.com/\r\nX-Injected: 1', 'holds a blank or a control character'],
  ['https://example.com/\u007f', 'holds a blank or a control character'],
  ['https://example.com\\@127.0.0.1/', 'holds a backslash'],
  ['https:\\\\127.0.0.1\\', 'holds a backslash'],
  ['https://example.com/{x}', 'holds a backslash, a quote, or another character'],
  ['https://bücher.example/', 'holds a character that is not ASCII'],
  ['https://１２７.0.0.1/', 'holds a character that is not ASCII'],
  ['https://ⓛocalhost/', 'holds a character that is not ASCII'],
  ['https://example。com/', 'holds a character that is not ASCII'],
  ['https://example.com/\u202e', 'holds a character that is not ASCII'],
  ['https://example.com:0/', 'has a port that is no number from 1 to 65535'],
  ['https://example.com:65536/', 'has a port that is no number from 1 to 65535'],
  ['https://example.com:/', 'has a port that is no number from 1 to 65535'],
  ['https://example.com:https/', 'has a port that is no number from 1 to 65535'],
  ['https://example.com:443:443/', 'has a port that is no number from 1 to 65535'],
  ['https://[::1]x/', 'has a port that is no number from 1 to 65535'],
  ['https://example.com./', 'has a host that ends in a dot'],
  ['https://127.0.0.1./', 'has a host that ends in a dot'],
  ['https://%6cocalhost/', 'has a host with a percent sign'],
  ['https://127%2e0.0.1/', 'has a host with a percent sign'],
  ['https://[fe80::1%25eth0]/', 'has no IPv6 address in its brackets'],
  ['https://[1.2.3.4]/', 'has no IPv6 address in its brackets'],
  ['https://[::1/', 'has a port'],
  ['https://[12345::1]/', 'has no IPv6 address in its brackets'],
  ['https://0.0.0.0/', 'has a private or special address'],
  ['https://10.1.2.3/', 'has a private or special address'],
  ['https://100.64.0.1/', 'has a private or special address'],
  ['https://127.0.0.1/', 'has a private or special address'],
  ['https://127.255.255.254/', 'has a private or special address'],
  ['https://169.254.169.254/latest/meta-data/', 'has a private or special address'],
  ['https://172.16.0.1/', 'has a private or special address'],
  ['https://172.31.255.255/', 'has a private or special address'],
  ['https://192.0.0.8/', 'has a private or special address'],
  ['https://192.168.1.1/', 'has a private or special address'],
  ['https://198.18.0.1/', 'has a private or special address'],
  ['https://203.0.113.9/', 'has a private or special address'],
  ['https://224.0.0.1/', 'has a private or special address'],
  ['https://255.255.255.255/', 'has a private or special address'],
  ['https://2130706433/', 'not written as four decimal numbers'],
  ['https://0x7f000001/', 'not written as four decimal numbers'],
  ['https://0x7f.1/', 'not written as four decimal numbers'],
  ['https://0X7F.0.0.1/', 'not written as four decimal numbers'],
  ['https://017700000001/', 'not written as four decimal numbers'],
  ['https://0177.0.0.1/', 'not written as four decimal numbers'],
  ['https://127.1/', 'not written as four decimal numbers'],
  ['https://8.8.8/', 'not written as four decimal numbers'],
  ['https://08.8.8.8/', 'not written as four decimal numbers'],
  ['https://256.1.1.1/', 'not written as four decimal numbers'],
  ['https://example.0x/', 'not written as four decimal numbers'],
  ['https://[::1]/', 'has a private or special address'],
  ['https://[::]/', 'has a private or special address'],
  ['https://[0:0:0:0:0:0:0:1]/', 'has a private or special address'],
  ['https://[::ffff:127.0.0.1]/', 'has a private or special address'],
  ['https://[::ffff:8.8.8.8]/', 'has a private or special address'],
  ['https://[64:ff9b::7f00:1]/', 'has a private or special address'],
  ['https://[fc00::1]/', 'has a private or special address'],
  ['https://[fd12:3456::1]/', 'has a private or special address'],
  ['https://[fe80::1]/', 'has a private or special address'],
  ['https://[ff02::1]/', 'has a private or special address'],
  ['https://[2001:db8::1]/', 'has a private or special address'],
  ['https://[2002:7f00:1::]/', 'has a private or special address'],
  ['https://[2001::1]/', 'has a private or special address'],
  ['https://localhost/', 'known inside a private network only'],
  ['https://LOCALHOST:8080/', 'known inside a private network only'],
  ['https://api.localhost/', 'known inside a private network only'],
  ['https://printer.local/', 'known inside a private network only'],
  ['https://metadata.google.internal/', 'known inside a private network only'],
  ['https://kubernetes/', 'has a host without a domain'],
  ['https://-bad.example.com/', 'no name of the DNS'],
  ['https://a..example.com/', 'no name of the DNS'],
  ['https://.example.com/', 'no name of the DNS'],
  [`https://${'a'.repeat(64)}.example.com/`, 'no name of the DNS'],
  [`https://${'a.'.repeat(127)}com/`, 'no name of the DNS'],
  ['https://exa$mple.com/', 'no name of the DNS'],
];

const LOOPBACK = ['http://localhost:4000/hook', 'http://127.0.0.1:4000/', 'https://127.8.9.1/', 'http://[::1]:4000/'];

describe.each<PostgresMajor>(['15', '17'])('on Postgres %s', (version) => {
  let server: Awaited<ReturnType<typeof startServer>>;
  let database: TestDatabase;
  beforeAll(async () => {
    server = await startServer(version);
    database = await createTestDatabase({ server: server.url() });
  }, 120_000);
  afterAll(async () => {
    await database[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  const judge = async (url: string, onLoopback = false): Promise<{ problem: string | null; hint: string | null }> => {
    const rows = await database.query<{ problem: string | null; hint: string | null }>(
      'SELECT * FROM walpost_internal.endpoint_url_problem($1, $2)',
      [url, onLoopback],
    );
    return rows[0] ?? { problem: 'none', hint: null };
  };

  test.each(ACCEPTED)('%s is accepted, and Node reads the same host', async (url) => {
    expect(await judge(url)).toEqual({ problem: null, hint: null });
    const { hostname, username, password, protocol } = new URL(url);
    expect(isRefusedHost(hostname)).toBe(false);
    expect(url.toLowerCase()).toContain(`//${hostname}`);
    expect({ username, password, protocol }).toEqual({ username: '', password: '', protocol: 'https:' });
  });

  test.each(REFUSED)('%j is refused: %s', async (url, problem) => {
    const found = await judge(url);
    expect(found.problem).toContain(problem);
    expect(found.hint).toMatch(/\.$/);
    expect(JSON.stringify(found)).not.toMatch(/s3cr3t|169\.254|Injected/);
  });

  test.each(LOOPBACK)('%s is accepted where endpoints_on_loopback says so, and nowhere else', async (url) => {
    expect((await judge(url, true)).problem).toBeNull();
    const { problem, hint } = await judge(url, false);
    expect(problem).not.toBeNull();
    expect(hint).toContain('endpoints_on_loopback');
  });

  test.each([
    'http://10.0.0.1/',
    'http://example.com/',
    'https://[::ffff:127.0.0.1]/',
    'http://127.0.0.1.nip.io/',
    'http://0x7f.1/',
  ])('%s is refused with endpoints_on_loopback too', async (url) =>
    expect((await judge(url, true)).problem).not.toBeNull(),
  );

  test('what is accepted has the host that Node connects to, for any mixture of the parts', async () => {
    const hosts = [
      'example.com',
      '127.0.0.1',
      '0x7f.1',
      '8.8.8.8',
      '[::1]',
      'localhost',
      '1',
      'a.b',
      'xn--bcher-kva.de',
      '',
      '.',
      '..',
    ];
    const joints = ['', '@', '\\', '%00', '\t', '.', ':', ':1', ':80', '/', '//', '?', '#', '[', ']', ' ', '。', '­'];
    const urls = hosts.flatMap((one) =>
      joints.flatMap((joint) =>
        ['', ...hosts].flatMap((two) =>
          ['https://', 'https:\\\\', 'https:/'].map((head) => `${head}${one}${joint}${two}`),
        ),
      ),
    );
    const rows = await database.query<{ url: string }>(
      `SELECT u.url FROM unnest($1::text[]) AS u (url), walpost_internal.endpoint_url_problem(u.url, false) AS p WHERE p.problem IS NULL`,
      [urls],
    );
    expect(rows.length).toBeGreaterThan(50);
    for (const { url } of rows) {
      const { hostname } = new URL(url);
      expect(url.slice('https://'.length).startsWith(hostname), `${url} leads to ${hostname}`).toBe(true);
      expect(isRefusedHost(hostname), `${url} is tried`).toBe(false);
    }
  });
});
