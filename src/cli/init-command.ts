import { Command } from 'commander';
import type { InitFlags } from './init.ts';

export function initCommand(): Command {
  return new Command('init')
    .description('Ask five questions, and write walpost.yaml, compose.yaml and the secrets in .env.')
    .helpGroup('Set up:')
    .option('--database-url <url>', 'connection string of the database')
    .option('--sink <type>', 'webhook, realtime or stdout')
    .option('--url <url>', 'where the sink sends to; not for stdout')
    .option('--events <pattern>', 'event types that it gets, such as booking.*')
    .option('--port <port>', 'port of health, status and metrics')
    .option('-y, --yes', 'ask nothing: what is not given has its default')
    .option('--force', 'write over files that are there; .env is only added to')
    .option('--json', 'as JSON; questions are asked on standard error')
    .action(async (flags: InitFlags) => (await import('./init.ts')).init(flags));
}
