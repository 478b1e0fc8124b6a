/**
 * Removes walpost from a database in one transaction. Dropping a slot is not undone by a rollback, so the slots go last, when
 * everything else has worked; if the transaction still fails, a second call finds the rest.
 */
import type pg from 'pg';
import { WalpostError, messageOf } from '../../errors.ts';
import { databaseError } from '../database-error.ts';
import { quoteIdentifier } from '../identifiers.ts';
import { ask } from '../queryable.ts';
import { SQLSTATE, isSqlState } from '../sqlstate.ts';
import type { RemovalPlan } from './removal-plan.ts';

export interface RemovalOptions {
  readonly client: pg.ClientBase;
  readonly plan: RemovalPlan;
  /** The key of a slot's leader lock. */
  readonly lockKey: (slot: string) => bigint;
}

/** Nothing of the application may go with CASCADE. Triggers of walpost.capture are taken away before. */
const DEPENDENTS = `
  WITH schema AS (SELECT oid FROM pg_namespace WHERE nspname IN ('walpost', 'walpost_internal')),
  relation AS (
    SELECT c.oid FROM pg_class AS c WHERE c.relnamespace IN (SELECT oid FROM schema)
     UNION SELECT t.relid FROM pg_partition_tree(to_regclass('walpost.outbox')) AS t
     UNION SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid IN (SELECT t.relid FROM pg_partition_tree(to_regclass('walpost.outbox')) AS t)
  ), ours AS (
    SELECT 'pg_class'::regclass AS class, oid FROM relation
     UNION ALL SELECT 'pg_proc', p.oid FROM pg_proc AS p WHERE p.pronamespace IN (SELECT oid FROM schema)
     UNION ALL SELECT 'pg_type', t.oid FROM pg_type AS t WHERE t.typnamespace IN (SELECT oid FROM schema) OR t.typrelid IN (SELECT oid FROM relation)
  ), dependent AS (
    SELECT DISTINCT d.classid, d.objid FROM pg_depend AS d JOIN ours AS o ON o.class = d.refclassid AND o.oid = d.refobjid
     WHERE d.deptype IN ('n', 'a') AND NOT EXISTS (SELECT FROM ours AS x WHERE x.class = d.classid AND x.oid = d.objid)
  )
  SELECT DISTINCT coalesce('view ' || w.ev_class::regclass, pg_describe_object(d.classid, d.objid, 0)) AS name
    FROM dependent AS d
         LEFT JOIN pg_rewrite AS w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
         LEFT JOIN pg_policy AS p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
         LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
         LEFT JOIN pg_trigger AS t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
         LEFT JOIN pg_attrdef AS f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
   WHERE d.classid <> ALL (ARRAY['pg_publication_rel', 'pg_statistic_ext']::regclass[])
     AND coalesce(w.ev_class, p.polrelid, nullif(k.conrelid, 0), t.tgrelid, f.adrelid, 0) NOT IN (SELECT oid FROM relation)
     AND NOT coalesce(t.tgisinternal, false)
   ORDER BY 1`;

/** Removes what the plan names, and returns a line for each thing that stays though it came with walpost. */
export async function remove({ client, plan, lockKey }: RemovalOptions): Promise<string[]> {
  await client.query(`BEGIN; SET LOCAL lock_timeout = '5s'`);
  try {
    for (const slot of plan.slots) await holdLock(client, slot, lockKey(slot));
    for (const table of plan.captured) await client.query('SELECT walpost.release($1::regclass)', [table]);
    const dependents = await ask<{ name: string }>(client, DEPENDENTS);
    if (dependents.length > 0) throw inUse(dependents.map(({ name }) => name));
    for (const name of plan.publications) await client.query(`DROP PUBLICATION ${name}`);
    for (const table of plan.sources) await closeSource(client, table, plan.roles);
    await client.query('DROP SCHEMA walpost, walpost_internal CASCADE');
    const left: string[] = [];
    for (const role of plan.roles) left.push(...(await dropRole(client, role)));
    for (const slot of plan.slots) await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
    await client.query('COMMIT');
    return left;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    if (isSqlState(error, SQLSTATE.lockNotAvailable, SQLSTATE.deadlockDetected)) throw busy(error);
    throw databaseError(error, 'removing walpost');
  }
}

/** No process can become the leader while it is held. */
async function holdLock(client: pg.ClientBase, slot: string, key: bigint): Promise<void> {
  const [row] = await ask<{ got: boolean }>(client, 'SELECT pg_try_advisory_xact_lock($1) AS got', [String(key)]);
  if (row?.got !== true)
    throw new WalpostError('RELAY_RUNS', { detail: `Its leader lock is held for slot "${slot}".` });
}

/** What `walpost migrate --outbox` has given to the relay. Columns and index stay with the table. */
async function closeSource(client: pg.ClientBase, table: string, roles: readonly string[]): Promise<void> {
  const [relay] = await ask<{ schema: string; role: string }>(
    client,
    `SELECT c.relnamespace::regnamespace::text AS schema, quote_ident(r.rolname) AS role FROM pg_class AS c, pg_roles AS r
      WHERE c.oid = $1::regclass AND r.rolname = ANY ($2) AND r.rolname LIKE '%walpost\\_relay'`,
    [table, roles],
  );
  if (!relay) return;
  await client.query(`DROP POLICY IF EXISTS walpost_relay ON ${table};
    REVOKE ALL ON ${table} FROM ${relay.role}; REVOKE ALL ON SCHEMA ${relay.schema} FROM ${relay.role}`);
}

/** Another database of the cluster may have walpost too, and then the role has rights there. */
async function dropRole(client: pg.ClientBase, role: string): Promise<string[]> {
  await client.query('SAVEPOINT role');
  try {
    await client.query(`DROP ROLE IF EXISTS ${quoteIdentifier(role)}`);
    return [];
  } catch (error) {
    if (!isSqlState(error, SQLSTATE.dependentObjectsStillExist, SQLSTATE.insufficientPrivilege)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT role');
    const detail = error instanceof Error && 'detail' in error && typeof error.detail === 'string' ? error.detail : '';
    return [`role ${role}: ${detail.replace(/\s+/g, ' ') || messageOf(error)}`];
  }
}

function inUse(names: readonly string[]): WalpostError {
  const shown = names.length > 10 ? [...names.slice(0, 10), `${names.length - 10} more`] : names;
  return new WalpostError('SCHEMA_IN_USE', { detail: `It is ${shown.join(', ')}.` });
}

function busy(cause: unknown): WalpostError {
  return new WalpostError('SCHEMA_IN_USE', {
    detail: 'A transaction that uses a table of walpost has been open for more than 5 s.',
    remedy: 'Run it again when that transaction has ended; SELECT * FROM pg_stat_activity shows it.',
    cause,
  });
}
