import { Command } from 'commander';
import { hasEndpoints } from '../config/endpoint-sinks.ts';
import { ROLE_PREFIX } from '../config/role-prefix.ts';
import { WalpostError } from '../errors.ts';
import { printableLines } from '../observe/printable.ts';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';
import { note, say, sayJson } from './output.ts';

interface MigrateFlags extends ConfigFlags {
  readonly plan?: boolean;
  readonly sql?: boolean;
  readonly rolePrefix?: string;
  readonly outbox?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function migrateCommand(): Command {
  return withConfigOptions(new Command('migrate'))
    .description('Create or update the walpost schema in the database.')
    .helpGroup('Set up:')
    .option('--plan', 'list what would be applied, and change nothing')
    .option('--sql', 'print everything as SQL for a migration tool of your own, without connecting')
    .option('--role-prefix <prefix>', 'with --sql: the prefix of the roles, as roles.prefix')
    .option('--outbox <table>', 'print what a table of your own (schema.table) needs to be the outbox')
    .option('--yes', 'with --outbox: apply it')
    .option('--json', 'as JSON')
    .action((flags: MigrateFlags) => {
      if (flags.sql) return printScript(flags.rolePrefix);
      if (flags.rolePrefix !== undefined)
        throw new WalpostError('USAGE', { detail: '--role-prefix goes with --sql; elsewhere roles.prefix says it.' });
      return flags.outbox === undefined ? migrateOrPlan(flags) : prepare(flags, flags.outbox);
    });
}

async function printScript(rolePrefix: string | undefined): Promise<void> {
  if (rolePrefix !== undefined && !ROLE_PREFIX.test(rolePrefix)) {
    throw new WalpostError('USAGE', {
      detail: '--role-prefix is like crm_: a to z, 0 to 9 and _, at most 40, not pg_.',
    });
  }
  const { schemaScript } = await import('../postgres/schema/schema-script.ts');
  process.stdout.write(await schemaScript(rolePrefix));
}

async function migrateOrPlan(flags: MigrateFlags): Promise<void> {
  const { database, roles } = await readConfig(flags);
  const { url } = database;
  const { migrate, plan } = await import('../postgres/schema/migrate.ts');
  const tell = (line: string): void => void (flags.json || say(line));
  const mended: string[] = [];
  const verb = flags.plan ? 'would apply' : 'applied';
  const steps = flags.plan
    ? await plan(url)
    : await migrate(url, {
        onStep: ({ name }) => tell(`${verb} ${name}`),
        onMended: (line) => void mended.push(line),
        onNotice: note,
        rolePrefix: roles.prefix,
      });
  if (flags.plan) for (const { name } of steps) tell(`${verb} ${name}`);
  for (const line of mended) tell(`mended: ${line}`);
  if (steps.length === 0) tell('The walpost schema is up to date.');
  if (!flags.json) return;
  const migrations = steps.map((step) => ({
    name: step.name,
    ...('number' in step && { number: step.number, breaking: step.breaking }),
  }));
  sayJson({ applied: flags.plan !== true, migrations, ...(mended.length > 0 && { mended }) });
}

async function prepare(flags: MigrateFlags, table: string): Promise<void> {
  const { database, source, sinks, roles } = await readConfig(flags);
  const { prepareTable } = await import('./prepare-table.ts');
  const tell = (line: string): void => void (flags.json || process.stdout.write(`${printableLines(line)}\n`));
  const steps = await prepareTable({
    url: database.url,
    publication: source.publication,
    table,
    endpoints: hasEndpoints(sinks),
    rolePrefix: roles.prefix,
    apply: flags.yes,
    say: tell,
  });
  if (steps.length === 0) tell(`${table} has all that it needs.`);
  else if (!flags.yes) tell('-- To apply it: the same command with --yes.');
  if (flags.json) sayJson({ applied: flags.yes === true, steps });
}
