import { Command } from 'commander';
import { WalpostError } from '../errors.ts';
import type { Job } from '../jobs/job.ts';
import { formatLsn } from '../lsn.ts';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';

interface JobsFlags extends ConfigFlags {
  readonly json?: boolean;
}

export function jobsCommand(): Command {
  const jobs = new Command('jobs').description('Heal, replay and redrive jobs.').helpGroup('Mend:').helpCommand(false);
  jobs.addCommand(
    withConfigOptions(new Command('list'))
      .description('List the last fifty jobs, the newest first.')
      .option('--json', 'as JSON')
      .action(list),
  );
  jobs.addCommand(
    withConfigOptions(new Command('cancel'))
      .description('Cancel a job; what it has sent stays sent.')
      .argument('<id>', 'number of the job')
      .action(cancel),
  );
  return jobs;
}

async function list(flags: JobsFlags): Promise<void> {
  const config = await readConfig(flags);
  const [{ openJobDatabase }, { listJobs }] = await Promise.all([
    import('./job-database.ts'),
    import('../jobs/job-rows.ts'),
  ]);
  await using database = await openJobDatabase(config);
  const jobs = await listJobs(database.pool);
  process.stdout.write(flags.json ? `${JSON.stringify(jobs.map(jobJson), null, 2)}\n` : jobsText(jobs));
}

async function cancel(id: string, flags: JobsFlags): Promise<void> {
  const config = await readConfig(flags);
  const [{ openJobDatabase }, { cancelJob, readJob }] = await Promise.all([
    import('./job-database.ts'),
    import('../jobs/job-rows.ts'),
  ]);
  if (!/^\d{1,18}$/.test(id)) throw new WalpostError('USAGE', { detail: 'A job is named by its number.' });
  await using database = await openJobDatabase(config);
  if (await cancelJob(database.pool, id)) return void process.stdout.write(`Job ${id} is cancelled.\n`);
  const job = await readJob(database.pool, id);
  if (!job) throw new WalpostError('JOB_UNKNOWN', { detail: `It is ${id}.` });
  const why = job.kind === 'heal' && !job.report ? 'a healing cannot be cancelled' : `it is ${job.state}`;
  throw new WalpostError('USAGE', {
    detail: `Job ${id} was not cancelled: ${why}.`,
    remedy: 'See `walpost jobs list`.',
  });
}

function jobsText(jobs: readonly Job[]): string {
  if (jobs.length === 0) return 'There are no jobs.\n';
  const rows = jobs.map((job) => [
    job.id,
    job.kind,
    job.state,
    `${job.settled} of ${job.scanned}`,
    job.createdAt.slice(0, 19).replace('T', ' '),
    job.error ?? job.reason ?? '',
  ]);
  const head = ['id', 'kind', 'state', 'sent of scanned', 'asked for (UTC)', 'reason'];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)));
  return [head, ...rows]
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

function jobJson({ fromLsn, report, place, ...job }: Job): object {
  return {
    ...job,
    fromLsn: fromLsn === null ? null : formatLsn(fromLsn),
    place,
    report: report === null ? null : (JSON.parse(report) as unknown),
  };
}
