/** What removing walpost from a database takes away, what stands in the way, and what stays. Reads only. */
import type pg from 'pg';
import { WalpostError } from '../../errors.ts';
import { ask } from '../queryable.ts';
import { readRolePrefix } from './role-prefix.ts';

export interface RemovalPlan {
  readonly slots: readonly string[];
  readonly publications: readonly string[];
  /** Publications that others may need, each with the reason. */
  readonly keptPublications: readonly string[];
  /** Tables with triggers of walpost.capture. */
  readonly captured: readonly string[];
  /** Tables of the application that were read as an outbox, as a name that SQL takes. */
  readonly sources: readonly string[];
  /** Functions of the application whose text names the schema; they stay, and fail from then on. */
  readonly callers: readonly string[];
  /** Roles of this installation. */
  readonly roles: readonly string[];
  /** Sessions of relays, leading or standing by. */
  readonly relays: readonly string[];
  /** What was not delivered; unknown when nobody can tell. */
  readonly waiting: string;
}

const ROLES = ['walpost_publisher', 'walpost_relay', 'walpost_operator', 'walpost_reader'] as const;
const OURS = `('walpost', 'walpost_internal')`;

const SCHEMAS = `
  SELECT n.nspname AS name, n.nspowner::regrole::text AS owner, current_user::text AS role, pg_has_role(n.nspowner, 'USAGE') AS mine
    FROM pg_namespace AS n WHERE n.nspname IN ${OURS} ORDER BY 1`;

/** The sources are names as the cursor has them; a table that is gone is none. */
const CURSORS = `
  SELECT c.slot AS named, s.slot_name AS slot, s.active_pid, c.publication, to_regclass(c.source_table)::text AS source
    FROM walpost.cursor AS c
         LEFT JOIN pg_replication_slots AS s ON s.slot_name IN (c.slot, c.former_slot) AND s.database = current_database()`;

const PUBLICATIONS = `
  SELECT p.pubname AS name, quote_ident(p.pubname) AS quoted,
         CASE WHEN NOT pg_has_role(p.pubowner, 'USAGE') THEN format('it belongs to %s', p.pubowner::regrole)
              WHEN p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace AS s WHERE s.pnpubid = p.oid)
                THEN 'it publishes other tables too'
              WHEN EXISTS (SELECT FROM pg_publication_rel AS r JOIN pg_class AS c ON c.oid = r.prrelid
                            WHERE r.prpubid = p.oid AND c.relnamespace::regnamespace::text NOT IN ${OURS}
                              AND c.oid <> ALL (SELECT to_regclass(t) FROM unnest($2::text[]) AS t WHERE to_regclass(t) IS NOT NULL))
                THEN 'it publishes other tables too'
              WHEN p.pubname <> 'walpost' AND EXISTS (SELECT FROM pg_replication_slots AS s
                            WHERE s.database = current_database() AND s.slot_name <> ALL ($3))
                THEN 'another slot of this database may read it' END AS kept
    FROM pg_publication AS p WHERE p.pubname = 'walpost' OR p.pubname = ANY ($1) ORDER BY 1`;

const CAPTURED = `
  SELECT DISTINCT t.tgrelid::regclass::text AS name
    FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
   WHERE p.pronamespace = to_regnamespace('walpost_internal') AND (p.proname LIKE 'capture\\_%' OR p.proname = 'refuse_truncate')
     AND NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY 1`;

const CALLERS = `
  SELECT p.oid::regprocedure::text AS name FROM pg_proc AS p
   WHERE p.pronamespace::regnamespace::text NOT IN (${OURS.slice(1, -1)}, 'pg_catalog') AND p.prosrc ~ '\\mwalpost(_internal)?\\.' ORDER BY 1`;

const RELAYS = `
  SELECT format('server process %s (role %s)', a.pid, a.usename) AS name FROM pg_stat_activity AS a
   WHERE a.datname = current_database() AND (a.application_name = 'walpost leader' OR a.application_name LIKE 'walpost standby%')
   UNION
  SELECT format('server process %s, which streams from slot %s', s.active_pid, s.slot_name) FROM pg_replication_slots AS s
   WHERE s.active_pid IS NOT NULL AND s.slot_name = ANY ($1) ORDER BY 1`;

const WAITING = `
  SELECT format('%s%s events wait, %s are parked, %s are dead letters', pending, CASE WHEN pending_more THEN ' and more' END,
                parked, dead_letters) AS waiting FROM walpost.health`;

interface CursorRow {
  slot: string | null;
  publication: string | null;
  source: string | null;
}

/** Undefined where walpost is not installed. */
export async function planRemoval(db: pg.ClientBase): Promise<RemovalPlan | undefined> {
  const schemas = await ask<{ name: string; owner: string; role: string; mine: boolean }>(db, SCHEMAS);
  if (schemas.length === 0) return undefined;
  const foreign = schemas.find(({ mine }) => !mine);
  if (foreign) {
    throw new WalpostError('PERMISSION_DENIED', {
      detail: `The schema ${foreign.name} belongs to ${foreign.owner}, and this is ${foreign.role}.`,
      remedy: `Run it as ${foreign.owner}.`,
    });
  }
  const [hasCursor] = await ask<{ there: boolean }>(db, `SELECT to_regclass('walpost.cursor') IS NOT NULL AS there`);
  const cursors = hasCursor?.there ? await ask<CursorRow>(db, CURSORS) : [];
  const distinct = (values: readonly (string | null)[]): string[] =>
    [...new Set(values.filter((value) => value !== null))].toSorted();
  const slots = distinct(cursors.map(({ slot }) => slot));
  const sources = distinct(cursors.map(({ source }) => source)).filter((name) => !name.startsWith('walpost.'));
  const named = distinct(cursors.map(({ publication }) => publication));
  const publications = await ask<{ name: string; quoted: string; kept: string | null }>(db, PUBLICATIONS, [
    named,
    sources,
    slots,
  ]);
  const names = async (sql: string, values: unknown[] = []): Promise<string[]> =>
    (await ask<{ name: string }>(db, sql, values)).map(({ name }) => name);
  const prefix = await readRolePrefix(db);
  return {
    slots,
    sources,
    publications: publications.filter(({ kept }) => kept === null).map(({ quoted }) => quoted),
    keptPublications: publications.flatMap(({ quoted, kept }) => (kept === null ? [] : [`${quoted}: ${kept}`])),
    captured: await names(CAPTURED),
    callers: await names(CALLERS),
    roles: ROLES.map((role) => `${prefix}${role}`),
    relays: await names(RELAYS, [slots]),
    waiting: await waitingEvents(db),
  };
}

async function waitingEvents(db: pg.ClientBase): Promise<string> {
  const unknown = 'how many events wait is unknown';
  try {
    return (await db.query<{ waiting: string }>(WAITING)).rows[0]?.waiting ?? unknown;
  } catch {
    return unknown; // a part of the schema is missing, which is no reason to keep the rest
  }
}
