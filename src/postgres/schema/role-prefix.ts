/** The prefix of the roles of an installation (sql/tables/012_role_prefix.sql). */
import type { Queryable } from '../queryable.ts';

/** From the catalog, because who prepares a table of the application may have no right in the schema. */
const PREFIX = `
  SELECT substring(pg_get_function_sqlbody(p.oid) FROM '''([a-z0-9_]*)''') AS prefix
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
   WHERE n.nspname = 'walpost_internal' AND p.proname = 'role_prefix'`;

/** Empty where there is none, also where walpost is not installed. */
export async function readRolePrefix(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ prefix: string | null }>(PREFIX);
  return rows[0]?.prefix ?? '';
}

/** Run it as the owner, before the role model is brought back. */
export function rolePrefixSql(prefix: string): string {
  return `CREATE OR REPLACE FUNCTION walpost_internal.role_prefix() RETURNS text LANGUAGE sql STABLE RETURN '${prefix.replaceAll("'", "''")}'`;
}
