/**
 * TLS as libpq's sslmode means it. The files are read for each connection, so that a CA or a certificate that is replaced
 * while walpost runs is used from the next connection on.
 * https://www.postgresql.org/docs/current/libpq-ssl.html
 */
import { existsSync, readFileSync } from 'node:fs';
import tls from 'node:tls';
import { isSocket, sslModeWanted } from '../connection-environment.ts';
import type { SslMode } from '../connection-parameters.ts';
import { WalpostError } from '../errors.ts';

/** What the parameters of a connection string ask for; undefined is no TLS. */
export interface TlsWish {
  readonly mode: Exclude<SslMode, 'disable'>;
  readonly parameters: ReadonlyMap<string, string>;
}

/** Where distributions keep the CAs of the system. */
const SYSTEM_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

export function tlsWish(parameters: ReadonlyMap<string, string>, host: string | undefined): TlsWish | undefined {
  if (isSocket(host, process.env)) return undefined;
  const mode = sslModeWanted(parameters, process.env);
  return mode === 'disable' ? undefined : { mode, parameters };
}

/** allow and prefer go on without TLS when the server offers none. */
export function mayBePlain({ mode }: TlsWish): boolean {
  return mode === 'allow' || mode === 'prefer';
}

/** Reads the files that the connection string names. */
export function tlsOptions(wish: TlsWish): tls.ConnectionOptions {
  const { mode, parameters } = wish;
  const text = (name: string): string | undefined => {
    const path = parameters.get(name);
    return path ? readPem(name, path) : undefined;
  };
  const ca = parameters.get('sslrootcert') === 'system' ? systemCas() : text('sslrootcert');
  const own = { ca, cert: text('sslcert'), key: text('sslkey'), crl: text('sslcrl') };
  const more = {
    passphrase: parameters.get('sslpassword'),
    minVersion: parameters.get('ssl_min_protocol_version') as tls.SecureVersion | undefined,
    maxVersion: parameters.get('ssl_max_protocol_version') as tls.SecureVersion | undefined,
  };
  const given = Object.entries({ ...own, ...more }).filter(([, value]) => value !== undefined);
  return { ...(Object.fromEntries(given) as tls.ConnectionOptions), ...verification(mode, ca !== undefined) };
}

/** require with a CA checks the certificate, as in libpq. Without a CA of its own, verify-ca means nothing, so the name counts too. */
function verification(mode: TlsWish['mode'], hasCa: boolean): tls.ConnectionOptions {
  if (mode === 'verify-full' || (mode === 'verify-ca' && !hasCa)) return { rejectUnauthorized: true };
  if (mode === 'verify-ca' || (mode === 'require' && hasCa)) {
    return { rejectUnauthorized: true, checkServerIdentity: () => undefined };
  }
  return { rejectUnauthorized: false };
}

function readPem(parameter: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new WalpostError('TLS_FILE', { detail: `${parameter} names ${path} (${code}).` });
  }
  if (text.includes('-----BEGIN ')) return text;
  throw new WalpostError('TLS_FILE', { detail: `${parameter} names ${path}, which is not in PEM format.` });
}

/** What OpenSSL trusts on this machine. Node 20 cannot tell, so the files of the usual distributions are looked for. */
function systemCas(): string | string[] {
  const named = process.env['SSL_CERT_FILE'];
  if (named) return readPem('SSL_CERT_FILE', named);
  const asked = (tls as { getCACertificates?: (type: string) => string[] }).getCACertificates?.('system');
  if (asked && asked.length > 0) return asked;
  const path = SYSTEM_FILES.find((candidate) => existsSync(candidate));
  if (path !== undefined) return readPem('sslrootcert=system', path);
  throw new WalpostError('TLS_FILE', {
    detail: 'sslrootcert=system finds no CAs on this machine.',
    remedy:
      'Install the package ca-certificates, or set SSL_CERT_FILE, or leave sslrootcert out: Node brings CAs along.',
  });
}
