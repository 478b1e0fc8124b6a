import { Command } from 'commander';
import { parseDuration } from '../config/units.ts';
import { WalpostError } from '../errors.ts';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';

interface PruneFlags extends ConfigFlags {
  readonly retention?: string;
  readonly batch?: string;
  readonly json?: boolean;
}

/** As prune.retention. */
const LONGEST_MS = 3650 * 86_400_000;

export function pruneCommand(): Command {
  return withConfigOptions(new Command('prune'))
    .description(
      'Remove delivered events that are older than the retention (of their topic, where it has one), and keys, log rows and jobs past theirs.',
    )
    .helpGroup('Mend:')
    .option(
      '--retention <duration>',
      'keep delivered events for that long, except of topics with retention_hours (default: prune.retention)',
    )
    .option('--batch <rows>', 'rows a transaction (default: prune.batch)')
    .option('--json', 'as JSON')
    .action(prune);
}

async function prune(flags: PruneFlags): Promise<void> {
  const config = await readConfig(flags);
  const retention = flags.retention === undefined ? config.prune.retention : parseDuration(flags.retention);
  const batch = flags.batch === undefined ? config.prune.batch : Number(flags.batch);
  if (retention === undefined || retention > LONGEST_MS) {
    throw new WalpostError('USAGE', { detail: '--retention is a duration up to 3650d, such as 72h.' });
  }
  if (!Number.isInteger(batch) || batch < 1 || batch > 100_000) {
    throw new WalpostError('USAGE', { detail: '--batch is a whole number from 1 to 100000.' });
  }
  const [{ createPool, SILENCE_MS }, { assertMigrated }, { pruneAll }, { isSqlState, SQLSTATE }] = await Promise.all([
    import('../postgres/pool.ts'),
    import('../postgres/schema/migrate.ts'),
    import('../postgres/retention/prune.ts'),
    import('../postgres/sqlstate.ts'),
  ]);
  const notThere = [SQLSTATE.invalidSchemaName, SQLSTATE.undefinedFunction];
  const pool = createPool(config.database.url, {
    applicationName: 'walpost prune',
    max: 1,
    queryTimeoutMs: SILENCE_MS,
  });
  try {
    const removed = await pruneAll(pool, { retention, batch }).catch(async (error: unknown) => {
      if (error instanceof Error && isSqlState(error.cause, ...notThere)) await assertMigrated(pool);
      throw error;
    });
    const left = removed === 0 ? 'Nothing to remove.' : `Removed ${removed} rows.`;
    process.stdout.write(flags.json ? `${JSON.stringify({ removed })}\n` : `${left}\n`);
  } finally {
    await pool.end();
  }
}
