/**
 * Nothing in the schemas walpost and walpost_internal may run code of somebody else with the rights of the role that migrates.
 *
 * Whoever may create in a database can make a schema walpost, or a table walpost.migrations, before migrate comes, with a
 * trigger that then runs with its rights; a grant of TRIGGER on one of our tables is enough too. So migrate looks before its
 * first read: the schemas and all in them must be its own, and whatever hangs on the tables (triggers, rules, policies, defaults,
 * constraints, indexes) may use nothing of roles that are neither superusers nor this one. An event trigger would see every
 * statement of ours.
 */
import type pg from 'pg';
import { WalpostError } from '../../errors.ts';

interface Finding {
  what: string;
  remedy: string;
}

/** Ordered so that the cause comes before what follows from it. */
const FINDINGS = `
  WITH schema AS (SELECT oid, nspname, nspowner AS owner FROM pg_namespace WHERE nspname IN ('walpost', 'walpost_internal')),
  trusted AS (SELECT oid FROM pg_roles WHERE rolsuper OR rolname = current_user),
  relation AS (
    SELECT c.* FROM pg_class c JOIN schema s ON c.relnamespace = s.oid
    UNION
    SELECT c.* FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
      JOIN pg_class parent ON parent.oid = i.inhparent JOIN schema s ON parent.relnamespace = s.oid
  ),
  hanging (class, oid, what, remedy) AS (
    SELECT 'pg_trigger'::regclass, t.oid, format('trigger %I of %s', t.tgname, r.oid::regclass),
           format('DROP TRIGGER %I ON %s', t.tgname, r.oid::regclass)
      FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'pg_rewrite', w.oid, format('rule %I of %s', w.rulename, r.oid::regclass),
           CASE WHEN r.relkind = 'v' THEN format('DROP VIEW %s', r.oid::regclass) ELSE format('DROP RULE %I ON %s', w.rulename, r.oid::regclass) END
      FROM pg_rewrite w JOIN relation r ON r.oid = w.ev_class
    UNION ALL
    SELECT 'pg_policy', p.oid, format('policy %I of %s', p.polname, r.oid::regclass), format('DROP POLICY %I ON %s', p.polname, r.oid::regclass)
      FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
    UNION ALL
    SELECT 'pg_attrdef', d.oid, format('default of %s.%I', r.oid::regclass, a.attname),
           format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', r.oid::regclass, a.attname)
      FROM pg_attrdef d JOIN relation r ON r.oid = d.adrelid JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    UNION ALL
    SELECT 'pg_constraint', k.oid, format('constraint %I of %s', k.conname, r.oid::regclass),
           format('ALTER TABLE %s DROP CONSTRAINT %I', r.oid::regclass, k.conname)
      FROM pg_constraint k JOIN relation r ON r.oid = k.conrelid
    UNION ALL
    SELECT 'pg_class', r.oid, format('index %s', r.oid::regclass), format('DROP INDEX %s', r.oid::regclass)
      FROM relation r WHERE r.relkind IN ('i', 'I')
    UNION ALL
    SELECT 'pg_class', r.oid, format('a column of %s', r.oid::regclass), format('DROP TABLE %s', r.oid::regclass)
      FROM relation r WHERE r.relkind IN ('r', 'p')
  ),
  foreign_code AS MATERIALIZED (
    SELECT 'pg_proc'::regclass AS class, p.oid, 'function ' || p.oid::regprocedure AS what, p.proowner AS owner FROM pg_proc p WHERE p.proowner NOT IN (SELECT oid FROM trusted)
    UNION ALL SELECT 'pg_operator', o.oid, 'operator ' || o.oid::regoperator, o.oprowner FROM pg_operator o WHERE o.oprowner NOT IN (SELECT oid FROM trusted)
    UNION ALL SELECT 'pg_type', t.oid, 'type ' || t.oid::regtype, t.typowner FROM pg_type t WHERE t.typrelid = 0 AND t.typowner NOT IN (SELECT oid FROM trusted)
  ),
  finding (rank, what, remedy) AS (
    SELECT 1, format('the schema %I belongs to %s, not to %s', s.nspname, s.owner::regrole, quote_ident(current_user)),
           format('Run it as %1$s; or, after a look at what is in it, as an administrator: ALTER SCHEMA %3$I OWNER TO %2$I, and the same for the objects in it; or DROP SCHEMA %3$I CASCADE, where walpost was never installed.',
                  s.owner::regrole, current_user, s.nspname)
      FROM schema s WHERE s.owner <> current_user::regrole
    UNION ALL
    SELECT 2, format('%s belongs to %s', o.what, o.owner::regrole),
           format('ALTER %s OWNER TO %I, if you know where it comes from; else drop it.', o.what, current_user)
      FROM (
        SELECT CASE c.relkind WHEN 'v' THEN 'VIEW ' WHEN 'm' THEN 'MATERIALIZED VIEW ' WHEN 'S' THEN 'SEQUENCE ' WHEN 'f' THEN 'FOREIGN TABLE '
                 ELSE 'TABLE ' END || c.oid::regclass AS what, c.relowner AS owner
          FROM relation c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        UNION ALL SELECT 'ROUTINE ' || p.oid::regprocedure, p.proowner FROM pg_proc p JOIN schema s ON p.pronamespace = s.oid
        UNION ALL SELECT 'OPERATOR ' || p.oid::regoperator, p.oprowner FROM pg_operator p JOIN schema s ON p.oprnamespace = s.oid
        UNION ALL SELECT 'TYPE ' || t.oid::regtype, t.typowner FROM pg_type t JOIN schema s ON t.typnamespace = s.oid WHERE t.typrelid = 0 AND t.typelem = 0
      ) o WHERE o.owner <> current_user::regrole
    UNION ALL
    SELECT 3, format('%s runs %s of %s', h.what, f.what, f.owner::regrole), h.remedy || '; then run it again.'
      FROM hanging h JOIN pg_depend d ON d.classid = h.class AND d.objid = h.oid
           JOIN foreign_code f ON f.class = d.refclassid AND f.oid = d.refobjid
    UNION ALL
    SELECT 4, format('%s is none of walpost', h.what), h.remedy || '; then run it again.'
      FROM hanging h JOIN pg_rewrite w ON h.class = 'pg_rewrite'::regclass AND w.oid = h.oid JOIN pg_class c ON c.oid = w.ev_class
     WHERE c.relkind <> 'v' AND c.relkind <> 'm'
    UNION ALL
    SELECT 5, format('event trigger %I runs function %s of %s', e.evtname, p.oid::regprocedure, p.proowner::regrole),
           format('As a superuser: ALTER EVENT TRIGGER %I DISABLE, for as long as it takes; or ALTER FUNCTION %s OWNER TO a superuser.', e.evtname, p.oid::regprocedure)
      FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
     WHERE e.evtenabled <> 'D' AND p.proowner NOT IN (SELECT oid FROM trusted)
  )
  SELECT what, remedy FROM finding ORDER BY rank, what LIMIT 1`;

/** Throws when migrating would run code of somebody else. Reads the catalog alone. */
export async function refuseForeignCode(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<Finding>(FINDINGS);
  const found = rows[0];
  if (!found) return;
  throw new WalpostError('SCHEMA_FOREIGN', { detail: `${upperFirst(found.what)}.`, remedy: found.remedy });
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
