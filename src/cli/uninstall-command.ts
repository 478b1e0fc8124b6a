import { Command } from 'commander';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';
import { type ChangeFlags, withChangeOptions } from './stored-filter.ts';

export function uninstallCommand(): Command {
  return withChangeOptions(withConfigOptions(new Command('uninstall')))
    .description('Remove walpost from the database: schemas, slots, publication, roles.')
    .helpGroup('Set up:')
    .option('--json', 'as JSON')
    .action(async (flags: ConfigFlags & ChangeFlags) => {
      const { uninstall } = await import('./uninstall.ts');
      await uninstall(await readConfig(flags), flags);
    });
}
