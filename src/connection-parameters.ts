/**
 * The parameters behind the ? of a connection string: which walpost reads, and which it must not overlook.
 *
 * A name that walpost does not know is passed over, because strings come with parameters of other programs. Where passing
 * over would connect to another server, or less safely than the text says, the string is refused. No sentence here holds
 * a name or a value of the text, which may be a piece of a password.
 */
export const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'no-verify', 'verify-ca', 'verify-full'] as const;

/** As libpq has them, with `no-verify`, which is the driver's other name for `require`. */
export type SslMode = (typeof SSL_MODES)[number];

const PROTOCOLS = ['TLSv1.2', 'TLSv1.3'];

/** Names that begin with ssl and that are read, or that change nothing here. */
const SSL_NAMES: ReadonlySet<string> = new Set([
  'ssl',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslpassword',
  'sslcrl',
  'sslnegotiation',
  'ssl_min_protocol_version',
  'ssl_max_protocol_version',
  'sslcompression',
  'sslcertmode',
  'sslsni',
]);

const REFUSED: Readonly<Record<string, string>> = {
  service: 'names a service, and service files are not read; write postgres://USER:PASSWORD@HOST:PORT/DATABASE',
  servicefile: 'names a service file, which is not read; write postgres://USER:PASSWORD@HOST:PORT/DATABASE',
  hostaddr:
    'has hostaddr, which is not read; write the address as the host, with sslmode=verify-ca where TLS is checked',
  require_auth: 'has require_auth, which is not read; leave it out, and let pg_hba.conf say how to authenticate',
  requirepeer: 'has requirepeer, which is not read; leave it out',
};

/** Names and values, decoded, in the order of the text. */
export function parametersOf(url: string): [name: string, value: string][] {
  const at = url.indexOf('?');
  const pairs = at < 0 ? [] : url.slice(at + 1).split('&');
  return pairs
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [name = '', ...value] = pair.split('=');
      const text = value.join('=');
      // What builds URLs writes a space as +. Only here is that certain: a + can belong to a password or a path.
      return [decodeURIComponent(name), decodeURIComponent(name === 'options' ? text.replaceAll('+', ' ') : text)];
    });
}

/** What is wrong with the parameters, and what to write instead. */
export function parameterProblem(pairs: readonly (readonly [string, string])[]): string | undefined {
  const given = new Map(pairs);
  if (given.size < pairs.length) return 'gives one parameter twice; leave one of them out';
  const refused = [...given.keys()].map((name) => REFUSED[name]).find((text) => text !== undefined);
  if (refused !== undefined) return refused;
  const port = given.get('port');
  if (port !== undefined && !isPort(port)) return 'has a port that is no number from 1 to 65535';
  const isUnknown = (name: string): boolean => /^s*ssl/i.test(name) && !SSL_NAMES.has(name);
  if ([...given.keys()].some(isUnknown)) {
    return `has an ssl parameter that does not exist; those that do are ${[...SSL_NAMES].slice(1, 10).join(', ')}`;
  }
  return modeProblem(given) ?? bindingProblem(given) ?? filesProblem(given);
}

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;

/** What sslmode, or the driver's older `ssl`, asks for; undefined when neither is given. Takes parameters without a problem. */
export function sslModeOf(given: ReadonlyMap<string, string>): SslMode | undefined {
  const mode = given.get('sslmode');
  if (mode !== undefined) return mode as SslMode;
  const ssl = given.get('ssl');
  if (ssl === undefined) return undefined;
  if (ssl === 'no-verify') return 'no-verify';
  return ssl === 'true' || ssl === '1' ? 'verify-full' : 'disable';
}

/** Modes in which the connection may come about without TLS. */
const mayBePlain = (given: ReadonlyMap<string, string>): boolean =>
  ['disable', 'allow', 'prefer'].includes(sslModeOf(given) ?? 'disable');

function bindingProblem(given: ReadonlyMap<string, string>): string | undefined {
  const [binding = 'prefer', gss = 'prefer'] = [given.get('channel_binding'), given.get('gssencmode')];
  if (!['disable', 'prefer', 'require'].includes(binding)) {
    return 'has a channel_binding that does not exist; write channel_binding=require, with sslmode=verify-full';
  }
  if (binding === 'require' && mayBePlain(given)) {
    return 'has channel_binding=require without TLS; add sslmode=verify-full';
  }
  if (!['disable', 'prefer'].includes(gss)) {
    return 'has a gssencmode that is not read, because walpost encrypts with TLS alone; write sslmode=verify-full';
  }
  return undefined;
}

function modeProblem(given: ReadonlyMap<string, string>): string | undefined {
  const known: readonly string[] = SSL_MODES;
  if (!known.includes(given.get('sslmode') ?? 'disable')) {
    return 'has an sslmode that does not exist; write disable, allow, prefer, require, verify-ca or verify-full';
  }
  if (!['true', 'false', '1', '0', 'no-verify'].includes(given.get('ssl') ?? '0')) {
    return 'has an ssl that is not true or false; write sslmode=verify-full or sslmode=disable';
  }
  const isDirect = given.get('sslnegotiation') === 'direct';
  if (!isDirect && (given.get('sslnegotiation') ?? 'postgres') !== 'postgres') {
    return 'has an sslnegotiation that is neither postgres nor direct';
  }
  if (isDirect && mayBePlain(given)) {
    return 'has sslnegotiation=direct without TLS; add sslmode=verify-full';
  }
  const versions = [given.get('ssl_min_protocol_version'), given.get('ssl_max_protocol_version')];
  if (versions.some((text) => text !== undefined && !PROTOCOLS.includes(text))) {
    return `has a version of TLS that is not one of ${PROTOCOLS.join(', ')}`;
  }
  return undefined;
}

function filesProblem(given: ReadonlyMap<string, string>): string | undefined {
  const mode = sslModeOf(given);
  const root = given.get('sslrootcert');
  if ((mode === undefined || mode === 'disable') && (root ?? given.get('sslcert') ?? given.get('sslkey'))) {
    return 'names certificates without TLS; add sslmode=verify-full';
  }
  if (given.has('sslcert') !== given.has('sslkey')) return 'has sslcert without sslkey, or the other way round';
  if (mode === 'verify-ca' && root === undefined) {
    return 'sslmode=verify-ca needs sslrootcert, the file of the CA; with a public CA write sslmode=verify-full';
  }
  if (root === 'system' && mode !== 'verify-full') {
    return 'sslrootcert=system needs sslmode=verify-full, because anybody can get a certificate of a public CA';
  }
  return undefined;
}
