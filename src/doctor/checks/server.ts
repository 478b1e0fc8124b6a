/** The server: what a start would refuse, and settings that let it run until they hurt. */
import type { DoctorFinding } from '../finding.ts';
import { finding } from '../finding.ts';
import { numberOf, type ServerState, type SettingState } from '../facts/server-state.ts';
import { providerSetting } from '../provider.ts';
import { WalpostError } from '../../errors.ts';
import { quoteIdentifier } from '../../postgres/identifiers.ts';
import { type CheckContext, placeOf, startFinding } from './context.ts';

export function judgeStart(problems: readonly unknown[], context: CheckContext): DoctorFinding[] {
  const found = problems.map((error) => startFinding(error, placeOf(context.host), context));
  // A pooler in front is seen by several checks.
  return found.filter(({ code }, index) => found.findIndex((other) => other.code === code) === index);
}

export function judgeSettings(server: ServerState, context: CheckContext): DoctorFinding[] {
  return [
    ...hotStandby(server, context),
    ...walsenders(server, context),
    ...slotLimit(server, context),
    ...senderTimeout(server, context),
    ...idleSlots(server, context),
  ];
}

/** The start refuses it too, once it has looked at everything else of the server. */
function hotStandby({ inRecovery }: ServerState, context: CheckContext): DoctorFinding[] {
  if (!inRecovery) return [];
  const error = new WalpostError('HOT_STANDBY', { detail: 'pg_is_in_recovery() is true.' });
  return [startFinding(error, placeOf(context.host), context)];
}

/** A slot that is there needs no further place. */
export function judgeSlotPlaces(server: ServerState, isThere: boolean, context: CheckContext): DoctorFinding[] {
  const places = numberOf(server, 'max_replication_slots');
  if (isThere || places === undefined || server.slots < places) return [];
  const what = `All ${places} replication slots of the server are in use.`;
  const remedy = `${set(server, context, 'max_replication_slots', String(places + 5))} Or drop a slot that nobody reads.`;
  return [finding('SLOTS_FULL', { subject: 'max_replication_slots', what, remedy })];
}

/** The stream of the relay has its own already, when it runs. */
function walsenders(server: ServerState, context: CheckContext): DoctorFinding[] {
  const places = numberOf(server, 'max_wal_senders');
  if (places === undefined) return [];
  const free = places - server.walsenders;
  if (free >= (server.relayConnections > 0 ? 1 : 2)) return [];
  const what = `${server.walsenders} of ${places} walsenders are in use.`;
  const remedy = set(server, context, 'max_wal_senders', String(places + 5));
  return [finding('WAL_SENDERS_SHORT', { subject: 'max_wal_senders', what, remedy })];
}

function slotLimit(server: ServerState, context: CheckContext): DoctorFinding[] {
  if (numberOf(server, 'max_slot_wal_keep_size') !== -1) return [];
  const what = 'max_slot_wal_keep_size is -1: the server keeps log for slots without a limit.';
  const remedy = `${set(server, context, 'max_slot_wal_keep_size', '10GB')} Choose what the disk can spare.`;
  return [finding('SLOT_WAL_UNLIMITED', { subject: 'max_slot_wal_keep_size', what, remedy })];
}

const SHORTEST_TIMEOUT_MS = 10_000;

function senderTimeout(server: ServerState, context: CheckContext): DoctorFinding[] {
  const timeout = numberOf(server, 'wal_sender_timeout');
  if (timeout === undefined || timeout >= SHORTEST_TIMEOUT_MS) return [];
  const what = timeout === 0 ? 'wal_sender_timeout is off.' : `wal_sender_timeout is ${timeout} ms.`;
  const remedy = set(server, context, 'wal_sender_timeout', '60s');
  return [finding('WAL_SENDER_TIMEOUT', { subject: 'wal_sender_timeout', what, remedy })];
}

/** PG 18 and later. Timeouts of sessions and statements do not matter: walpost pins them (postgres/judged-settings.ts). */
function idleSlots(server: ServerState, context: CheckContext): DoctorFinding[] {
  const name = 'idle_replication_slot_timeout';
  const timeout = numberOf(server, name);
  if (timeout === undefined || timeout === 0) return [];
  const what = `${name} is ${timeout} ${server.settings.get(name)?.unit ?? ''}.`;
  const remedy = set(server, context, name, '0');
  return [finding('IDLE_SLOT_TIMEOUT', { subject: name, what, remedy })];
}

/** The statement that changes a setting where it comes from, and what it needs to take effect. */
function set(server: ServerState, { provider, role }: CheckContext, name: string, value: string): string {
  const managed = providerSetting(provider, name, value);
  const known = server.settings.get(name);
  const database = quoteIdentifier(server.database);
  const assignment = `SET ${name} = '${value}';`;
  if (known?.source === 'user') return `ALTER ROLE ${role} ${assignment}`;
  if (known?.source === 'database user') return `ALTER ROLE ${role} IN DATABASE ${database} ${assignment}`;
  if (known?.source === 'database') return `ALTER DATABASE ${database} ${assignment}`;
  return managed ?? ofServer(known, name, value);
}

function ofServer(known: SettingState | undefined, name: string, value: string): string {
  if (known?.source === 'command line') {
    return `It is on the command line of the server: change it there to -c ${name}=${value}, and restart the server.`;
  }
  const statement = `ALTER SYSTEM SET ${name} = '${value}';`;
  return known?.context === 'postmaster'
    ? `${statement} then restart the server.`
    : `${statement} SELECT pg_reload_conf();`;
}
