import { Command } from 'commander';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';

interface MigrateFlags extends ConfigFlags {
  readonly plan?: boolean;
  readonly json?: boolean;
}

export function migrateCommand(): Command {
  return withConfigOptions(new Command('migrate'))
    .description('Create or update the walpost schema in the database.')
    .helpGroup('Set up:')
    .option('--plan', 'list what would be applied, and change nothing')
    .option('--json', 'as JSON')
    .action(migrateOrPlan);
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
