import { Command } from 'commander';
import { readConfigWithoutSecrets, withConfigOptions } from './config-options.ts';
import type { PauseFlags, ResumeFlags, SinkListFlags } from './sinks.ts';

export function sinksCommand(): Command {
  const sinks = new Command('sinks')
    .description('The sinks, and what is paused of them.')
    .helpGroup('Mend:')
    .helpCommand(false);
  sinks.addCommand(
    withConfigOptions(new Command('list'))
      .description('List the sinks with what is parked and what is paused.')
      .option('--json', 'as JSON')
      .action(async (flags: SinkListFlags) =>
        (await import('./sinks.ts')).listSinks(await readConfigWithoutSecrets(flags), flags),
      ),
  );
  const change = (name: string): Command =>
    withConfigOptions(new Command(name))
      .argument('<sink>', 'name of the sink')
      .option('--organization <id>', 'only of this organization')
      .option('--json', 'as JSON');
  sinks.addCommand(
    change('pause')
      .description('Send nothing to it until it is resumed; its events are parked, in order.')
      .option('--reason <text>', 'why, for whoever looks')
      .option('--by <name>', 'who says so (default: the user of this system)')
      .action(async (sink: string, flags: PauseFlags) =>
        (await import('./sinks.ts')).pauseSink(await readConfigWithoutSecrets(flags), sink, flags),
      ),
  );
  sinks.addCommand(
    change('resume')
      .description('Send again: what was parked first, in order. A sink and an organization are resumed apart.')
      .action(async (sink: string, flags: ResumeFlags) =>
        (await import('./sinks.ts')).resumeSink(await readConfigWithoutSecrets(flags), sink, flags),
      ),
  );
  return sinks;
}
