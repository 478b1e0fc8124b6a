import { Command } from 'commander';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';
import { boundHeapGrowth } from './heap-growth.ts';

interface RunFlags extends ConfigFlags {
  readonly replayFromLsn?: string;
  readonly deliverExisting?: boolean;
}

export function runCommand(): Command {
  return withConfigOptions(new Command('run'))
    .description('Stream, deliver and confirm, until told to stop (SIGTERM or SIGINT).')
    .helpGroup('Run:')
    .option('--replay-from-lsn <lsn>', 'also send again what was committed at this position or later')
    .option('--deliver-existing', 'on a first start also send the rows that are in the table already')
    .action(async (flags: RunFlags) => {
      boundHeapGrowth();
      const config = await readConfig(flags);
      const [{ runProcess }, { RelayService }] = await Promise.all([
        import('./run-process.ts'),
        import('../relay-service.ts'),
      ]);
      if (flags.replayFromLsn !== undefined) {
        const [{ enqueueReplay }, { lsnOf }] = await Promise.all([
          import('./replay.ts'),
          import('./replay-request.ts'),
        ]);
        await enqueueReplay(config, lsnOf(flags.replayFromLsn, '--replay-from-lsn'));
      }
      const deliverExisting = flags.deliverExisting === true;
      process.exitCode = await runProcess(config, (parts) => new RelayService({ ...parts, deliverExisting }));
    });
}
