/**
 * Variables of libpq that say how safely to connect. Of these walpost reads PGSSLMODE alone. Any other that is set, and that
 * the connection string does not answer itself, would be passed over without a word: it is refused, as is a mode that does
 * not exist. No sentence here holds a value.
 */
import { SSL_MODES, type SslMode, sslModeOf } from './connection-parameters.ts';

export type ConnectionEnvironment = Readonly<Record<string, string | undefined>>;

export interface EnvironmentProblem {
  readonly variable: string;
  readonly message: string;
}

interface Unread {
  readonly parameter: string;
  /** Values that ask for nothing that walpost leaves out. */
  readonly harmless?: readonly string[];
  /** In place of writing the parameter into database.url. */
  readonly instead?: string;
}

const OF_TLS: Readonly<Record<string, Unread>> = {
  PGREQUIRESSL: { parameter: 'sslmode', harmless: ['0'], instead: 'write sslmode=verify-full into database.url' },
  PGSSLROOTCERT: { parameter: 'sslrootcert' },
  PGSSLCERT: { parameter: 'sslcert' },
  PGSSLKEY: { parameter: 'sslkey' },
  PGSSLCRL: { parameter: 'sslcrl' },
  PGSSLCRLDIR: { parameter: 'sslcrl', instead: 'name one file with sslcrl=… in database.url' },
  PGSSLNEGOTIATION: { parameter: 'sslnegotiation', harmless: ['postgres'] },
  PGSSLMINPROTOCOLVERSION: { parameter: 'ssl_min_protocol_version' },
  PGSSLMAXPROTOCOLVERSION: { parameter: 'ssl_max_protocol_version' },
  PGSSLCERTMODE: { parameter: 'sslcertmode' },
  PGSSLCOMPRESSION: { parameter: 'sslcompression', harmless: ['0'] },
  PGSSLSNI: { parameter: 'sslsni', harmless: ['1'] },
};

const OF_LOGIN: Readonly<Record<string, Unread>> = {
  PGCHANNELBINDING: { parameter: 'channel_binding', harmless: ['disable', 'prefer'] },
  PGGSSENCMODE: {
    parameter: 'gssencmode',
    harmless: ['disable', 'prefer'],
    instead: 'write sslmode=verify-full into database.url',
  },
  PGREQUIREAUTH: { parameter: 'require_auth', instead: 'let pg_hba.conf say how to authenticate' },
  PGREQUIREPEER: { parameter: 'requirepeer', instead: 'let the rights of the socket say who may serve there' },
};

/** What libpq reads to find the server and to log in; for these too `.env` is not the environment of the process. */
const OTHERS = ['PGHOST', 'PGPORT', 'PGDATABASE', 'PGUSER', 'PGPASSWORD', 'PGPASSFILE', 'PGSSLMODE'];
const OF_LIBPQ: ReadonlySet<string> = new Set([...OTHERS, ...Object.keys({ ...OF_TLS, ...OF_LOGIN })]);

export function isOfLibpq(variable: string): boolean {
  return OF_LIBPQ.has(variable);
}

/** Where a connection goes, as far as the connection string says. */
interface Destination {
  readonly host: string | undefined;
  readonly parameters: ReadonlyMap<string, string>;
}

/** A socket has no network to protect, and the server offers no TLS there. */
export function isSocket(host: string | undefined, env: ConnectionEnvironment): boolean {
  return (host ?? env['PGHOST'] ?? '').startsWith('/');
}

/** What PGSSLMODE asks for where it exists; a parameter of the connection string wins. */
export function sslModeWanted(parameters: ReadonlyMap<string, string>, env: ConnectionEnvironment): SslMode {
  return sslModeOf(parameters) ?? SSL_MODES.find((mode) => mode === env['PGSSLMODE']) ?? 'disable';
}

/** Takes parameters without a problem. */
export function environmentProblems(
  { host, parameters }: Destination,
  env: ConnectionEnvironment,
): EnvironmentProblem[] {
  const unread = Object.entries(isSocket(host, env) ? OF_LOGIN : { ...OF_TLS, ...OF_LOGIN });
  const refused = unread.filter(([variable, { parameter, harmless = [] }]) => {
    const value = env[variable];
    return value && !harmless.includes(value) && !parameters.has(parameter);
  });
  const problems = refused.map(([variable, { parameter, instead }]) => ({
    variable,
    message: `is set, and is not read; ${instead ?? `write ${parameter}=… into database.url`}, and unset it`,
  }));
  const mode = env['PGSSLMODE'];
  const isAsked = mode && sslModeOf(parameters) === undefined && !isSocket(host, env);
  if (!isAsked || SSL_MODES.some((known) => known === mode)) return problems;
  const message = `is a mode that does not exist; write ${SSL_MODES.filter((known) => known !== 'no-verify').join(', ')}`;
  return [{ variable: 'PGSSLMODE', message }, ...problems];
}
