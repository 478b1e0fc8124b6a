/**
 * Whether row-level security could hide rows of a table from this session, without an error.
 *
 * It cannot where it does not apply to the role, or where one of the policies that do lets every row through and none
 * restricts. `SET row_security = off` is no way to find out: it is an error for a role to which any policy applies, even
 * USING (true).
 */
import { quoteQualified } from '../identifiers.ts';

interface Connection {
  query<R extends object>(text: string, values?: unknown[]): Promise<{ rows: R[] }>;
}

interface PolicyRow {
  active: boolean;
  shows_all: boolean;
  restricts: boolean;
}

const POLICIES = `
  SELECT row_security_active(c.oid) AS active,
         coalesce(bool_or(p.permissive AND p.condition = 'true'), false) AS shows_all,
         coalesce(bool_or(NOT p.permissive AND p.condition <> 'true'), false) AS restricts
    FROM pg_class c
         LEFT JOIN LATERAL (
           SELECT polpermissive AS permissive, pg_get_expr(polqual, polrelid) AS condition FROM pg_policy
            WHERE polrelid = c.oid AND polcmd IN ('r', '*')
              AND (polroles = '{0}' OR EXISTS (
                SELECT FROM unnest(polroles) AS r WHERE pg_has_role(current_user, r, 'USAGE')))) AS p ON true
   WHERE c.oid = $1::regclass
   GROUP BY c.oid`;

/** `table` is schema.table; it must be there. */
export async function mayHideRows(db: Connection, table: string): Promise<boolean> {
  const { rows } = await db.query<PolicyRow>(POLICIES, [quoteQualified(table)]);
  const found = rows[0];
  if (!found?.active) return false;
  return found.restricts || !found.shows_all;
}
