/** The login in database.url: its rights, how it comes to the server, and how many connections it may open. */
import { isSocket } from '../../connection-environment.ts';
import { connectionParts } from '../../connection-string.ts';
import { isLoopback } from '../../loopback.ts';
import { tlsOptions, tlsWish } from '../../postgres/tls.ts';
import { quoteIdentifier } from '../../postgres/identifiers.ts';
import type { RelayRights } from '../../postgres/schema/relay-rights.ts';
import { LEADER_CONNECTIONS } from '../../relay/leadership/leadership.ts';
import { type DoctorFinding, finding } from '../finding.ts';
import { numberOf, type ServerState } from '../facts/server-state.ts';
import type { CheckContext } from './context.ts';

export function judgeRights(
  { relay, isThere, has, isMember }: RelayRights,
  server: ServerState,
  context: CheckContext,
) {
  if (has || server.isSuperuser) return [];
  const { role } = context;
  const subject = `role ${server.role}`;
  const group = quoteIdentifier(relay);
  if (!isThere) {
    const what = `There is no role ${relay}, and this login does not own the schema walpost.`;
    const remedy = `As an administrator: CREATE ROLE ${group} NOLOGIN; then \`walpost migrate\` as the owner of the schema, then GRANT ${group} TO ${role};`;
    return [finding('RELAY_ROLE', { subject, what, remedy })];
  }
  if (!isMember) {
    const what = `It is no member of ${relay}.`;
    return [finding('RELAY_ROLE', { subject, what, remedy: `GRANT ${group} TO ${role};` })];
  }
  const what = `It is a member of ${relay}, but does not inherit its rights.`;
  const remedy =
    server.version >= 160_000 ? `GRANT ${group} TO ${role} WITH INHERIT TRUE;` : `ALTER ROLE ${role} INHERIT;`;
  return [finding('RELAY_ROLE', { subject, what, remedy })];
}

const DAY = 86_400;

/** `relay`: walpost_relay, with the prefix of the installation. */
export function judgeLogin(server: ServerState, relay: string, context: CheckContext): DoctorFinding[] {
  const { role, limits } = context;
  const found: DoctorFinding[] = [];
  const subject = `role ${server.role}`;
  const { validFor } = server;
  if (validFor !== null && validFor < limits.validDays * DAY) {
    const what = validFor < 0 ? 'Its password has ended.' : `Its password ends in ${Math.ceil(validFor / DAY)} days.`;
    found.push(finding('ROLE_EXPIRES', { subject, what, remedy: `ALTER ROLE ${role} VALID UNTIL 'infinity';` }));
  }
  if (server.isSuperuser && !isNear(context)) {
    const remedy =
      `CREATE ROLE walpost_login LOGIN REPLICATION PASSWORD '…'; GRANT ${quoteIdentifier(relay)} TO walpost_login; ` +
      'then name it in database.url. `walpost migrate` needs the owner of the schema.';
    found.push(finding('RELAY_SUPERUSER', { subject, what: 'It is a superuser, and comes over the network.', remedy }));
  }
  return [...found, ...encryption(server, context)];
}

/** Nothing leaves this machine. */
function isNear({ host }: CheckContext): boolean {
  return isSocket(host, process.env) || isLoopback(host ?? 'localhost');
}

function encryption(server: ServerState, context: CheckContext): DoctorFinding[] {
  if (isNear(context)) return [];
  const { host = '', config, provider } = context;
  const see = provider ? ` docs/connecting.md: managed postgres, has the CA of ${provider.title}.` : '';
  if (!server.tls) {
    const remedy = `Add sslmode=verify-full to database.url, with sslrootcert=/path/ca.pem where the CA is private.${see}`;
    const what = 'The connection is not encrypted, and the server is on another machine.';
    return [finding('TLS_OFF', { subject: `server ${host}`, what, remedy })];
  }
  const wish = tlsWish(connectionParts(config.database.url).parameters, host);
  if (wish !== undefined && tlsOptions(wish).rejectUnauthorized === true) return [];
  const what = `sslmode=${wish?.mode ?? 'prefer'} encrypts, and does not check the certificate of the server.`;
  const remedy = `Write sslmode=verify-full in database.url, with sslrootcert=/path/ca.pem where the CA is private.${see}`;
  return [finding('TLS_UNCHECKED', { subject: `server ${host}`, what, remedy })];
}

interface Places {
  readonly subject: string;
  readonly limit: number;
  readonly used: number;
  /** For a limit under which the relay fits. */
  readonly raise: (limit: number) => string;
}

/** A leader has them all at once. Those that it has now count as free. */
export function judgeConnections(server: ServerState, context: CheckContext): DoctorFinding[] {
  const needed = context.config.database.pool_size + LEADER_CONNECTIONS;
  return placesOf(server, context).flatMap(({ subject, limit, used, raise }) => {
    const others = used - server.relayConnections;
    if (limit < 0 || limit - others >= needed) return [];
    const what = `\`walpost run\` opens up to ${needed} connections; of ${limit} that are allowed, others have ${others}.`;
    return [finding('CONNECTIONS_SHORT', { subject, what, remedy: raise(others + needed + 5) })];
  });
}

/** Limits of a role or a database do not bind superusers. */
function placesOf(server: ServerState, { role }: CheckContext): Places[] {
  const { isSuperuser, connections, roleLimit, roleConnections, databaseLimit, databaseConnections } = server;
  const own = ['superuser_reserved_connections', 'reserved_connections'].map((name) => numberOf(server, name) ?? 0);
  const reserved = isSuperuser ? 0 : own.reduce((sum, each) => sum + each, 0);
  const all: Places = {
    subject: 'max_connections',
    limit: (numberOf(server, 'max_connections') ?? Infinity) - reserved,
    used: connections,
    raise: (limit) =>
      `ALTER SYSTEM SET max_connections = '${limit + reserved}'; then restart the server; or end sessions of others.`,
  };
  if (isSuperuser) return [all];
  const database = quoteIdentifier(server.database);
  return [
    all,
    {
      subject: `role ${server.role}`,
      limit: roleLimit,
      used: roleConnections,
      raise: (limit) => `ALTER ROLE ${role} CONNECTION LIMIT ${limit};`,
    },
    {
      subject: `database ${server.database}`,
      limit: databaseLimit,
      used: databaseConnections,
      raise: (limit) => `ALTER DATABASE ${database} CONNECTION LIMIT ${limit};`,
    },
  ];
}
