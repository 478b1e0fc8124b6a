/** Whether this login has the rights of a relay: it is a member of walpost_relay, or owns the schema. */
import type pg from 'pg';
import { messageOf, WalpostError } from '../../errors.ts';
import { quoteIdentifier } from '../identifiers.ts';
import { ask, type Queryable } from '../queryable.ts';
import { SQLSTATE } from '../sqlstate.ts';
import { stateOf } from '../storable.ts';
import { assertMigrated } from './migrate.ts';
import { readRolePrefix } from './role-prefix.ts';

export interface RelayRights {
  readonly login: string;
  /** walpost_relay, with the prefix of the installation. */
  readonly relay: string;
  readonly isThere: boolean;
  /** It has the rights of walpost_relay, as a member or as the owner of the schema. */
  readonly has: boolean;
  /** It is a member, but does not inherit. */
  readonly isMember: boolean;
}

const RELAY = `
  SELECT session_user::text AS login, $1::text AS relay, r.oid IS NOT NULL AS "isThere",
         coalesce(pg_has_role(session_user, r.oid, 'USAGE'), false)
           OR EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname = 'walpost' AND pg_has_role(session_user, n.nspowner, 'USAGE')) AS has,
         coalesce(pg_has_role(session_user, r.oid, 'MEMBER'), false) AS "isMember"
    FROM (SELECT) AS one LEFT JOIN pg_roles AS r ON r.rolname = $1`;

/** From the catalog: a login without rights in the schema may ask too. */
export async function readRelayRights(db: Queryable): Promise<RelayRights> {
  const [row] = await ask<RelayRights>(db, RELAY, [`${await readRolePrefix(db)}walpost_relay`]);
  if (!row) throw new Error('a query for one row gave none');
  return row;
}

/** As a relay needs it: where the login may not look, the role is named that it lacks, with the statement. */
export async function assertMigratedForRelay(pool: pg.Pool): Promise<void> {
  try {
    await assertMigrated(pool);
  } catch (error) {
    throw error instanceof Error ? await withMissingRole(error, pool) : error;
  }
}

/** The server names what it refused, and not the role that is missing; other errors come back as they are. */
export async function withMissingRole(refused: Error, db: Queryable): Promise<Error> {
  if (!(refused instanceof WalpostError) || stateOf(refused) !== SQLSTATE.insufficientPrivilege) return refused;
  const rights = await readRelayRights(db).catch(() => undefined);
  if (!rights?.isThere || rights.isMember) return refused;
  const { login, relay } = rights;
  return new WalpostError('PERMISSION_DENIED', {
    detail: `Role "${login}" is no member of ${relay}: ${messageOf(refused.cause)}.`,
    remedy: `GRANT ${quoteIdentifier(relay)} TO ${quoteIdentifier(login)};`,
    cause: refused.cause,
  });
}
