import type { Config } from '../config/schema.ts';
import { countStored, discardStored, type StoredTable } from '../parking/stored-rows.ts';
import { confirm } from './confirm.ts';
import { openJobDatabase } from './job-database.ts';
import { refuseUnknownNames } from './known-names.ts';
import { say, sayJson } from './output.ts';
import { progressLine } from './progress-line.ts';
import { type ChangeFlags, type FilterFlags, storedFilter } from './stored-filter.ts';

export interface DiscardText {
  /** Said when there is nothing to delete. */
  readonly none: string;
  /** Such as `3 dead letters`. */
  readonly counted: (count: number) => string;
}

/** `walpost parked discard` and `walpost dead-letters discard`: counts, asks, and deletes what the flags choose. */
export async function discardFrom(
  table: StoredTable,
  { none, counted }: DiscardText,
  config: Config,
  flags: FilterFlags & ChangeFlags,
): Promise<void> {
  await using database = await openJobDatabase(config);
  const filter = storedFilter(flags, database.slot);
  const count = await countStored(database.pool, table, filter);
  if (count === 0) await refuseUnknownNames(database.pool, config, flags);
  const dryRun = flags.dryRun === true;
  const goesOn = !dryRun && count > 0 && (await confirm(`Delete ${counted(count)} for good?`, flags));
  const deleted = goesOn ? await discardAll() : 0;
  if (flags.json) return sayJson({ dry_run: dryRun, matched: count, deleted });
  if (count === 0) say(none);
  else if (dryRun) say(`${counted(count)} would be deleted.`);
  else if (goesOn) say(`Deleted ${counted(deleted)}.`);

  async function discardAll(): Promise<number> {
    using progress = progressLine((gone) => `deleted ${gone} of ${count}`);
    return await discardStored(database.pool, table, filter, progress.show);
  }
}
