import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { WalpostError } from '../errors.ts';
import { wantsColor } from '../observe/color.ts';
import { VERSION } from '../version.ts';
import { configCommand } from './config-command.ts';
import { deadLettersCommand } from './dead-letters-command.ts';
import { demoCommand } from './demo-command.ts';
import { doctorCommand } from './doctor-command.ts';
import { endpointsCommand } from './endpoints-command.ts';
import { initCommand } from './init-command.ts';
import { eventsCommand } from './events-command.ts';
import { jobsCommand } from './jobs-command.ts';
import { listenCommand } from './listen-command.ts';
import { migrateCommand } from './migrate-command.ts';
import { parkedCommand } from './parked-command.ts';
import { pruneCommand } from './prune-command.ts';
import { replayCommand } from './replay-command.ts';
import { runCommand } from './run-command.ts';
import { sendCommand } from './send-command.ts';
import { sinksCommand } from './sinks-command.ts';
import { statusCommand } from './status-command.ts';
import { typesCommand } from './types-command.ts';
import { uninstallCommand } from './uninstall-command.ts';
import { verifyCommand } from './verify-command.ts';

const EXAMPLES = `
Examples:
  walpost demo                       see it at work, with a Postgres of its own
  walpost config check               list every problem of walpost.yaml
  walpost doctor --probe             what is wrong around it, and what mends it
  walpost migrate --plan             what would be applied to the database
  walpost run --set log.level=debug  with one option changed
  walpost listen                     print webhooks that come to this machine
  walpost status --watch             leader, slot, lag, lanes, breakers
  walpost verify                     canaries through the real slot
  walpost replay --since 2h --dry-run  what would be sent again
  walpost parked retry --sink n8n    try a sink that is back at once
  walpost dead-letters list          what was given up on, and why

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration,
3 a check found problems.`;

export function createProgram(): Command {
  const program = new Command('walpost')
    .description('Streams an outbox table from the write-ahead log and delivers its events.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .addHelpText('after', EXAMPLES);
  program.addCommand(demoCommand().helpGroup('Set up:'));
  program.addCommand(initCommand());
  program.addCommand(configCommand());
  program.addCommand(migrateCommand());
  program.addCommand(doctorCommand());
  program.addCommand(uninstallCommand());
  program.addCommand(runCommand());
  program.addCommand(statusCommand());
  program.addCommand(verifyCommand());
  program.addCommand(eventsCommand());
  program.addCommand(listenCommand());
  program.addCommand(sendCommand());
  program.addCommand(typesCommand());
  program.addCommand(replayCommand());
  program.addCommand(jobsCommand());
  program.addCommand(deadLettersCommand());
  program.addCommand(parkedCommand());
  program.addCommand(sinksCommand());
  program.addCommand(endpointsCommand());
  program.addCommand(pruneCommand());
  program.hook('preAction', (_, command) => refuseEmptyFlags(command));
  settle(program);
  return program;
}

/** `--organization "$ORGANIZATION"` with a variable that is not set would mean every organization. */
function refuseEmptyFlags(command: Command): void {
  for (const option of command.options) {
    const name = option.attributeName();
    const value: unknown = command.getOptionValueSource(name) === 'cli' ? command.getOptionValue(name) : undefined;
    const isEmpty = (Array.isArray(value) ? value : [value]).some(
      (text) => typeof text === 'string' && text.trim() === '',
    );
    if (!isEmpty) continue;
    const detail = `${option.long ?? option.flags} is empty: give it a value, or leave it out.`;
    throw new WalpostError('USAGE', { detail, remedy: `See \`walpost ${pathOf(command)} --help\`.` });
  }
}

function pathOf(command: Command): string {
  const parent = command.parent?.parent ? `${command.parent.name()} ` : '';
  return `${parent}${command.name()}`;
}

/** What holds for every command: errors are thrown, not printed, and help looks the same. */
function settle(command: Command): void {
  command.exitOverride();
  command.configureOutput({ outputError: () => undefined });
  command.configureHelp({
    styleTitle: (title) => pc.createColors(wantsColor(process.stdout)).bold(title),
    sortSubcommands: false,
  });
  for (const child of command.commands) settle(child);
}

/** Runs one command line; throws what went wrong, as a WalpostError when the command line itself is wrong. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  const program = createProgram();
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return;
    throw usageError(error, argv);
  }
}

function usageError(error: CommanderError, argv: readonly string[]): WalpostError {
  // Without a command, commander has printed the help.
  const missing = error.code === 'commander.help';
  const text = missing ? 'a command is missing' : error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  const detail = `${text.charAt(0).toUpperCase()}${text.slice(1)}`.replace(/([^.?!)])$/, '$1.');
  const known = createProgram().commands.find((command) => command.name() === argv[0]);
  return new WalpostError('USAGE', { detail, remedy: `See \`walpost ${known ? `${known.name()} ` : ''}--help\`.` });
}
