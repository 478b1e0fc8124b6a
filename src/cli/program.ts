import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { ERROR_CODES, WalpostError } from '../errors.ts';
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
  walpost demo                       see it at work
  walpost config check               list every problem
  walpost doctor --probe             what is wrong around it
  walpost migrate --plan             what would be applied
  walpost run --set log.level=debug  with one option changed
  walpost listen                     print webhooks here
  walpost status --watch             leader, slot, alerts
  walpost verify                     is anything lost
  walpost replay --all --dry-run     what would be sent
  walpost parked retry --sink n8n    try a sink at once
  walpost dead-letters list          what was given up on

Exit codes: 0 done, 1 failed, 2 wrong usage or
configuration, 3 a check found problems.`;

/** Narrower than this, descriptions begin anew at the left, where the terminal breaks them within words. */
const NARROWEST_DESCRIPTION = 20;

export function createProgram(): Command {
  const program = new Command('walpost')
    .description('Streams an outbox table from the write-ahead log and delivers its events.')
    .version(VERSION, '-V, --version', 'print the version')
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
  command.helpOption('-h, --help', 'print this help');
  command.configureOutput({ outputError: () => undefined });
  command.configureHelp({
    styleTitle: (title) => pc.createColors(wantsColor(process.stdout)).bold(title),
    sortSubcommands: false,
    minWidthToWrap: NARROWEST_DESCRIPTION,
  });
  for (const child of command.commands) settle(child);
}

/** Runs one command line; throws what went wrong, as a WalpostError when the command line itself is wrong. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  const program = createProgram();
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (isUsage(error)) throw withHelp(error, argv);
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return;
    throw usageError(error, argv);
  }
}

const isUsage = (error: unknown): error is WalpostError =>
  error instanceof WalpostError && error.code === 'USAGE' && error.remedy === ERROR_CODES.USAGE.remedy;

/** Where the error has no remedy of its own: the help of the command, which has the flags. */
function withHelp(error: WalpostError, argv: readonly string[]): WalpostError {
  const detail = error.message.slice(ERROR_CODES.USAGE.cause.length).trim();
  return new WalpostError('USAGE', { detail, remedy: `See \`walpost ${commandOf(argv)}--help\`.`, cause: error });
}

/** The command that was asked for, with a blank behind it; empty when there is none. */
function commandOf(argv: readonly string[]): string {
  const command = createProgram().commands.find((each) => each.name() === argv[0]);
  const inner = command?.commands.find((each) => each.name() === argv[1]);
  return [command, inner].flatMap((each) => (each ? [`${each.name()} `] : [])).join('');
}

function usageError(error: CommanderError, argv: readonly string[]): WalpostError {
  // Without a command, commander has printed the help.
  const missing = error.code === 'commander.help';
  const text = missing ? 'a command is missing' : error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  const detail = `${text.charAt(0).toUpperCase()}${text.slice(1)}`.replace(/([^.?!)])$/, '$1.');
  return new WalpostError('USAGE', { detail, remedy: `See \`walpost ${commandOf(argv)}--help\`.` });
}
