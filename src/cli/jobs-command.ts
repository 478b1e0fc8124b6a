import { Command } from 'commander';
import { WalpostError } from '../errors.ts';
import type { Job } from '../jobs/job.ts';
import { formatLsn } from '../lsn.ts';
import { type ConfigFlags, readConfigWithoutSecrets, withConfigOptions } from './config-options.ts';
import { sayJson } from './output.ts';
import { textTable } from './text-table.ts';

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
      .option('--json', 'as JSON')
      .action(cancel),
  );
  return jobs;
}

async function list(flags: JobsFlags): Promise<void> {
  const config = await readConfigWithoutSecrets(flags);
  const [{ openJobDatabase }, { countJobs, listJobs }] = await Promise.all([
    import('./job-database.ts'),
    import('../jobs/job-rows.ts'),
  ]);
  await using database = await openJobDatabase(config);
  const jobs = await listJobs(database.pool);
  if (flags.json) sayJson(jobs.map(jobJson));
  else process.stdout.write(jobsText(jobs, (await countJobs(database.pool)) - jobs.length));
}

async function cancel(id: string, flags: JobsFlags): Promise<void> {
  const config = await readConfigWithoutSecrets(flags);
  const [{ openJobDatabase }, { cancelJob, readJob }] = await Promise.all([
    import('./job-database.ts'),
    import('../jobs/job-rows.ts'),
  ]);
  if (!/^\d{1,18}$/.test(id)) throw new WalpostError('USAGE', { detail: 'A job is named by its number.' });
  await using database = await openJobDatabase(config);
  if (await cancelJob(database.pool, id)) {
    if (flags.json) sayJson({ job: id, cancelled: true });
    else process.stdout.write(`Job ${id} is cancelled.\n`);
    return;
  }
  const job = await readJob(database.pool, id);
  if (!job) throw new WalpostError('JOB_UNKNOWN', { detail: `It is ${id}.` });
  const why = job.kind === 'heal' && !job.report ? 'a healing cannot be cancelled' : `it is ${job.state}`;
  throw new WalpostError('USAGE', {
    detail: `Job ${id} was not cancelled: ${why}.`,
    remedy: 'See `walpost jobs list`.',
  });
}

function jobsText(jobs: readonly Job[], more: number): string {
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
  return `${textTable(head, rows)}${more > 0 ? `and ${more} more\n` : ''}`;
}

function jobJson({ fromLsn, report, place, ...job }: Job): object {
  return {
    ...job,
    fromLsn: fromLsn === null ? null : formatLsn(fromLsn),
    place,
    report: report === null ? null : (JSON.parse(report) as unknown),
  };
}
