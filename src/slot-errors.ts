/** The part of the list in errors.ts that is about the slot: whose it is, what became of it, and its creation. */
import { entry, type ErrorEntry, HEAL_ONCE } from './error-entry.ts';

export const SLOT_CODES = {
  SLOT_IN_USE: entry(
    'operator',
    'Another process streams from the slot.',
    'Stop that process, or give this one a slot of its own in source.slot.',
  ),
  SLOT_STILL_HELD: entry(
    'retry',
    'The stream of an older leader was told to end, and has not ended yet.',
    'Wait some seconds. If it stays, look at that process on the server: it may be stopped, or wait for a disk. A restart of the server ends it.',
  ),
  SLOT_OTHER_DATABASE: entry(
    'operator',
    'The slot belongs to another database of this cluster.',
    'Choose another name in source.slot, or leave it out.',
  ),
  SLOT_OTHER_SOURCE: entry(
    'operator',
    'The slot is the one of another table or another publication of this database.',
    'Choose another name in source.slot, or leave it out; or correct source.table and source.publication.',
  ),
  SLOT_CHANGED: entry(
    'operator',
    'The configuration names another slot than the one that this source has used so far.',
    'Set source.takes_over to the old name, or keep the old name in source.slot.',
  ),
  SLOT_OTHER_PLUGIN: entry(
    'operator',
    'The slot was made for another output plugin, or is a physical slot.',
    'Set source.plugin to the plugin of the slot, or choose another name in source.slot.',
  ),
  SLOT_LOST: entry(
    'operator',
    'The slot is lost: it was dropped, or the server removed WAL that was not confirmed.',
    HEAL_ONCE,
  ),
  SLOT_REPLACED: entry(
    'operator',
    'The slot is ahead of every position that walpost confirmed, so it was created again, or a failover lost rows.',
    HEAL_ONCE,
  ),
  COPIED_DATABASE: entry(
    'operator',
    'The database is a copy: walpost was installed in another database or another cluster.',
    'Set source.existing to deliver or skip; see docs/operations.md: a copy of a database.',
  ),
  EXISTING_ROWS: entry(
    'operator',
    'The source table has rows from before the first start, and the configuration does not say what to do with them.',
    'Set source.existing to deliver or skip.',
  ),
  CURSOR_AHEAD: entry(
    'operator',
    'The cursor, or a checkpoint, is ahead of the server, so the server was restored to an earlier point.',
    HEAL_ONCE,
  ),
  SLOT_STUCK: entry(
    'operator',
    'The slot cannot pass a row that was written while the publication was missing.',
    HEAL_ONCE,
  ),
  SLOT_CREATION_WAITS: entry(
    'retry',
    'Creating the slot waits for older transactions.',
    'End the transaction that is named.',
  ),
} as const satisfies Record<string, ErrorEntry>;
