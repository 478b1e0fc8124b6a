/**
 * Row-level security does not bind the owner of the tables, nor roles that are members of it. An application that logs in as
 * one of these sees the rows of all organizations. Nothing in the catalogs says what an application is, so two signs count:
 * a session that is neither walpost's nor one of the programs of Postgres, and membership in walpost_publisher.
 */
import type pg from 'pg';
import { readRolePrefix } from './role-prefix.ts';

const OWNER_LOGINS = `
  WITH login AS (
    SELECT r.oid, r.rolname, n.nspowner FROM pg_roles AS r, pg_namespace AS n
     WHERE n.nspname = 'walpost' AND r.rolcanlogin
       AND (r.oid = n.nspowner OR NOT r.rolsuper AND pg_has_role(r.oid, n.nspowner, 'USAGE'))
  )
  SELECT format('the application %s is connected as role %s, which has the rights of the owner of the schema walpost: ',
                CASE WHEN coalesce(a.application_name, '') = '' THEN 'without a name' ELSE quote_literal(a.application_name) END,
                quote_ident(l.rolname)) AS what,
         format('CREATE ROLE %1$I LOGIN; GRANT %2$I TO %1$I; give it a password, and let the application log in as it.',
                left(l.rolname, 59) || '_app', $1::text) AS remedy
    FROM login AS l JOIN pg_stat_activity AS a ON a.usesysid = l.oid
   WHERE a.datname = current_database() AND coalesce(a.backend_type, 'client backend') = 'client backend'
     AND coalesce(a.application_name, '') !~ '^(walpost( |$)|psql$|pg_dump|pg_restore$|pg_basebackup$|pg_upgrade$)'
   UNION
  SELECT format('role %s is a member of %s, and has the rights of the owner of the schema walpost: ', quote_ident(l.rolname), quote_ident(p.rolname)),
         coalesce((SELECT string_agg(format('REVOKE %s FROM %I%s;', m.roleid::regrole, l.rolname,
                                            CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' GRANTED BY ' || m.grantor::regrole END), ' ')
                     FROM pg_auth_members AS m WHERE m.member = l.oid AND pg_has_role(m.roleid, l.nspowner, 'USAGE')),
                  format('REVOKE %I FROM %I; and let the application log in as another role.', p.rolname, l.rolname))
    FROM login AS l JOIN pg_roles AS p ON p.rolname = $1
   WHERE NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.oid = l.oid) AND pg_has_role(l.oid, p.oid, 'USAGE')
   ORDER BY 1`;

export const OWNER_LOGIN_REMEDY =
  'Let the application log in as a role of its own: CREATE ROLE … LOGIN; GRANT walpost_publisher TO …; it must not be a member of the owner.';

export interface OwnerLogin {
  /** A sentence without its full stop. */
  readonly line: string;
  readonly remedy: string;
}

/** Each application that row-level security does not bind, with the statements that change it. */
export async function findOwnerLogins(db: Pick<pg.Pool, 'query'> | pg.ClientBase): Promise<OwnerLogin[]> {
  const publisher = `${await readRolePrefix(db)}walpost_publisher`;
  const { rows } = await db.query<{ what: string; remedy: string }>(OWNER_LOGINS, [publisher]);
  return rows.map(({ what, remedy }) => ({
    line: `${what}row-level security does not hide the rows of other organizations from it`,
    remedy,
  }));
}

/** A sentence for each of them. */
export async function readOwnerLogins(db: Pick<pg.Pool, 'query'> | pg.ClientBase): Promise<string[]> {
  return (await findOwnerLogins(db)).map(({ line }) => line);
}
