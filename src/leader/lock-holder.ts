/** Who holds the leader lock of a slot, as walpost.leader_lock says. */
import { WalpostError } from '../errors.ts';

/** The session that holds the lock. */
export interface LockHolder {
  /** null for a prepared transaction. */
  readonly pid: number | null;
  readonly role: string | null;
  readonly applicationName: string | null;
  /** null for a local socket, or where the role may not see it. */
  readonly address: string | null;
  /** It cannot lead: its role may not write the cursor, or it is another program. */
  readonly isStranger: boolean;
}

/** For slot $1; no row when the lock is free. */
export const HOLDER = `
  SELECT pid, role::text, application_name AS "applicationName", address, is_stranger AS "isStranger"
    FROM walpost.leader_lock($1) LIMIT 1`;

/** The holder in words: server process 17 (role app, application psql) from 10.0.0.7. */
export function holderText({ pid, role, applicationName, address, isStranger }: LockHolder): string {
  if (pid === null) return `${applicationName ?? 'a prepared transaction'} (role ${role ?? 'unknown'})`;
  const session = `server process ${pid}`;
  const who = isStranger ? ` (role ${role ?? 'unknown'}, application ${applicationName || 'without a name'})` : '';
  return `${session}${who}${address === null ? '' : ` from ${address}`}`;
}

/** The error for a holder that cannot lead, with its remedy; undefined for a holder that may lead. */
export function strangerProblem(slot: string, holder: LockHolder | undefined): WalpostError | undefined {
  if (!holder?.isStranger) return undefined;
  const { pid } = holder;
  return new WalpostError('LEADER_LOCK_TAKEN', {
    detail: `Slot "${slot}": ${holderText(holder)} holds it.`,
    remedy:
      pid === null
        ? 'End it: ROLLBACK PREPARED with the gid that is named.'
        : `End the session with SELECT pg_terminate_backend(${pid}), and see why its role took the lock.`,
  });
}
