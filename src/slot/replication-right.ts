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

export interface ReplicationAttribute {
  readonly role: string;
  /** Whether the role has it. On managed servers a role may replicate without it. */
  readonly has: boolean;
}

export async function readReplicationAttribute(pool: pg.Pool): Promise<ReplicationAttribute> {
  try {
    const { rows } = await pool.query<ReplicationAttribute & object>(LOOK);
    return rows[0] ?? { role: 'unknown', has: true };
  } catch (error) {
    throw databaseError(error, 'looking at the rights of the login');
  }
}

/** The problem as it is told at a start. A replication connection is the proof, which takes a walsender for a moment. */
export async function replicationRefusal(url: string, role: string): Promise<WalpostError | undefined> {
  try {
    await identifySystem({ url, role, throughProxy: false });
    return undefined;
  } catch (error) {
    if (error instanceof WalpostError && error.code === 'NO_REPLICATION_ROLE') return error;
    throw error;
  }
}
