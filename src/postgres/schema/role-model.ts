/**
 * The roles, rights, policies and the publication of walpost, held against what is there (sql/functions/17_role_model.sql). Default
 * privileges, a restore without ACLs or without roles, and people change them without a word.
 */
import type pg from 'pg';
import { databaseError } from '../database-error.ts';
import { SQLSTATE } from '../sqlstate.ts';
import { stateOf } from '../storable.ts';
import { readUnboundLogins } from './unbound-logins.ts';

const IS_THERE = `SELECT to_regprocedure('walpost.deviations()') IS NOT NULL AS there`;

/** Brings everything to the model, and returns a line for each change. What this role may not mend is a notice. */
export async function mendRoleModel(client: pg.ClientBase): Promise<string[]> {
  const { rows: known } = await client.query<{ there: boolean }>(IS_THERE);
  if (known[0]?.there !== true) return [];
  const { rows } = await client.query<{ line: string }>('SELECT walpost_internal.mend_deviations() AS line');
  return rows.map(({ line }) => line);
}

/**
 * Warns of what is not as the model wants it, and of applications that row-level security does not bind. Each finding is
 * said once in the life of a process, and nothing of it stops the relay.
 */
export class RoleModelWatch {
  private readonly said = new Set<string>();

  async check(pool: Pick<pg.Pool, 'query'>, warn: (line: string, remedy: string) => void): Promise<void> {
    const say = (line: string, remedy: string): void => {
      if (this.said.has(line)) return;
      this.said.add(line);
      warn(line, remedy);
    };
    for (const line of await deviationLines(pool)) say(line, 'Run `walpost migrate` as the owner of the schema.');
    for (const { line, remedy } of await readUnboundLogins(pool)) say(line, remedy);
  }
}

export interface RoleDeviation {
  /** A sentence without its full stop. */
  readonly what: string;
  /** What mends it, also `walpost migrate` by itself. */
  readonly statement: string;
}

/** Throws where the role may not ask. */
export async function readDeviations(pool: Pick<pg.Pool, 'query'>): Promise<RoleDeviation[]> {
  try {
    return (await pool.query<RoleDeviation & object>('SELECT what, statement FROM walpost.deviations()')).rows;
  } catch (error) {
    throw databaseError(error, 'looking at the roles of walpost');
  }
}

/** A line each; `walpost migrate` mends it. */
async function deviationLines(pool: Pick<pg.Pool, 'query'>): Promise<string[]> {
  try {
    return (await readDeviations(pool)).map(({ what }) => what);
  } catch (error) {
    if (stateOf(error) === SQLSTATE.insufficientPrivilege) return ['this role lacks rights of walpost_relay'];
    throw error;
  }
}
