import { Command } from 'commander';
import { type ConfigFlags, readConfigWithoutSecrets, withConfigOptions } from './config-options.ts';
import type { VerifyFlags } from './verify-request.ts';

export function verifyCommand(): Command {
  return withConfigOptions(new Command('verify'))
    .description('Send numbered canaries through the real slot, and report gaps, order and latency. No sink gets them.')
    .helpGroup('Run:')
    .option('--count <number>', 'canaries to send', '100')
    .option('--rate <number>', 'canaries a second', '50')
    .option('--sink <name>', 'also follow them to this sink; a route must name walpost.verify')
    .option('--organization <id>', 'whose events they are (default: none of yours)')
    .option('--timeout <duration>', 'how long the last one may take', '30s')
    .option('--json', 'as JSON')
    .action(async (flags: ConfigFlags & VerifyFlags) =>
      (await import('./verify.ts')).verify(await readConfigWithoutSecrets(flags), flags),
    );
}
