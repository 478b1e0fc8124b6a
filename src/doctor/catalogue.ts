/** Every code of a finding, with how severe it is and why it matters. docs/doctor.md has the same list (tests/doctor/docs.test.ts). */
import type { ErrorCode } from '../errors.ts';

/** critical: nothing is delivered, events can be lost or seen by others. warning: it will hurt. note: worth knowing. */
export type FindingSeverity = 'critical' | 'warning' | 'note';

export interface Judgement {
  readonly severity: FindingSeverity;
  /** One sentence. */
  readonly why: string;
}

const critical = (why: string): Judgement => ({ severity: 'critical', why });
const warning = (why: string): Judgement => ({ severity: 'warning', why });
const note = (why: string): Judgement => ({ severity: 'note', why });

const STOPS = '`walpost run` does not start while this is so.';

/** What the checks of the relay's own start find. The other codes of errors.ts are judged as STOPS. */
const OF_STARTS = {
  SERVER_UNREACHABLE: critical('Nothing is delivered, and the server keeps its log for the slot.'),
  AUTHENTICATION: critical('Nothing is delivered, and the server keeps its log for the slot.'),
  POOLER: critical('A pooler carries no replication connection, and loses locks and settings of sessions.'),
  WAL_LEVEL: critical('Without logical WAL there is nothing to stream.'),
  HOT_STANDBY: critical('walpost writes its cursor before it confirms, so it needs the primary.'),
  NO_REPLICATION_ROLE: critical('Only a role with REPLICATION, or the role of the provider for it, may read the slot.'),
  TOO_MANY_SLOTS: critical('The slot cannot be made, or nobody may stream from it.'),
  SYNCHRONOUS_STANDBY: critical('Commits of the application would wait for deliveries.'),
  SESSION_SETTING: critical('Triggers and foreign keys of walpost would not run in its sessions.'),
  MIGRATION_MISSING: critical(STOPS),
  MIGRATION_NEWER: critical(STOPS),
  MIGRATION_CHANGED: critical(STOPS),
  SCHEMA_DAMAGED: critical(STOPS),
  SCHEMA_FOREIGN: critical('`walpost migrate` would run code of another role with its own rights, so it stops.'),
  COPIED_DATABASE: critical('A copy sends nothing until a person has said what becomes of its rows.'),
  EXISTING_ROWS: critical('Rows of a mapped table may be old: a person decides whether they are events.'),
  SLOT_CHANGED: critical(STOPS),
  SLOT_OTHER_SOURCE: critical(STOPS),
  SLOT_OTHER_DATABASE: critical(STOPS),
  SLOT_OTHER_PLUGIN: critical(STOPS),
  SLOT_IN_USE: critical('One program at a time reads a slot, and this one takes the events of walpost.'),
  SLOT_LOST: critical('The stream does not bring what was not confirmed; only the table still has it.'),
  SLOT_REPLACED: critical(
    'The stream does not bring what lies between the cursor and the slot; only the table has it.',
  ),
  CURSOR_AHEAD: critical('Positions mean nothing any more, so nothing tells what was delivered.'),
  LEADER_LOCK_TAKEN: critical('No process can lead, so nothing is delivered.'),
  PARKED_SINK_UNKNOWN: critical(`These events would be forgotten. ${STOPS}`),
  SOURCE_TABLE: critical(STOPS),
  SOURCE_COLUMN: critical('Each row would become a dead letter.'),
  SOURCE_UNLOGGED: critical('What is written to it is in no log, so it is not streamed.'),
  SOURCE_DIVERTED: critical('Such rows are not streamed, and no error says so.'),
  PLUGIN_PARTITIONS: critical('Rows would come under another name and not be delivered.'),
  PUBLICATION_MISSING: critical('Without it no row is streamed, and no error says so to the application.'),
  PUBLICATION_TABLE: critical('Rows, or columns, are not streamed, and no error says so.'),
  ROW_SECURITY: critical('Healing, replay and a first start would miss rows without an error.'),
  PERMISSION_DENIED: critical(STOPS),
} as const satisfies Partial<Record<ErrorCode, Judgement>>;

