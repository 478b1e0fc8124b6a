import { Command } from 'commander';
import { type ConfigFlags, readConfigWithoutSecrets, withConfigOptions } from './config-options.ts';
import type { DeadLetterFlags, DeadLetterListFlags, RedriveFlags } from './dead-letters.ts';
import { withChangeOptions, withFilterOptions } from './stored-filter.ts';

export function deadLettersCommand(): Command {
  const letters = new Command('dead-letters')
    .description('Events and rows that walpost has given up on, with the reason.')
    .helpGroup('Mend:')
    .helpCommand(false);
  const filtered = (name: string): Command => withFilterOptions(withConfigOptions(new Command(name)), true);
  letters.addCommand(
    filtered('list')
      .description('List them, the oldest first.')
      .option('--limit <n>', 'how many at most (default: 50)')
      .option('--json', 'as JSON')
      .action(async (flags: DeadLetterListFlags) =>
        (await import('./dead-letters.ts')).listDeadLetters(await readConfigWithoutSecrets(flags), flags),
      ),
  );
  letters.addCommand(
    withConfigOptions(new Command('show'))
      .description('Show everything about one, its payload too.')
      .argument('<id>', 'number of the dead letter')
      .option('--json', 'as JSON')
      .action(async (id: string, flags: ConfigFlags & { json?: boolean }) =>
        (await import('./dead-letters.ts')).showDeadLetter(
          await readConfigWithoutSecrets(flags),
          id,
          flags.json === true,
        ),
      ),
  );
  letters.addCommand(
    withChangeOptions(filtered('redrive'))
      .description('Send them again, each to the sink that it was meant for.')
      .option('--rate <n>', 'how many events a second at most')
      .option('--json', 'as JSON')
      .action(async (flags: RedriveFlags) =>
        (await import('./dead-letters.ts')).redrive(await readConfigWithoutSecrets(flags), flags),
      ),
  );
  letters.addCommand(
    withChangeOptions(filtered('discard'))
      .description('Delete them for good; lanes that they block go on.')
      .option('--json', 'as JSON')
      .action(async (flags: DeadLetterFlags) =>
        (await import('./dead-letters.ts')).discardDeadLetters(await readConfigWithoutSecrets(flags), flags),
      ),
  );
  return letters;
}
