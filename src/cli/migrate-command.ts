import { Command } from 'commander';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';

interface MigrateFlags extends ConfigFlags {
  readonly plan?: boolean;
  readonly outbox?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function migrateCommand(): Command {
  return withConfigOptions(new Command('migrate'))
    .description('Create or update the walpost schema in the database.')
    .helpGroup('Set up:')
    .option('--plan', 'list what would be applied, and change nothing')
    .option('--outbox <table>', 'print what a table of your own (schema.table) needs to be the outbox')
    .option('--yes', 'with --outbox: apply it')
    .option('--json', 'as JSON')
    .action((flags: MigrateFlags) =>
      flags.outbox === undefined ? migrateOrPlan(flags) : prepare(flags, flags.outbox),
    );
}

async function migrateOrPlan(flags: MigrateFlags): Promise<void> {
  const { url } = (await readConfig(flags)).database;
  const { migrate, plan } = await import('../postgres/migrate.ts');
  const say = (line: string): void => void (flags.json || process.stdout.write(`${line}\n`));
  const warn = (line: string): void => void process.stderr.write(`${line}\n`);
  const verb = flags.plan ? 'would apply' : 'applied';
  const steps = flags.plan
    ? await plan(url)
    : await migrate(url, { onStep: ({ name }) => say(`${verb} ${name}`), onNotice: warn });
  if (flags.plan) for (const { name } of steps) say(`${verb} ${name}`);
  if (steps.length === 0) say('The walpost schema is up to date.');
  if (!flags.json) return;
  const migrations = steps.map(({ number, name, breaking }) => ({ number, name, breaking }));
  process.stdout.write(`${JSON.stringify({ applied: flags.plan !== true, migrations }, null, 2)}\n`);
}

async function prepare(flags: MigrateFlags, table: string): Promise<void> {
  const { database, source } = await readConfig(flags);
  const { prepareTable } = await import('./prepare-table.ts');
  const say = (line: string): void => void (flags.json || process.stdout.write(`${line}\n`));
  const steps = await prepareTable({
    url: database.url,
    publication: source.publication,
    table,
    apply: flags.yes,
    say,
  });
  if (steps.length === 0) say(`${table} has all that it needs.`);
  else if (!flags.yes) say('-- To apply it: the same command with --yes.');
  if (flags.json) process.stdout.write(`${JSON.stringify({ applied: flags.yes === true, steps }, null, 2)}\n`);
}
