import { Command } from 'commander';
import { readConfigWithoutSecrets, withConfigOptions } from './config-options.ts';
import type { EventFlags } from './events.ts';

export function eventsCommand(): Command {
  const events = new Command('events').description('What became of an event.').helpGroup('Run:').helpCommand(false);
  events.addCommand(
    withConfigOptions(new Command('show'))
      .description('Show what happened to one, where it is now for each sink, and its fields.')
      .argument('<id>', 'id of the event')
      .option('--payload', 'with its payload and headers')
      .option('--json', 'as JSON')
      .action(async (id: string, flags: EventFlags) =>
        (await import('./events.ts')).showEvent(await readConfigWithoutSecrets(flags), id, flags),
      ),
  );
  return events;
}
