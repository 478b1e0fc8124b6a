/**
 * What a connection string must look like, more narrowly than drivers read it.
 *
 * A driver makes something of almost any text. With a password that is not encoded, or without the scheme, parts of the
 * password become the host, the port or the name of the database, and come back in the sentences of the driver, the
 * resolver and the server. Such a string is refused before anybody connects, and the refusal says what to write instead.
 */
import { parameterProblem, parametersOf } from './connection-parameters.ts';

const ENCODE = 'in a user name or password write % as %25, @ as %40, # as %23, / as %2F, ? as %3F';
const WRITE = 'write postgres://USER:PASSWORD@HOST:PORT/DATABASE';
const FORM =
  /^postgres(?:ql)?:\/\/(?:(?<user>[^@]*)@)?(?<host>\[[\da-f:.]+\]|[^/?:]*)(?::(?<port>\d*))?(?:\/(?<database>[^?]*))?(?:\?.*)?$/i;
const HOST = /^(?:[\w.%~-]*|\[[\da-f:.]+\])$/i;

/** What is wrong and what to write instead, in words that hold nothing of the text; undefined when it is read as it is meant. */
export function connectionStringProblem(url: string): string | undefined {
  if (!/^postgres(ql)?:\/\//i.test(url)) return otherForm(url);
  if (/[\p{Cc}\s]/u.test(url)) return 'holds a space, a line break or a control character; write a space as %20';
  if (/%(?![\da-f]{2})/i.test(url)) return `holds a % that encodes nothing; ${ENCODE}`;
  if (url.includes('#')) return `holds a #; ${ENCODE}`;
  const authority = /^[^/]*\/\/([^/?]*)/.exec(url)?.[1] ?? '';
  const marks = url.split('@').length - 1;
  if (marks > 1 || (marks === 1 && !authority.includes('@')))
    return `holds an @, / or ? that is not encoded; ${ENCODE}`;
  if (!decodes(url)) return `holds %-codes that are not UTF-8; ${ENCODE}`;
  return hostProblem(url, authority) ?? parameterProblem(parametersOf(url));
}

/** Forms that libpq reads and walpost does not. */
function otherForm(url: string): string {
  if (/(^|\s)service(file)?\s*=/.test(url)) return `must begin with postgres://; service files are not read: ${WRITE}`;
  if (/^\s*\w+\s*=/.test(url)) return `must begin with postgres://; key=value strings are not read: ${WRITE}`;
  if (url.startsWith('/')) {
    return 'must begin with postgres://; for a socket write postgres://USER:PASSWORD@/DATABASE?host=/DIRECTORY';
  }
  return `must begin with postgres://: ${WRITE}`;
}

function hostProblem(url: string, authority: string): string | undefined {
  const { host = '', port } = FORM.exec(url)?.groups ?? {};
  const place = authority.slice(authority.indexOf('@') + 1);
  const hosts = [place, ...parametersOf(url).flatMap(([name, value]) => (isPlace(name) ? [value] : []))];
  if (hosts.some((text) => decodeURIComponent(text).includes(','))) {
    return 'names several hosts, and walpost connects to one; write the primary, or a name that always leads to it';
  }
  if (!FORM.test(url) || !HOST.test(host)) return 'has no host, or no port that is a number, where one should be';
  return port !== undefined && Number(port) > 65_535 ? 'has a port above 65535' : undefined;
}

const isPlace = (name: string): boolean => name === 'host' || name === 'port' || name === 'hostaddr';

function decodes(url: string): boolean {
  try {
    decodeURIComponent(url);
    return true;
  } catch {
    return false;
  }
}

/** Where a connection goes and as whom; what is undefined has the driver's default. */
export interface ConnectionParts {
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** A name, an address, or the directory of a socket. */
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly database: string | undefined;
  /** The parameters behind the ?. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** The parts of a connection string that has no problem. As in libpq, a parameter wins over what comes before the ?. */
export function connectionParts(url: string): ConnectionParts {
  const found = FORM.exec(url)?.groups ?? {};
  const parameters = new Map(parametersOf(url));
  const [, user, password] = /^([^:]*):?(.*)$/.exec(found['user'] ?? '') ?? [];
  const part = (name: string, text: string | undefined): string | undefined =>
    (parameters.get(name) ?? decodeURIComponent(text ?? '')) || undefined;
  const port = part('port', found['port']);
  return {
    user: part('user', user),
    password: part('password', password),
    host: part('host', found['host']?.replace(/^\[(.*)\]$/, '$1')),
    port: port === undefined ? undefined : Number(port),
    database: part('dbname', found['database']),
    parameters,
  };
}
