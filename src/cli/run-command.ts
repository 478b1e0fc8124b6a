import { Command } from 'commander';
import type { LoadedConfig } from '../config/load-config.ts';
import type { Logger } from '../observe/log.ts';
import { type ConfigFlags, loadOptions, readConfigWithSources, withConfigOptions } from './config-options.ts';
import { boundHeapGrowth } from './heap-growth.ts';

interface RunFlags extends ConfigFlags {
  readonly replayFromLsn?: string;
}

export function runCommand(): Command {
  return withConfigOptions(new Command('run'))
    .description('Stream, deliver and confirm, until told to stop (SIGTERM or SIGINT); SIGHUP reads the file again.')
    .helpGroup('Run:')
    .option('--replay-from-lsn <lsn>', 'also send again what was committed at this position or later')
    .action(async (flags: RunFlags) => {
      boundHeapGrowth();
      const { config, warnings } = await readConfigWithSources(flags);
      const [{ runProcess }, { Relay }, { formatProblem }, { readAgain }, { loadConfigWithSources }] =
        await Promise.all([
          import('./run-process.ts'),
          import('../relay/relay.ts'),
          import('../config/config-problem.ts'),
          import('./read-again.ts'),
          import('../config/load-config.ts'),
        ]);
      const load = (): LoadedConfig => loadConfigWithSources(loadOptions(flags));
      if (flags.replayFromLsn !== undefined) {
        const [{ enqueueReplay }, { lsnOf }] = await Promise.all([
          import('./replay.ts'),
          import('./replay-request.ts'),
        ]);
        await enqueueReplay(config, lsnOf(flags.replayFromLsn, '--replay-from-lsn'));
      }
      const source = {
        config,
        warnings: warnings.map(formatProblem),
        readAgain: (log: Logger) => readAgain(load, log),
      };
      process.exitCode = await runProcess(source, (dependencies) => new Relay(dependencies));
    });
}
