/** The server and the login, as one session sees them: settings, places in use, limits, and what tells a provider. */
import { ask, type Queryable } from '../../postgres/queryable.ts';

export interface SettingState {
  readonly name: string;
  /** In the unit of pg_settings. */
  readonly setting: string;
  readonly unit: string | null;
  /** default, configuration file, command line, database, user, database user. */
  readonly source: string;
  /** postmaster: it needs a restart. */
  readonly context: string;
}

export interface ServerState {
  /** As server_version_num. */
  readonly version: number;
  readonly inRecovery: boolean;
  readonly database: string;
  readonly role: string;
  /** This session is encrypted. */
  readonly tls: boolean;
  readonly slots: number;
  readonly walsenders: number;
  /** Connections that count against max_connections. */
  readonly connections: number;
  readonly roleConnections: number;
  readonly databaseConnections: number;
  /** Those of `walpost run` by this role in this database. */
  readonly relayConnections: number;
  /** -1 is none. */
  readonly roleLimit: number;
  readonly databaseLimit: number;
  readonly isSuperuser: boolean;
  /** Seconds; null is for ever. */
  readonly validFor: number | null;
  readonly seesAllActivity: boolean;
  /** The schema walpost is there; it may be of another release. */
  readonly installed: boolean;
  /** So it may migrate. */
  readonly ownsSchema: boolean;
  /** Physical slots and standbys that stream. */
  readonly standbys: number;
  /** Names of roles and settings that only providers have. */
  readonly marks: readonly string[];
  readonly settings: ReadonlyMap<string, SettingState>;
}

const SETTINGS = [
  'idle_replication_slot_timeout',
  'max_connections',
  'max_replication_slots',
  'max_slot_wal_keep_size',
  'max_wal_senders',
  'reserved_connections',
  'superuser_reserved_connections',
  'synchronized_standby_slots',
  'wal_sender_timeout',
];
const ROLES = [
  'rds_superuser',
  'rds_replication',
  'cloudsqlsuperuser',
  'supabase_admin',
  'azure_pg_admin',
  'neon_superuser',
];
const NAMES = ['rds.logical_replication', 'cloudsql.logical_decoding', 'azure.extensions', 'neon.tenant_id'];

/** A walsender has a place of its own beside max_connections. Names of roles without pg_read_all_stats are seen too. */
const STATE = `
  WITH activity AS (
    SELECT a.* FROM pg_stat_activity AS a
     WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()
       AND a.pid NOT IN (SELECT r.pid FROM pg_stat_replication AS r)
  )
  SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS "inRecovery",
         current_database()::text AS database, session_user::text AS role,
         coalesce((SELECT s.ssl FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid()), false) AS tls,
         (SELECT count(*)::int FROM pg_replication_slots) AS slots,
         (SELECT count(*)::int FROM pg_stat_replication) AS walsenders,
         (SELECT count(*)::int FROM activity) AS connections,
         (SELECT count(*)::int FROM activity AS a WHERE a.usesysid = r.oid) AS "roleConnections",
         (SELECT count(*)::int FROM activity AS a WHERE a.datid = d.oid) AS "databaseConnections",
         (SELECT count(*)::int FROM activity AS a WHERE a.datid = d.oid AND a.usesysid = r.oid
             AND a.application_name ~ '^walpost( (leader|jobs|wake|snapshot))?$') AS "relayConnections",
         r.rolconnlimit AS "roleLimit", d.datconnlimit AS "databaseLimit", r.rolsuper AS "isSuperuser",
         CASE WHEN isfinite(r.rolvaliduntil) THEN extract(epoch FROM r.rolvaliduntil - clock_timestamp())::float8 END AS "validFor",
         pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE') AS "seesAllActivity",
         EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                  WHERE n.nspname = 'walpost' AND c.relname = 'cursor') AS installed,
         EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname = 'walpost' AND n.nspowner = r.oid) AS "ownsSchema",
         (SELECT count(*)::int FROM pg_replication_slots AS s WHERE s.slot_type = 'physical' AND NOT s.temporary) AS standbys,
         ARRAY(SELECT k.rolname::text FROM pg_roles AS k WHERE k.rolname = ANY ($2::text[])
                UNION ALL SELECT n FROM unnest($3::text[]) AS n WHERE current_setting(n, true) IS NOT NULL) AS marks,
         (SELECT json_agg(json_build_object('name', p.name, 'setting', p.setting, 'unit', p.unit, 'source', p.source, 'context', p.context))
            FROM pg_settings AS p WHERE p.name = ANY ($1::text[]))::text AS settings
    FROM pg_roles AS r, pg_database AS d
   WHERE r.rolname = session_user AND d.datname = current_database()`;

export async function readServerState(db: Queryable): Promise<ServerState> {
  const [row] = await ask<Omit<ServerState, 'settings'> & { settings: string }>(db, STATE, [SETTINGS, ROLES, NAMES]);
  if (!row) throw new Error('a query for one row gave none');
  const settings = JSON.parse(row.settings) as SettingState[];
  return { ...row, settings: new Map(settings.map((each) => [each.name, each])) };
}

/** A number of pg_settings; undefined where the version has no such setting. */
export function numberOf({ settings }: Pick<ServerState, 'settings'>, name: string): number | undefined {
  const found = settings.get(name);
  return found === undefined ? undefined : Number(found.setting);
}
