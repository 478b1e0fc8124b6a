import { Command } from 'commander';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';
import type { ReplayConduct, ReplayFlags } from './replay-request.ts';

const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];

export function replayCommand(): Command {
  return withConfigOptions(new Command('replay'))
    .description('Send events of the outbox again, from a position or a time on.')
    .helpGroup('Mend:')
    .option('--all', 'everything that the outbox still holds')
    .option('--from-lsn <lsn>', 'everything committed at this position or later')
    .option('--since <time>', 'everything committed at this time or later, or so long ago (2h)')
    .option('--to-lsn <lsn>', 'nothing that began after this position')
    .option('--until <time>', 'nothing that began after this time')
    .option('--organization <id>', 'only of this organization')
    .option('--type <pattern>', 'only of this event type; * stands for any text')
    .option('--topic <topic>', 'only of this topic')
    .option('--sink <name>', 'only to this sink (repeatable)', collect)
    .option('--event-id <id>', 'only this event (repeatable)', collect)
    .option('--rate <n>', 'how many events a second at most')
    .option('--dry-run', 'count what would be sent, and change nothing')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'as JSON')
    .action(async (flags: ConfigFlags & ReplayFlags & ReplayConduct) => {
      const config = await readConfig(flags);
      const { replay } = await import('./replay.ts');
      await replay(config, flags);
    });
}
