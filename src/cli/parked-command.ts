import { Command } from 'commander';
import { readConfigWithoutSecrets, withConfigOptions } from './config-options.ts';
import type { ListFlags, MoveFlags, ParkedFlags } from './parked.ts';
import { withChangeOptions, withFilterOptions } from './stored-filter.ts';

export function parkedCommand(): Command {
  const parked = new Command('parked')
    .description('Events that wait in Postgres for a sink that is away.')
    .helpGroup('Mend:')
    .helpCommand(false);
  const filtered = (name: string): Command => withFilterOptions(withConfigOptions(new Command(name)), false);
  parked.addCommand(
    filtered('list')
      .description('List them, the oldest first.')
      .option('--limit <n>', 'how many at most (default: 50)')
      .option('--json', 'as JSON')
      .action(async (flags: ListFlags) =>
        (await import('./parked.ts')).listParked(await readConfigWithoutSecrets(flags), flags),
      ),
  );
  parked.addCommand(
    filtered('retry')
      .description('Try their lanes at once instead of when they are due.')
      .option('--dry-run', 'count, and change nothing')
      .option('--json', 'as JSON')
      .action(async (flags: ParkedFlags) =>
        (await import('./parked.ts')).retryParked(await readConfigWithoutSecrets(flags), flags),
      ),
  );
  parked.addCommand(
    withChangeOptions(filtered('move'))
      .description('Move them to another sink; their order stays.')
      .requiredOption('--from <sink>', 'the sink that they wait for')
      .requiredOption('--to <sink>', 'the sink that takes them')
      .option('--force', 'also to a sink that the configuration does not name')
      .option('--json', 'as JSON')
      .action(async (flags: MoveFlags) =>
        (await import('./parked.ts')).move(await readConfigWithoutSecrets(flags), flags),
      ),
  );
  parked.addCommand(
    withChangeOptions(filtered('discard'))
      .description('Delete them for good; nothing of them is kept.')
      .option('--json', 'as JSON')
      .action(async (flags: ParkedFlags) =>
        (await import('./parked.ts')).discardParked(await readConfigWithoutSecrets(flags), flags),
      ),
  );
  return parked;
}
