/**
 * Whether the login may still start replication. A stream that runs goes on without the right, so nothing else tells before
 * the next start.
 */
import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import { databaseError } from '../postgres/database-error.ts';
import { identifySystem } from './replication-handshake.ts';

const LOOK = `
  SELECT rolname::text AS role, rolsuper OR rolreplication AS has FROM pg_roles WHERE rolname = session_user`;

/** As it is told at a start. On managed servers the attribute does not tell: without it, a connection is the proof. */
export async function lostReplicationRight(pool: pg.Pool, url: string): Promise<WalpostError | undefined> {
  const { role, has } = await look(pool);
  if (has) return undefined;
  try {
    await identifySystem({ url, role, throughProxy: false });
    return undefined;
  } catch (error) {
    if (error instanceof WalpostError && error.code === 'NO_REPLICATION_ROLE') return error;
    throw error;
  }
}

async function look(pool: pg.Pool): Promise<{ role: string; has: boolean }> {
  try {
    const { rows } = await pool.query<{ role: string; has: boolean }>(LOOK);
    return rows[0] ?? { role: 'unknown', has: true };
  } catch (error) {
    throw databaseError(error, 'looking at the rights of the login');
  }
}
