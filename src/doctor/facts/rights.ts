/** Who may do what: the login of the relay, logins of applications, and what new objects are given by default. */
import { readRolePrefix } from '../../postgres/schema/role-prefix.ts';
import { ask, type Queryable } from '../../postgres/queryable.ts';

/** A login that may publish, and sees the rows of every organization. */
export interface InsideLogin {
  readonly role: string;
  /** BYPASSRLS, or the role of walpost that works for all organizations. */
  readonly by: string;
  readonly remedy: string;
}

/** Superusers and owners of the schema are told by unbound-logins.ts. */
const INSIDERS = `
  WITH login AS (
    SELECT r.oid, r.rolname, r.rolbypassrls FROM pg_roles AS r JOIN pg_roles AS p ON p.rolname = $1 || 'walpost_publisher'
     WHERE r.rolcanlogin AND NOT r.rolsuper AND pg_has_role(r.oid, p.oid, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname = 'walpost' AND pg_has_role(r.oid, n.nspowner, 'USAGE'))
  )
  SELECT l.rolname::text AS role, 'BYPASSRLS' AS by, format('ALTER ROLE %I NOBYPASSRLS;', l.rolname) AS remedy
    FROM login AS l WHERE l.rolbypassrls
   UNION ALL
  SELECT l.rolname::text, w.rolname::text,
         (SELECT string_agg(format('REVOKE %s FROM %I%s;', m.roleid::regrole, l.rolname,
                                   CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' GRANTED BY ' || m.grantor::regrole END), ' ')
            FROM pg_auth_members AS m WHERE m.member = l.oid AND pg_has_role(m.roleid, w.oid, 'USAGE'))
    FROM login AS l JOIN pg_roles AS w ON w.rolname IN ($1 || 'walpost_relay', $1 || 'walpost_operator')
   WHERE pg_has_role(l.oid, w.oid, 'USAGE') ORDER BY 1, 2`;

export async function readInsideLogins(db: Queryable): Promise<InsideLogin[]> {
  return ask<InsideLogin>(db, INSIDERS, [await readRolePrefix(db)]);
}

/** What ALTER DEFAULT PRIVILEGES gives to others on each new object of the owner of the schema. */
export interface DefaultPrivilege {
  readonly grantee: string;
  readonly what: string;
  readonly remedy: string;
}

/** Without a schema the list also holds what Postgres gives by itself: EXECUTE to PUBLIC, which walpost takes away as it is. */
const DEFAULTS = `
  SELECT x.grantee, format('%s on new %s of %s%s', x.privileges, x.objects, quote_ident(x.owner), coalesce(' in schema ' || quote_ident(x.schema), '')) AS what,
         format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE %s ON %s FROM %s;', x.owner, coalesce(' IN SCHEMA ' || quote_ident(x.schema), ''),
                x.privileges, x.objects, x.grantee) AS remedy
    FROM (SELECT CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(g.rolname) END AS grantee, o.rolname AS owner, n.nspname AS schema,
                 CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' ELSE 'FUNCTIONS' END AS objects,
                 string_agg(e.privilege_type, ', ' ORDER BY e.privilege_type) AS privileges
            FROM pg_default_acl AS d JOIN pg_roles AS o ON o.oid = d.defaclrole
                 JOIN pg_namespace AS w ON w.nspname = 'walpost' AND w.nspowner = d.defaclrole
                 LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
                 CROSS JOIN LATERAL aclexplode(d.defaclacl) AS e LEFT JOIN pg_roles AS g ON g.oid = e.grantee
           WHERE d.defaclobjtype IN ('r', 'S', 'f') AND e.grantee <> d.defaclrole
             AND (d.defaclnamespace = 0 OR n.nspname IN ('walpost', 'walpost_internal'))
             AND NOT (d.defaclnamespace = 0 AND d.defaclobjtype = 'f' AND e.grantee = 0)
           GROUP BY 1, 2, 3, 4) AS x
   ORDER BY 1, 2`;

export function readDefaultPrivileges(db: Queryable): Promise<DefaultPrivilege[]> {
  return ask<DefaultPrivilege>(db, DEFAULTS);
}
