import { Command } from 'commander';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';

export function runCommand(): Command {
  return withConfigOptions(new Command('run'))
    .description('Stream, deliver and confirm, until told to stop (SIGTERM or SIGINT).')
    .helpGroup('Run:')
    .action(async (flags: ConfigFlags) => {
      const config = await readConfig(flags);
      const [{ runProcess }, { RelayService }] = await Promise.all([
        import('./run-process.ts'),
        import('../relay-service.ts'),
      ]);
      process.exitCode = await runProcess(config, (options) => new RelayService(options));
    });
}
