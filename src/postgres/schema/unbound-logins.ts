/**
 * Applications that row-level security does not bind see the rows of all organizations. It does not bind the owner of the
 * tables, nor roles that are members of it, nor a role with BYPASSRLS, whose membership in walpost_publisher then opens the
 * whole outbox: publishers may read its columns, and policies alone decide on the rows.
 *
 * Nothing in the catalogs says what an application is, so two signs count: a session that is neither walpost's nor one of the
 * programs of Postgres, and membership in walpost_publisher.
 */
import type pg from 'pg';
import { readRolePrefix } from './role-prefix.ts';

export interface UnboundLogin {
  /** A sentence without its full stop. */
  readonly line: string;
  readonly remedy: string;
}

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

/**
 * A role without LOGIN counts too, because a login can become it with SET ROLE. Operators work for all organizations anyway;
 * those with the rights of the owner are in OWNER_LOGINS.
 */
const BYPASSING_PUBLISHERS = `
  SELECT quote_ident(r.rolname) AS role, quote_ident(p.rolname) AS publisher
    FROM pg_roles AS r JOIN pg_roles AS p ON p.rolname = $1 JOIN pg_namespace AS n ON n.nspname = 'walpost'
   WHERE r.rolbypassrls AND NOT r.rolsuper AND pg_has_role(r.oid, p.oid, 'USAGE') AND NOT pg_has_role(r.oid, n.nspowner, 'USAGE')
     AND NOT EXISTS (SELECT FROM pg_roles AS o WHERE o.rolname = $2 AND pg_has_role(r.oid, o.oid, 'USAGE'))
   ORDER BY 1`;

const UNBOUND = 'row-level security does not hide the rows of other organizations from it';

const ownerRemedy = (publisher: string): string =>
  `Let the application log in as a role of its own: CREATE ROLE … LOGIN; GRANT ${publisher} TO …; it must not be a member of the owner.`;

/** Applications with the rights of the owner, with the statements that change it. */
export async function findOwnerLogins(db: Pick<pg.Pool, 'query'> | pg.ClientBase): Promise<UnboundLogin[]> {
  const publisher = `${await readRolePrefix(db)}walpost_publisher`;
  const { rows } = await db.query<{ what: string; remedy: string }>(OWNER_LOGINS, [publisher]);
  return rows.map(({ what, remedy }) => ({ line: `${what}${UNBOUND}`, remedy }));
}

/** One for each application that row-level security does not bind. */
export async function readUnboundLogins(db: Pick<pg.Pool, 'query'> | pg.ClientBase): Promise<UnboundLogin[]> {
  const prefix = await readRolePrefix(db);
  const groups = [`${prefix}walpost_publisher`, `${prefix}walpost_operator`];
  const owners = await findOwnerLogins(db);
  const { rows: bypassing } = await db.query<{ role: string; publisher: string }>(BYPASSING_PUBLISHERS, groups);
  return [
    // One line for all owners: which statements change it depends on how they are one, and `walpost doctor` says it.
    ...owners.map(({ line }) => ({ line, remedy: ownerRemedy(`${prefix}walpost_publisher`) })),
    ...bypassing.map(({ role, publisher: group }) => ({
      line: `role ${role} is a member of ${group}, and has BYPASSRLS: ${UNBOUND}`,
      remedy: `Let the application log in as a role of its own without BYPASSRLS: CREATE ROLE … LOGIN; GRANT ${group} TO …; REVOKE ${group} FROM ${role}.`,
    })),
  ];
}
