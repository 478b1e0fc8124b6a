/** TLS against a real server with certificates of a private CA: every sslmode, and every way in which it fails. */
import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { WalpostError } from '../../src/errors.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { replicationConfig } from '../../src/slot/replication-client.ts';
import { checkServer } from '../../src/slot/server-checks.ts';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { newClient } from '../support/client.ts';
import { type Certificate, Certificates } from '../support/certificates.ts';
import { createTestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { TlsFront } from '../support/tls-front.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const files = new Certificates();
let server: Awaited<ReturnType<typeof startServer>>;
let ca: Certificate;
let otherCa: Certificate;

beforeAll(async () => {
  [ca, otherCa] = [files.ca('ca'), files.ca('other-ca')];
  files.serve(files.issue(ca));
  server = await startServer('17', {
    settings: {
      ssl: 'on',
      ssl_cert_file: files.path('server.crt'),
      ssl_key_file: files.path('server.key'),
      ssl_ca_file: ca.cert,
    },
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  files[Symbol.dispose]();
});

interface Way {
  readonly host?: string;
  readonly user?: string;
  readonly port?: number;
}

function url(parameters: Record<string, string> = {}, { host = 'localhost', user, port }: Way = {}): string {
  const made = new URL(server.url());
  made.hostname = host;
  if (user !== undefined) made.username = user;
  if (port !== undefined) made.port = String(port);
  for (const [name, value] of Object.entries(parameters)) made.searchParams.set(name, value);
  return made.href;
}

/** Whether the session is encrypted, or the code of the refusal, with its policy. */
async function outcome(to: string): Promise<string> {
  const pool = createPool(to, { applicationName: 'walpost test', max: 1 });
  try {
    const { rows } = await pool.query<{ ssl: boolean }>('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    // What the relay opens beside a pool: clients of its own, and one for replication.
    await checkServer({ url: to });
    return rows[0]?.ssl ? 'encrypted' : 'plain';
  } catch {
    const refusal = await checkServer({ url: to }).then(
      () => undefined,
      (error: unknown) => error as WalpostError,
    );
    expect(refusal?.remedy).toMatch(/^[A-Z].{20,}\.$/);
    return `${refusal?.code} ${refusal?.policy}`;
  } finally {
    await pool.end();
  }
}

async function serve(certificate: Certificate): Promise<void> {
  files.serve(certificate);
  await server.restart();
}

describe('a server with a certificate of a private CA for localhost', () => {
  test.each<[Record<string, string>, string]>([
    [{}, 'plain'],
    [{ sslmode: 'disable' }, 'plain'],
    [{ sslmode: 'allow' }, 'encrypted'],
    [{ sslmode: 'prefer' }, 'encrypted'],
    [{ sslmode: 'require' }, 'encrypted'],
    [{ sslmode: 'no-verify' }, 'encrypted'],
    [{ sslmode: 'require', sslrootcert: 'ca' }, 'encrypted'],
    [{ sslmode: 'require', sslrootcert: 'other-ca' }, 'TLS_UNTRUSTED retry'],
    [{ sslmode: 'verify-ca', sslrootcert: 'ca' }, 'encrypted'],
    [{ sslmode: 'verify-ca', sslrootcert: 'other-ca' }, 'TLS_UNTRUSTED retry'],
    [{ sslmode: 'verify-full', sslrootcert: 'ca' }, 'encrypted'],
    [{ sslmode: 'verify-full' }, 'TLS_UNTRUSTED retry'],
    [{ sslmode: 'verify-full', sslrootcert: 'system' }, 'TLS_UNTRUSTED retry'],
    [{ ssl: 'true' }, 'TLS_UNTRUSTED retry'],
    [{ sslmode: 'require', sslnegotiation: 'direct' }, 'encrypted'],
    [{ sslmode: 'verify-full', sslrootcert: 'ca', channel_binding: 'require' }, 'encrypted'],
    [{ sslmode: 'require', ssl_min_protocol_version: 'TLSv1.3' }, 'encrypted'],
    [{ sslmode: 'verify-full', sslrootcert: 'missing' }, 'TLS_FILE retry'],
    [{ sslmode: 'require', sslcert: 'ca', sslkey: 'missing' }, 'TLS_FILE retry'],
  ])('%j: %s', async (given, expected) => {
    const { sslrootcert, sslcert, sslkey, ...rest } = given;
    const file = (name: string | undefined, kind: string) =>
      name && (name === 'system' ? name : files.path(`${name}.${kind}`));
    const certificates = {
      sslrootcert: file(sslrootcert, 'crt'),
      sslcert: file(sslcert, 'crt'),
      sslkey: file(sslkey, 'key'),
    };
    const named = Object.entries(certificates).filter((entry): entry is [string, string] => entry[1] !== undefined);
    expect(await outcome(url({ ...rest, ...Object.fromEntries(named) }))).toBe(expected);
  });

  test('the address instead of the name: refused by verify-full, and not looked at by verify-ca', async () => {
    const way = { host: '127.0.0.1' };
    expect(await outcome(url({ sslmode: 'verify-full', sslrootcert: ca.cert }, way))).toBe('TLS_HOST_NAME operator');
    expect(await outcome(url({ sslmode: 'verify-ca', sslrootcert: ca.cert }, way))).toBe('encrypted');
  });

  test('sslrootcert=system is what OpenSSL trusts', async () => {
    vi.stubEnv('SSL_CERT_FILE', ca.cert);
    expect(await outcome(url({ sslmode: 'verify-full', sslrootcert: 'system' }))).toBe('encrypted');
    vi.unstubAllEnvs();
  });

  test('PGSSLMODE is read, and one that does not exist is refused', async () => {
    vi.stubEnv('PGSSLMODE', 'require');
    expect(await outcome(url())).toBe('encrypted');
    vi.stubEnv('PGSSLMODE', 'verify_full');
    expect(() => createPool(url(), { applicationName: 'walpost test', max: 1 })).toThrow(
      /PGSSLMODE is a mode that does/,
    );
    await expect(checkServer({ url: url() })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect(() => replicationConfig({ url: url() })).toThrow(/PGSSLMODE is a mode that does/);
    expect(await outcome(url({ sslmode: 'require' }))).toBe('encrypted');
    vi.stubEnv('PGSSLMODE', undefined);
    vi.stubEnv('PGCHANNELBINDING', 'require');
    await expect(checkServer({ url: url() })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    vi.unstubAllEnvs();
  });

  test('a file that is no certificate, and a key of another certificate', async () => {
    const text = files.path('text.crt');
    writeFileSync(text, 'no certificate');
    expect(await outcome(url({ sslmode: 'verify-ca', sslrootcert: text }))).toBe('TLS_FILE retry');
    const own = { sslcert: ca.cert, sslkey: otherCa.key };
    expect(await outcome(url({ sslmode: 'require', ...own }))).toBe('TLS_FILE retry');
  });
});

describe('what pg_hba.conf demands', () => {
  beforeAll(async () => {
    const hba = join(server.dataDirectory, 'pg_hba.conf');
    copyFileSync(hba, files.path('pg_hba.conf'));
    writeFileSync(hba, 'hostssl all by_certificate all cert\nhostssl all all all scram-sha-256\n');
    await server.restart();
    const pool = createPool(url({ sslmode: 'require' }), { applicationName: 'walpost test', max: 1 });
    await pool.query('CREATE ROLE by_certificate LOGIN REPLICATION SUPERUSER');
    await pool.end();
  });

  afterAll(async () => {
    copyFileSync(files.path('pg_hba.conf'), join(server.dataDirectory, 'pg_hba.conf'));
    await server.restart();
  });

  test('TLS', async () => {
    expect(await outcome(url())).toBe('TLS_REQUIRED operator');
    expect(await outcome(url({ sslmode: 'prefer' }))).toBe('encrypted');
  });

  test('a client certificate', async () => {
    const user = 'by_certificate';
    const own = files.issue(ca, { name: user });
    const strange = files.issue(otherCa, { name: user });
    const named = ({ cert, key }: Certificate) => url({ sslmode: 'require', sslcert: cert, sslkey: key }, { user });
    expect(await outcome(named(own))).toBe('encrypted');
    expect(await outcome(url({ sslmode: 'require' }, { user }))).toBe('TLS_CLIENT_CERTIFICATE operator');
    expect(await outcome(named(strange))).toBe('TLS_CLIENT_REFUSED retry');
    expect(await outcome(named(files.issue(ca, { name: 'somebody' })))).toBe('AUTHENTICATION operator');
  });
});

describe('channel_binding=require', () => {
  const hba = (): string => join(server.dataDirectory, 'pg_hba.conf');
  const required = (way: Way = {}): string =>
    url({ sslmode: 'verify-full', sslrootcert: ca.cert, channel_binding: 'require' }, way);

  beforeAll(async () => {
    copyFileSync(hba(), files.path('pg_hba.conf'));
    const pool = createPool(url({ sslmode: 'require' }), { applicationName: 'walpost test', max: 1 });
    const { password } = new URL(server.url());
    await pool.query(`SET password_encryption = md5; CREATE ROLE by_md5 SUPERUSER LOGIN PASSWORD '${password}'`);
    await pool.end();
  });

  afterAll(async () => {
    copyFileSync(files.path('pg_hba.conf'), hba());
    await server.restart();
  });

  test.each([
    ['scram-sha-256', 'encrypted'],
    ['password', 'CHANNEL_BINDING operator'],
    ['md5', 'CHANNEL_BINDING operator'],
    ['trust', 'CHANNEL_BINDING operator'],
  ])('a server that wants %s: %s', async (method, expected) => {
    const way = method === 'md5' ? { user: 'by_md5' } : {};
    writeFileSync(hba(), `hostssl all all all ${method}\nhostssl replication all all ${method}\n`);
    await server.restart();
    expect(await outcome(required(way))).toBe(expected);
    writeFileSync(hba(), 'hostssl all all all scram-sha-256\n');
    await server.restart();
  });

  test('somebody in between who has a certificate for the name learns nothing of the password', async () => {
    writeFileSync(hba(), 'host all all all scram-sha-256\n');
    await server.restart();
    await using front = await TlsFront.start(files.issue(ca), server.port);
    const unbound = url({ sslmode: 'verify-full', sslrootcert: ca.cert }, { port: front.port });
    expect(await outcome(unbound)).toBe('plain');
    expect(front.messages).toContain('p');
    await using other = await TlsFront.start(files.issue(ca), server.port);
    const refused = required({ port: other.port });
    expect(await outcome(refused)).toBe('CHANNEL_BINDING operator');
    const { config } = replicationConfig({ url: refused });
    const client = newClient(config);
    await expect(client.connect()).rejects.toMatchObject({ code: 'CHANNEL_BINDING' });
    expect(other.messages).toBe('');
  });
});

test('a certificate that has expired', async () => {
  const good = files.issue(ca);
  await serve(files.issue(ca, { expired: true }));
  expect(await outcome(url({ sslmode: 'verify-full', sslrootcert: ca.cert }))).toBe('TLS_EXPIRED retry');
  await serve(good);
});

test('a server without TLS', async () => {
  await using other = await startServer();
  const way = { port: other.port };
  expect(await outcome(url({ sslmode: 'require' }, way))).toBe('TLS_NOT_OFFERED operator');
  expect(await outcome(url({ sslmode: 'prefer' }, way))).toBe('plain');
  expect(await outcome(url({ sslmode: 'allow' }, way))).toBe('plain');
});

test('what answers at the port is no Postgres server', async () => {
  const web = createHttpServer().listen(0, '127.0.0.1');
  await once(web, 'listening');
  const { port } = web.address() as AddressInfo;
  const to = url({ sslmode: 'require' }, { host: '127.0.0.1', port });
  expect(await outcome(to)).toBe('TLS_HANDSHAKE retry');
  await expect(checkServer({ url: to })).rejects.toThrow('What answers is no Postgres server.');
  web.close();
});

test('a CA that changes while it runs: it waits, says why, and goes on when the file fits', async () => {
  await using database = await createTestDatabase({ server: server.url() });
  await using receiver = await EventReceiver.start();
  const bundle = files.path('bundle.crt');
  copyFileSync(ca.cert, bundle);
  const to = new URL(url({ sslmode: 'verify-full', sslrootcert: bundle }));
  to.pathname = `/${database.name}`;
  await using walpost = await RunningWalpost.start({ database, sinks: { hook: receiver.sink() }, url: to.href });
  await serve(files.issue(otherCa));
  await walpost.cli.prints(/"code":"TLS_UNTRUSTED"/);
  copyFileSync(otherCa.cert, bundle);
  await walpost.cli.prints(/("msg":"streaming from[^]*){2}/);
  const pool = createPool(to.href, { applicationName: 'walpost test', max: 1 });
  await pool.query(`SELECT walpost.publish(gen_random_uuid(), 'a.b', '{}')`);
  await pool.end();
  await receiver.received(1);
  expect(walpost.cli.stderr).not.toMatch(/^[^{\n]/m); // every line is one of the log
  expect(await walpost.stop()).toMatchObject({ code: 0 });
  await serve(files.issue(ca));
});
