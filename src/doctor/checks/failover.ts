/** Whether the slot goes along at a failover, and whether the standbys that it waits for are there. PostgreSQL 17 and later. */
import { type DoctorFinding, finding } from '../finding.ts';
import type { ServerState } from '../facts/server-state.ts';
import type { SlotEntry } from '../facts/slots.ts';
import { psqlDatabase } from './slot.ts';

const FAILOVER_SLOTS = 170_000;
const SYNC =
  'sync_replication_slots = on, with hot_standby_feedback, primary_slot_name, and a dbname in primary_conninfo';

type Server = Pick<ServerState, 'version' | 'standbys' | 'settings' | 'inRecovery'>;

export function judgeFailover(name: string, slots: readonly SlotEntry[], server: Server): DoctorFinding[] {
  if (server.version < FAILOVER_SLOTS) return [];
  const slot = slots.find((entry) => entry.name === name);
  if (server.inRecovery) return judgeSync(name, slot);
  if (slot === undefined) return [];
  if (slot.failover === true) return judgeStandbys(name, slots, server);
  if (server.standbys === 0) return []; // only where there is a standby to fail over to
  const what = 'The server has standbys, and the slot is not marked for failover.';
  const remedy =
    `Stop \`walpost run\`, then over a replication connection (psql ${psqlDatabase(slot.database)}): ` +
    `ALTER_REPLICATION_SLOT ${name} (FAILOVER true); and on the standby ${SYNC}.`;
  return [finding('SLOT_NO_FAILOVER', { subject: `slot ${name}`, what, remedy })];
}

/** Of a standby: one that is synchronized for the first time is temporary, and is lost at a failover. */
function judgeSync(name: string, slot: SlotEntry | undefined): DoctorFinding[] {
  if (slot?.synced === true) return [];
  const subject = `slot ${name}`;
  const what = slot
    ? 'This standby has a slot of that name that does not come from the primary, so that one cannot come.'
    : 'This standby does not have the slot of the primary.';
  const mend = slot ? `SELECT pg_drop_replication_slot('${name}'); then here` : 'Here';
  const remedy = `${mend} ${SYNC}; on the primary the slot needs failover (\`walpost doctor\` there says so).`;
  return [finding('SLOT_NOT_SYNCED', { subject, what, remedy })];
}

function judgeStandbys(name: string, slots: readonly SlotEntry[], server: Server): DoctorFinding[] {
  const named = (server.settings.get('synchronized_standby_slots')?.setting ?? '').split(',').map(unquoted);
  const waited = named.filter((each) => each !== '');
  if (waited.length > 0) return judgeWaited(waited, slots);
  if (server.standbys === 0) return [];
  const standbys = slots.filter(({ type }) => type === 'physical').map((entry) => entry.name);
  const what = 'synchronized_standby_slots is empty, so walpost gets commits before the standbys have them.';
  const remedy = `ALTER SYSTEM SET synchronized_standby_slots = '${standbys.join(', ')}'; SELECT pg_reload_conf(); while such a standby is away, nothing is delivered.`;
  return [finding('FAILOVER_UNGUARDED', { subject: `slot ${name}`, what, remedy })];
}

function judgeWaited(waited: readonly string[], slots: readonly SlotEntry[]): DoctorFinding[] {
  return waited.flatMap((each) => {
    const slot = slots.find((entry) => entry.name === each && entry.type === 'physical');
    if (slot?.active) return [];
    const what = `synchronized_standby_slots names slot ${each}, ${slot ? 'and no standby reads from it' : 'and there is no such physical slot'}: walpost gets nothing.`;
    const others = waited.filter((name) => name !== each).join(', ');
    const remedy = `Start that standby, or: ALTER SYSTEM SET synchronized_standby_slots = '${others}'; SELECT pg_reload_conf();`;
    return [finding('FAILOVER_STANDBY_AWAY', { subject: `slot ${each}`, what, remedy })];
  });
}

function unquoted(name: string): string {
  return name.trim().replace(/^"(.*)"$/, '$1');
}
