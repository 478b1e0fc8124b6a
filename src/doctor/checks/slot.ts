/** The slot of the relay: whether it is the right one, who reads it, what it keeps, and what a failover would make of it. */
import { WalpostError } from '../../errors.ts';
import { strangerProblem } from '../../leader/lock-holder.ts';
import { APPLICATION_NAME } from '../../slot/replication-client.ts';
import type { SlotLoss } from '../../slot/slot-diagnosis.ts';
import { type SlotFacts, slotProblem } from '../../slot/slot-state.ts';
import { type DoctorFinding, finding, findingOf } from '../finding.ts';
import { numberOf, type ServerState } from '../facts/server-state.ts';
import type { OwnSlot } from '../facts/slots.ts';
import { type CheckContext, startFinding } from './context.ts';

export function judgeOwnSlot(own: OwnSlot, server: ServerState, context: CheckContext): DoctorFinding[] {
  const { name, state, diagnosis, holder } = own;
  const subject = `slot ${name}`;
  const stranger = strangerProblem(name, holder);
  const found = stranger === undefined ? [] : [findingOf(stranger, subject)];
  if (diagnosis.kind === 'lost') return [...found, lost(diagnosis.loss, name, context)];
  if (state.kind === 'missing' || state.kind === 'lost') return found; // there was never a relay
  const reader = state.facts.holder;
  const isOurs = reader !== null && (reader.applicationName === null || reader.applicationName === APPLICATION_NAME);
  const problem = state.kind === 'in_use' && isOurs ? undefined : slotProblem(state);
  if (problem !== undefined) return [...found, startFinding(problem, subject, context)];
  return [...found, ...unread(state.facts), ...retained(state.facts, server, context)];
}

function lost({ code, reason }: SlotLoss, slot: string, { config }: CheckContext): DoctorFinding {
  const does = 'it makes the slot again, and sends from the table what was not delivered.';
  const remedy =
    config.source.on_slot_lost === 'heal'
      ? `Start \`walpost run\`: ${does}`
      : `Start \`walpost run --set source.on_slot_lost=heal\` once: ${does} See docs/operations.md: a lost slot.`;
  return findingOf(new WalpostError(code, { detail: reason, remedy }), `slot ${slot}`);
}

function unread({ name, holder }: SlotFacts): DoctorFinding[] {
  if (holder !== null) return [];
  const remedy = 'Start `walpost run`. If one runs: its log says why it does not stream.';
  return [finding('SLOT_UNREAD', { subject: `slot ${name}`, what: 'Nobody streams from it.', remedy })];
}

const MEBIBYTE = 1024 ** 2;

function retained(facts: SlotFacts, server: ServerState, { limits }: CheckContext): DoctorFinding[] {
  const { name, walStatus, safeBytes, retainedBytes } = facts;
  const subject = `slot ${name}`;
  const limit = (numberOf(server, 'max_slot_wal_keep_size') ?? -1) * MEBIBYTE;
  const kept = retainedBytes === null ? 'an unknown amount of log' : `${mebibytes(retainedBytes)} of log`;
  const isNear =
    walStatus === 'unreserved' || (limit > 0 && safeBytes !== null && safeBytes <= limit * limits.safeShare);
  const advise = 'See what holds it back: other findings, `walpost status`, and a relay that does not run.';
  if (isNear) {
    const left = safeBytes === null ? '' : ` ${mebibytes(Math.max(0, safeBytes))} are left before it may be lost.`;
    const what = `It keeps ${kept}, and its wal_status is ${walStatus ?? 'unknown'}.${left}`;
    const more = Math.ceil(((limit > 0 ? limit : 0) + (retainedBytes ?? 0)) / MEBIBYTE / 1024) * 4;
    const remedy = `ALTER SYSTEM SET max_slot_wal_keep_size = '${more}GB'; SELECT pg_reload_conf(); ${advise}`;
    return [finding('SLOT_NEAR_LOSS', { subject, what, remedy })];
  }
  if (retainedBytes === null || retainedBytes < limits.retainedBytes) return [];
  return [finding('SLOT_KEEPS_WAL', { subject, what: `It keeps ${kept}.`, remedy: advise })];
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / MEBIBYTE).toLocaleString('en')} MiB`;
}

/** A connection string as one word of a shell: a name may hold blanks and quotes. */
export function psqlDatabase(database: string | null): string {
  if (database === null || /^[\w-]+$/.test(database)) return `'dbname=${database ?? '…'} replication=database'`;
  const value = database.replaceAll(/[\\']/g, '\\$&');
  return `'${`dbname='${value}' replication=database`.replaceAll("'", "'\\''")}'`;
}
