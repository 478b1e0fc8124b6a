import { Command } from 'commander';
import { readConfigWithoutSecrets, withConfigOptions } from './config-options.ts';
import type { TypesFlags } from './types.ts';

export function typesCommand(): Command {
  return withConfigOptions(new Command('types'))
    .description('Write TypeScript types of the events in walpost.event_types, to standard output.')
    .helpGroup('Try:')
    .option('--out <file>', 'write them to this file')
    .option('--check', 'with --out: write nothing, and exit with 3 when the file differs')
    .action(async (flags: TypesFlags) =>
      (await import('./types.ts')).writeTypes(await readConfigWithoutSecrets(flags), flags),
    );
}
