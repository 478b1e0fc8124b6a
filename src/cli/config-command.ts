import { Command } from 'commander';
import type { ConfigError } from '../config/config-problem.ts';
import { ERROR_CODES } from '../errors.ts';
import { printableLines } from '../observe/printable.ts';
import { type ConfigFlags, readConfigWithSources, withConfigOptions } from './config-options.ts';
import { EXIT } from './exit-code.ts';
import { note, say, sayJson } from './output.ts';
import { HANGING, shown } from './print-error.ts';

interface JsonFlags extends ConfigFlags {
  readonly json?: boolean;
}

export function configCommand(): Command {
  return new Command('config')
    .description('Check, print or describe the configuration.')
    .helpGroup('Set up:')
    .helpCommand(false)
    .addCommand(checkCommand())
    .addCommand(printCommand())
    .addCommand(schemaCommand());
}

function checkCommand(): Command {
  return withConfigOptions(new Command('check'))
    .description('List every problem of the configuration, with line and column.')
    .option('--json', 'as JSON')
    .action(async (flags: JsonFlags) => {
      const { ConfigError } = await import('../config/config-problem.ts');
      try {
        await tellValid(flags);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        await tellProblems(error, flags);
        process.exitCode = EXIT.usage;
      }
    });
}

async function tellValid(flags: JsonFlags): Promise<void> {
  const { formatProblem } = await import('../config/config-problem.ts');
  const { idleSinks, idleSinkText } = await import('../config/idle-sinks.ts');
  const { loopbackWarnings } = await import('../config/sinks/endpoint-checks.ts');
  const { config, draft, path, warnings } = await readConfigWithSources(flags);
  for (const name of idleSinks(config)) draft.report(['sinks', name], idleSinkText(name), { at: 'key' });
  for (const { path: at, message } of loopbackWarnings(config.sinks)) draft.report(at, message);
  const said = [...warnings, ...draft.problems];
  const [sinks, routes] = [Object.keys(config.sinks).length, config.routes.length];
  if (flags.json) return sayJson({ valid: true, path, sinks, routes, warnings: said, problems: [] });
  const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;
  say(`${path} is valid: ${count(sinks, 'sink')}, ${count(routes, 'route')}.`);
  for (const problem of said) note(`warning: ${shown(formatProblem(problem))}`, HANGING);
}

async function tellProblems({ problems, remedy }: ConfigError, { json }: JsonFlags): Promise<void> {
  const { formatProblem } = await import('../config/config-problem.ts');
  if (json) return sayJson({ valid: false, problems, remedy });
  for (const problem of problems) note(shown(formatProblem(problem)), HANGING);
  if (remedy !== ERROR_CODES.CONFIG_INVALID.remedy) note(shown(remedy));
}

function printCommand(): Command {
  return withConfigOptions(new Command('print'))
    .description('Print what is in effect and where each value comes from; secrets are masked.')
    .option('--json', 'as JSON')
    .action(async (flags: JsonFlags) => {
      const { effectiveOptions, effectiveYaml } = await import('../config/effective-config.ts');
      const { formatPath } = await import('../config/config-problem.ts');
      const { draft } = await readConfigWithSources(flags);
      const entries = effectiveOptions(draft).map(({ path, value, source }) => [formatPath(path), { value, source }]);
      if (flags.json) sayJson(Object.fromEntries(entries));
      else process.stdout.write(printableLines(effectiveYaml(draft)));
    });
}

function schemaCommand(): Command {
  return new Command('schema').description('Print the JSON Schema of walpost.yaml, for editors.').action(async () => {
    const { configJsonSchema } = await import('../config/json-schema.ts');
    process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
  });
}
