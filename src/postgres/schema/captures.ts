/**
 * Captures of business tables that do not work as they were made (sql/views/05_captures.sql). Migrations of the application
 * rename and drop columns, disable triggers and attach tables, and nobody thinks of walpost then.
 */
import type pg from 'pg';
import { databaseError } from '../database-error.ts';
import { SQLSTATE } from '../sqlstate.ts';
import { stateOf } from '../storable.ts';

export interface CaptureProblem {
  /** A sentence without its full stop. */
  readonly line: string;
  readonly remedy: string;
}

interface CaptureRow {
  table_name: string;
  capture_name: string | null;
  problem: string;
}

/** None where the schema is of an older release, or the role may not ask. */
export async function readCaptureProblems(db: Pick<pg.Pool, 'query'>): Promise<CaptureProblem[]> {
  try {
    return await askCaptureProblems(db);
  } catch (error) {
    const state = stateOf(error);
    if (state === SQLSTATE.undefinedTable || state === SQLSTATE.insufficientPrivilege) return [];
    throw error;
  }
}

/** Throws where nobody can tell. */
export async function askCaptureProblems(db: Pick<pg.Pool, 'query'>): Promise<CaptureProblem[]> {
  try {
    const { rows } = await db.query<CaptureRow>(
      'SELECT table_name, capture_name, problem FROM walpost.captures WHERE NOT fits',
    );
    return rows.map(({ table_name: table, capture_name: name, problem }) => ({
      line: `walpost captures ${table}${name ? ` as ${name}` : ''}, and ${problem}`,
      remedy: `As the owner of the schema walpost, call walpost.capture('${table}', ...) again, or walpost.release('${table}').`,
    }));
  } catch (error) {
    throw databaseError(error, 'looking at the captures of tables');
  }
}

/** Warns of each problem once in the life of a process. Nothing of it stops the relay. */
export class CaptureWatch {
  private readonly said = new Set<string>();

  async check(db: Pick<pg.Pool, 'query'>, warn: (line: string, remedy: string) => void): Promise<void> {
    for (const { line, remedy } of await readCaptureProblems(db)) {
      if (this.said.has(line)) continue;
      this.said.add(line);
      warn(line, remedy);
    }
  }
}
