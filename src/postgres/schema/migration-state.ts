import { WalpostError } from '../../errors.ts';
import type { Migration } from './migration-files.ts';

/** A row of walpost.migrations. */
export interface AppliedMigration {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
  readonly breaking: boolean;
}

/**
 * What is still to be applied. Throws when the database and this program cannot be brought together: a file was
 * changed after it was applied, or a newer program made changes that it declared to be breaking.
 */
export function pendingMigrations(
  files: readonly Migration[],
  applied: readonly AppliedMigration[],
): readonly Migration[] {
  const known = new Map(files.map((file) => [file.number, file]));
  for (const row of applied) {
    const file = known.get(row.number);
    if (!file && row.breaking) throw new WalpostError('MIGRATION_NEWER', { detail: `It has ${row.name}.` });
    if (file && file.checksum !== row.checksum) {
      throw new WalpostError('MIGRATION_CHANGED', { detail: `It was ${row.name}; the file is ${file.name}.` });
    }
  }
  const done = new Set(applied.map((row) => row.number));
  return files.filter((file) => !done.has(file.number));
}
