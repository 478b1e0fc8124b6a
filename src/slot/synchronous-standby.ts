import { WalpostError } from '../errors.ts';
import { ask } from '../postgres/queryable.ts';
import type { Queryable } from '../postgres/queryable.ts';
import { APPLICATION_NAME } from './replication-client.ts';

/**
 * A server whose synchronous_standby_names is `*`, or names us, makes every commit wait until walpost has confirmed it,
 * which is after the delivery. It is refused before streaming by that setting, and looked at again while streaming.
 */
export function refuseSynchronousNames(synchronousStandbyNames: string): void {
  const names = standbyNames(synchronousStandbyNames);
  if (!names.some((name) => name === '*' || name.toLowerCase() === APPLICATION_NAME)) return;
  throw new WalpostError('SYNCHRONOUS_STANDBY', {
    detail: `synchronous_standby_names = '${synchronousStandbyNames}'.`,
  });
}

/** The names in `a, b`, `2 (a, b)`, `FIRST 2 (a, b)`, `ANY 2 (a, "b c")`. */
export function standbyNames(setting: string): string[] {
  const list = /^\s*(?:(?:first|any)\s+)?\d+\s*\((.*)\)\s*$/is.exec(setting)?.[1] ?? setting;
  return [...list.matchAll(/"((?:[^"]|"")*)"|[^\s,"]+/g)].map((match) => match[1]?.replaceAll('""', '"') ?? match[0]);
}

/** Throws when the server has chosen this walsender, or would choose it next. */
export async function checkNotSynchronous(db: Queryable, walsenderPid: number): Promise<void> {
  const [row] = await ask<{ sync_state: string | null; names: string }>(
    db,
    `SELECT (SELECT sync_state FROM pg_stat_replication WHERE pid = $1) AS sync_state,
            current_setting('synchronous_standby_names') AS names`,
    [walsenderPid],
  );
  const state = row?.sync_state;
  if (state !== null && state !== undefined && state !== 'async') {
    throw new WalpostError('SYNCHRONOUS_STANDBY', { detail: `Its sync_state is "${state}".` });
  }
  // A role without pg_read_all_stats sees no sync_state.
  refuseSynchronousNames(row?.names ?? '');
}