const OF_DOCTOR = {
  // configuration and sinks
  SINK_CONFIG: critical('`walpost run` does not start with it, and `walpost config check` says the same.'),
  SINK_IDLE: note('Nothing that is published goes there.'),
  TOPIC_RETENTION: warning(
    'A replay begins no earlier than the last row that has left, so `walpost endpoints recover` cannot send all that was missed.',
  ),
  SINK_UNREACHABLE: critical('Its events are parked in Postgres until it can be reached.'),
  // the server
  SLOT_WAL_UNLIMITED: note('When nobody reads the slot, its log fills the disk, and the server stops for everybody.'),
  SLOTS_FULL: warning('Another relay, another name for the slot, a copy and a standby need a free place.'),
  WAL_SENDERS_SHORT: warning('A standby of walpost, a healing and a restart need a second walsender for a moment.'),
  WAL_SENDER_TIMEOUT: warning(
    'Off, the server keeps the slot for a relay that is gone, and no other can take over. Short, it ends the stream at each pause.',
  ),
  IDLE_SLOT_TIMEOUT: warning('The server gives the slot up when walpost is away for longer than this.'),
  CONNECTIONS_SHORT: warning('A restart, or a standby that takes over, could not connect.'),
  // the login in database.url
  RELAY_ROLE: critical('It cannot write the cursor or store events.'),
  RELAY_SUPERUSER: note('Whoever gets hold of the configuration of walpost has the whole server.'),
  ROLE_EXPIRES: warning('From then on the server refuses its password.'),
  TLS_OFF: warning('The password proof and every event can be read, and changed, on the way.'),
  TLS_UNCHECKED: warning('Whoever answers in place of the server is believed.'),
  // table, publication and slot
  SOURCE_INCOMPLETE: warning('The stream may lack rows that were written meanwhile; only the table has them.'),
  PUBLICATION_OPERATIONS: warning(
    'Each prune and each change of a row is decoded and sent for nothing, and UPDATE and DELETE need a replica identity.',
  ),
  PUBLICATION_OTHER_TABLES: note('Every change of these tables is decoded and sent to walpost, which throws it away.'),
  NEVER_RUN: note('Nothing is delivered before the first start. From the slot on, the server keeps its log.'),
  SLOT_UNREAD: warning('Nothing is delivered, and the server keeps its log for the slot.'),
  SLOT_NEAR_LOSS: critical('When the limit is reached the server removes log that was not confirmed.'),
  SLOT_KEEPS_WAL: warning('It fills the disk of the server.'),
  SLOT_NO_FAILOVER: note('After a failover the slot is gone. walpost then reads from the table what it missed.'),
  FAILOVER_UNGUARDED: note(
    'walpost may deliver a commit that a standby does not have yet; after a failover its row is gone, and it was delivered.',
  ),
  FAILOVER_STANDBY_AWAY: critical('The server sends a failover slot nothing that a standby named there does not have.'),
  SLOT_NOT_SYNCED: warning('After a failover to this standby the slot is gone, or stands somewhere else.'),
  OTHER_SLOT_UNREAD: warning('The log that it keeps fills the disk, and then nothing is delivered either.'),
  LONG_TRANSACTION: warning(
    'The server keeps its log since then, a new slot waits for its end, and no row that it wrote is delivered before.',
  ),
  PREPARED_TRANSACTION: warning('It stays until a person ends it, holds the slot back, and survives restarts.'),
  // rights
  ROLE_MISSING: warning('Nobody can be given its rights.'),
  RIGHTS_LACKING: warning('What needs the right fails with permission denied.'),
  RIGHTS_BESIDE_ROLES: warning('It gives more than the roles of walpost do; `walpost migrate` takes it away.'),
  ROW_SECURITY_MODEL: critical('Organizations may see rows of each other, or the relay misses rows.'),
  PUBLICATION_MODEL: warning('It streams something else than the new rows of walpost.outbox.'),
  DEFAULT_PRIVILEGES: warning('Each object that `walpost migrate` makes is open to this role until its end mends it.'),
  APPLICATION_SEES_ALL: warning('Row-level security does not hide other organizations from it.'),
  APPLICATION_OWNS_SCHEMA: warning('Row-level security does not bind the owner of the tables.'),
  CAPTURE_BROKEN: warning('Statements on the table fail, or their changes become no events.'),
  CLOCK_DIFFERENCE: warning('Signatures carry a time that receivers check, and ages and alerts are wrong by as much.'),
} as const satisfies Record<string, Judgement>;

export const CATALOGUE = { ...OF_STARTS, ...OF_DOCTOR };

export type FindingCode = keyof typeof OF_DOCTOR;

export function judgementOf(code: ErrorCode): Judgement {
  const known: Readonly<Record<string, Judgement>> = CATALOGUE;
  return known[code] ?? critical(STOPS);
}
