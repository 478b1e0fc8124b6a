/** What is in the schemas of walpost, from the catalogs, as lines of text that come out the same on every server. */
import type pg from 'pg';

const OURS = `('walpost'::regnamespace, 'walpost_internal'::regnamespace)`;

const LISTING = `
  WITH relation AS (SELECT c.*, format('%s.%I', c.relnamespace::regnamespace, c.relname) AS name
                      FROM pg_class c WHERE c.relnamespace IN ${OURS} AND c.relkind IN ('r', 'p', 'v', 'S')),
  acl (what, acl, owner) AS (
    SELECT 'schema ' || nspname, nspacl, nspowner FROM pg_namespace WHERE oid IN ${OURS}
    UNION ALL SELECT name, relacl, relowner FROM relation
    UNION ALL SELECT format('%s.%I', r.name, a.attname), a.attacl, r.relowner FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid
    UNION ALL SELECT p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
                FROM pg_proc p WHERE p.pronamespace IN ${OURS}
  )
  SELECT line FROM (
    SELECT 1, name, 0, format('%s %s%s%s', CASE relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END, name,
           ' with ' || array_to_string(reloptions, ', '),
           CASE WHEN relrowsecurity THEN ', row security' || CASE WHEN relforcerowsecurity THEN ' forced' ELSE '' END ELSE '' END)
      FROM relation
    UNION ALL
    SELECT 1, r.name, a.attnum, format('  column %I %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
           CASE WHEN a.attnotnull THEN ' not null' ELSE '' END, ' default ' || pg_get_expr(d.adbin, d.adrelid),
           CASE WHEN a.attidentity <> '' THEN ' identity' ELSE '' END)
      FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
           LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE r.relkind <> 'S'
    UNION ALL
    SELECT 1, r.name, 2000, format('  constraint %I %s', c.conname, pg_get_constraintdef(c.oid))
      FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid WHERE c.contype <> 'n'
    UNION ALL
    SELECT 1, r.name, 2001, '  index ' || pg_get_indexdef(i.indexrelid) FROM relation r JOIN pg_index i ON i.indrelid = r.oid
    UNION ALL
    SELECT 1, r.name, 2002, '  ' || pg_get_triggerdef(t.oid) FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT 1, r.name, 2003, format('  policy %I %s for %s using %s with check %s', p.polname, p.polcmd,
           (SELECT string_agg(coalesce(o.rolname, 'PUBLIC'), ', ' ORDER BY o.rolname) FROM unnest(p.polroles) AS x LEFT JOIN pg_roles o ON o.oid = x),
           pg_get_expr(p.polqual, p.polrelid), coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'none'))
      FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL
    SELECT 2, p.oid::regprocedure::text, 0, format('function %s returns %s, %s%s%s', p.oid::regprocedure, pg_get_function_result(p.oid),
           p.provolatile, CASE WHEN p.prosecdef THEN ', security definer' ELSE '' END, ', set ' || array_to_string(p.proconfig, ', '))
      FROM pg_proc p WHERE p.pronamespace IN ${OURS}
    UNION ALL
    SELECT 3, a.what, 0, format('right %s: %s %s', a.what, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,
           string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type))
      FROM acl a CROSS JOIN LATERAL aclexplode(a.acl) x WHERE x.grantee <> a.owner GROUP BY a.what, x.grantee
    UNION ALL
    SELECT 4, pubname, 0, format('publication %s: %s %s %s %s, root %s', pubname, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot)
      FROM pg_publication
    UNION ALL
    SELECT 4, p.pubname, 1, format('  table %s.%s', p.schemaname, p.tablename) FROM pg_publication_tables p
  ) AS listed (part, name, rank, line)
  WHERE line IS NOT NULL
  ORDER BY part, name COLLATE "C", rank, line COLLATE "C"`;

const BODIES = `
  SELECT format('body %s: %s', p.oid::regprocedure, pg_get_functiondef(p.oid)) AS line FROM pg_proc p WHERE p.pronamespace IN ${OURS}
   UNION ALL
  SELECT format('body %s: %s', c.oid::regclass, pg_get_viewdef(c.oid)) FROM pg_class c WHERE c.relnamespace IN ${OURS} AND c.relkind = 'v'
   ORDER BY 1`;

/** With `bodies` also the text of every function and view. */
export async function schemaListing(client: pg.ClientBase, { bodies = false } = {}): Promise<string> {
  await client.query('SET search_path = pg_catalog');
  const lines: string[] = [];
  for (const sql of bodies ? [LISTING, BODIES] : [LISTING]) {
    lines.push(...(await client.query<{ line: string }>(sql)).rows.map(({ line }) => line));
  }
  await client.query('RESET search_path');
  return `${lines.join('\n')}\n`;
}
