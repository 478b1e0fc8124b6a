import { Command } from 'commander';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';
import type { SendFlags } from './send.ts';

export function sendCommand(): Command {
  return withConfigOptions(new Command('send'))
    .description('Publish one event by hand, with walpost.publish.')
    .helpGroup('Try:')
    .argument('<type>', 'event type, such as job.completed')
    .argument('[payload]', 'JSON; - reads it from standard input', '{}')
    .requiredOption('--organization <id>', 'whose event it is')
    .option('--topic <topic>', 'topic (default: default)')
    .option('--target <target>', 'routing hint')
    .option('--entity-type <type>', 'what the event is about')
    .option('--entity-id <id>', 'which one of them')
    .option('--idempotency-key <key>', 'the same key again publishes nothing')
    .option('--json', 'as JSON')
    .action(async (eventType: string, payload: string, flags: ConfigFlags & SendFlags) =>
      (await import('./send.ts')).send(await readConfig(flags), { eventType, payload, flags }),
    );
}
