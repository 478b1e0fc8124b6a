import { Command } from 'commander';
import { type ConfigFlags, readConfigIfThere, withConfigOptions } from './config-options.ts';
import type { ListenConduct } from './listen.ts';
import type { ListenFlags } from './listen-target.ts';

export function listenCommand(): Command {
  return withConfigOptions(new Command('listen'))
    .description('Receive webhooks on this machine, verify their signatures and print them.')
    .helpGroup('Try:')
    .option('--sink <name>', "this webhook's port and secret (default: the one that goes to this machine)")
    .option('--port <port>', 'listen here (default: the port of the sink, else 4000)')
    .option('--status <code>', 'answer with this status, to see what walpost does then')
    .option('--json', 'one line of JSON a request')
    .action(async (flags: ConfigFlags & ListenFlags & ListenConduct) => {
      const config = await readConfigIfThere(flags);
      await (await import('./listen.ts')).listen(config, flags);
    });
}
